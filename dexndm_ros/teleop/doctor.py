# SPDX-License-Identifier: Apache-2.0
"""What `dexndm doctor` finds out about teleoperation: adb, the page's secrets and port, the arm's profiles.

It reads and changes nothing: it starts no adb server, makes no certificate, sets no rule.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.paths import share_dir
from dexndm_ros.teleop.errors import SettingsError
from dexndm_ros.teleop.oculus_reader import AdbConfig
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.web import CERTIFICATE_FILE, FOLDER, TOKEN_FILE
from dexndm_ros.teleop.web.adb_reverse import AdbReverse

__all__ = ["PageSettings", "check_adb", "check_page_port", "check_profiles", "check_secrets"]

_ADB_PORT = 5037
_ADB_PORT_NAME = "ANDROID_ADB_SERVER_PORT"
_ANSWER_S = 1.0
_NODE = "quest_bridge"


@dataclass(frozen=True)
class PageSettings:
    """Where the page is served, as the parameters of ``quest_bridge`` have it.

    Attributes:
        host: address.
        port: 0 = any.
        tls: with a certificate.
        directory: folder of token and certificate; empty = none.
        usb: the headset's localhost is led here.
        adb: the adb program.
        serial: the headset's; empty = the only device.
        running: read from a node that runs, not defaults.
    """

    host: str = "127.0.0.1"
    port: int = 8766
    tls: bool = False
    directory: str = FOLDER
    usb: bool = True
    adb: str = "adb"
    serial: str = ""
    running: bool = False


def check_adb(page: PageSettings) -> list[Finding]:
    """The program and server of adb, the headset on USB, and the rule that leads its localhost here."""
    if not page.usb:
        return [Finding(Level.NOTE, "adb", f"not used: parameter usb of {_NODE} is false")]
    if shutil.which(page.adb) is None:
        cure = "sudo apt install adb   (not needed for a headset on the network)"
        return [
            Finding(
                Level.NOTE, "adb", f"no program {page.adb!r}", "adb, for a headset on USB", cure
            )
        ]
    if not _adb_server():
        cure = f"{page.adb} start-server   ({_NODE} starts it by itself)"
        return [Finding(Level.NOTE, "adb", "its server does not run", "running", cure)]
    reverse = AdbReverse(page.port, AdbConfig(page.adb, page.serial))
    serial, there, words = reverse.look()
    what = "headset on USB"
    if not serial:
        found, _, cure = words.partition(": ")
        level = Level.WARNING if page.running else Level.NOTE
        return [Finding(Level.OK, "adb", "its server runs"), Finding(level, what, found, "", cure)]
    findings = [Finding(Level.OK, "adb", "its server runs"), Finding(Level.OK, what, serial)]
    rule = f"localhost:{page.port} of the headset"
    if there:
        return [*findings, Finding(Level.OK, "adb reverse", f"{rule} leads here")]
    cure = f"start {_NODE}, which keeps it; by hand: {page.adb} reverse tcp:{page.port} tcp:{page.port}"
    level = Level.WARNING if page.running else Level.NOTE
    return [*findings, Finding(level, "adb reverse", f"{rule} leads nowhere", "here", cure)]


def check_secrets(page: PageSettings, names: Collection[str] | None = None) -> list[Finding]:
    """Token and certificate: there, for their owner alone, good for this machine and today.

    Args:
        page: where they are kept.
        names: what the certificate must be good for; None = what a headset would open this machine by.
    """
    if not page.directory:
        found = "none is kept: a new token at each start, and no TLS"
        return [
            Finding(
                Level.NOTE, "token", found, "", f"give {_NODE} a folder in its parameter directory"
            )
        ]
    folder = Path(page.directory).expanduser()
    return [_token(folder / TOKEN_FILE), *_certificate(folder / CERTIFICATE_FILE, page, names)]


def check_page_port(page: PageSettings) -> Finding:
    """Whether the page's port is free, or who has it."""
    what = f"port {page.port} of {page.host}"
    if page.port == 0:
        return Finding(Level.NOTE, "port of the page", "any that is free")
    family = socket.AF_INET6 if ":" in page.host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((page.host, page.port))
        except OSError as error:
            refused = error
        else:
            return Finding(Level.OK, what, "free")
    holder = _holder(page.port)
    if holder is None:
        cure = f"give {_NODE} another port, or 0 for any"
        return Finding(
            Level.WARNING, what, f"cannot be had ({refused.strerror})", "free for the page", cure
        )
    name, pid, ours = holder
    if ours:
        return Finding(Level.OK, what, f"{_NODE} serves the page (pid {pid})")
    cure = f"stop it (kill {pid}), or give {_NODE} another port, or 0 for any"
    return Finding(Level.WARNING, what, f"taken by {name} (pid {pid})", "free for the page", cure)


def check_profiles(name: str = "") -> list[Finding]:
    """Whether profiles of arms can be used.

    Args:
        name: one in config/teleop, or a YAML file; empty = all that are shipped.
    """
    what = "arm profile"
    if name:
        try:
            profile = load_profile(name)
        except SettingsError as error:
            cure = "mend the file, or take a shipped profile"
            return [Finding(Level.ERROR, what, str(error), "", cure)]
        return [
            Finding(
                Level.OK,
                what,
                f"{name}: {profile.command.message} on {profile.command_topic}, "
                f"{profile.rate_hz:g} Hz, at most {profile.limits.speed_m_s:g} m/s",
            )
        ]
    shipped = sorted((share_dir() / "config" / "teleop").glob("*.yaml"))
    findings = [found for file in shipped for found in check_profiles(str(file))]
    wrong = [found for found in findings if found.level is not Level.OK]
    return wrong or [Finding(Level.OK, "arm profiles", ", ".join(file.stem for file in shipped))]


def _adb_server() -> bool:
    try:
        port = int(os.environ.get(_ADB_PORT_NAME) or _ADB_PORT)
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def _token(file: Path) -> Finding:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return Finding(
            Level.NOTE, "token", f"{file} is not there yet: it is made at the first start"
        )
    if mode & 0o077:
        cure = f"rm {file}   (a new one is made; pair the headset again)"
        return Finding(
            Level.ERROR, "token", f"others can read {file} (mode {mode:o})", "mode 600", cure
        )
    return Finding(Level.OK, "token", f"{file}, mode {mode:o}")


def _certificate(file: Path, page: PageSettings, names: Collection[str] | None) -> list[Finding]:
    # Only now: a machine without the library is to get a line that mends it, not an ImportError.
    try:
        from dexndm_ros.teleop.web.addresses import lasting_names
        from dexndm_ros.teleop.web.certificate import describe, unfit
    except ImportError as error:
        cure = "python -m pip install -r requirements.txt"
        return [Finding(Level.WARNING, "certificate", str(error), "", cure)]
    what, level = "certificate", Level.WARNING if page.tls else Level.NOTE
    if not file.exists():
        used = (
            "it is made at the first start" if page.tls else f"{_NODE} has tls off and needs none"
        )
        return [Finding(Level.NOTE, what, f"{file} is not there: {used}")]
    if why := unfit(file, names if names is not None else lasting_names(page.host)):
        level = Level.ERROR if "others could read" in why else level
        cure = f"start {_NODE} with tls again: it makes a new one, which the headset must accept once more"
        expected = "mode 600, not near its end, good for every address that a headset would open"
        return [Finding(level, what, f"{file}: {why}", expected, cure)]
    kept = describe(file)
    found = f"good until {kept.ends:%Y-%m-%d}, for {', '.join(sorted(kept.names))}"
    return [
        Finding(Level.OK, what, found),
        Finding(Level.OK, "certificate's SHA-256, as the headset shows it", kept.fingerprint),
    ]


def _holder(port: int) -> tuple[str, int, bool] | None:
    """Who listens at a port: name, process, whether it is our node; None = not to be found out."""
    try:
        connections = psutil.net_connections("tcp")
        pids = [each.pid for each in connections
                if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr[1] == port]  # fmt: skip
        pid = next(pid for pid in pids if pid)
        process = psutil.Process(pid)
        return process.name(), pid, any(_NODE in word for word in process.cmdline())
    except (StopIteration, psutil.Error, OSError):
        return None
