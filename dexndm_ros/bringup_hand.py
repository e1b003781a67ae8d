# SPDX-License-Identifier: Apache-2.0
"""The hand's part of a system: the driver of a real or virtual hand, and the policy that moves it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dexndm_ros.bringup_parts import Argument, BringupError, flag, node_process, number
from dexndm_ros.paths import policy_path, share_dir, world_path
from dexndm_ros.process_spec import ParameterValue, ProcessSpec

__all__ = [
    "HAND_ARGUMENTS",
    "POLICY_ARGUMENTS",
    "default_virtual_port",
    "hand_port",
    "hand_processes",
    "policy_process",
    "scheduling",
]

_PORTS = ("/dev/leap_hand", "/dev/ttyUSB0")
"""Where a real hand is looked for when no port is named: our udev rule's link, then an adapter."""

_SHIPPED_POLICY = "cylinder_z/generalist"
_SIM_PATIENCE: dict[str, ParameterValue] = {
    "port_wait_s": 60.0,
    "lost_s": 1.0,
    "bus_watchdog_s": 2.0,
}
"""How the driver waits for a virtual hand: loading a world takes seconds, and on a busy machine each
of the two processes may be kept from running for longer than a cable is ever silent."""


def default_virtual_port() -> str:
    """Path of the virtual hand's port when none is named: one for each user and ROS domain."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ""
    if not Path(runtime).is_dir() or not runtime:
        runtime = str(Path(tempfile.gettempdir()) / f"dexndm-{os.getuid()}")
    return str(Path(runtime) / f"virtual_leap_hand_{os.environ.get('ROS_DOMAIN_ID') or '0'}")


def _is_adapter(port: str) -> bool:
    """True for a character device that is not a pseudo-terminal, i.e. a real serial adapter."""
    try:
        path = Path(port).resolve()
        return stat.S_ISCHR(path.stat().st_mode) and path.parent != Path("/dev/pts")
    except OSError:
        return False


def hand_port(values: Mapping[str, str]) -> tuple[str, bool]:
    """The port, and whether we start a virtual hand behind it: asked for, or no port was named."""
    port, asked = values["port"].strip(), values["sim"].strip().lower()
    sim = not port if asked in ("", "auto") else flag("sim", asked)
    if not port and sim:
        port = default_virtual_port()
    elif not port:
        port = next((p for p in _PORTS if Path(p).exists()), _PORTS[-1])
    elif sim and _is_adapter(port):
        raise BringupError(
            f"sim is true, but port {port} is a real serial device; leave sim out to drive that "
            "hand, or name another path for the virtual hand's port"
        )
    return port, sim


def scheduling(values: Mapping[str, str]) -> dict[str, ParameterValue]:
    """Parameters of the opt-in real-time block; what was obtained, the nodes tell on /diagnostics."""
    if not flag("realtime", values["realtime"]):
        return {}
    return {"realtime.fifo_priority": 60, "realtime.other_priority": 50}


def hand_processes(values: Mapping[str, str], enable: bool) -> list[ProcessSpec]:
    """The driver, with the virtual hand before it unless a real one is used."""
    share = share_dir()
    port, sim = hand_port(values)
    driver: dict[str, ParameterValue] = {
        "port": port,
        "rate_hz": number("rate", values["rate"], 20.0, 500.0, "Hz"),
        "profile": values["profile"].strip(),
        "enable_on_activate": enable,
        **scheduling(values),
    }
    if not sim:
        return [node_process("leap_hand_driver", driver, share)]
    driver |= _SIM_PATIENCE
    hand: dict[str, ParameterValue] = {
        "link": port,
        "world": str(world_path(values["world"].strip())),
        "seed": int(number("seed", values["seed"], 0, 2**31 - 1, "")),
    }
    if "axis" in values:
        hand["axis"] = values["axis"].strip()
    return [
        node_process("virtual_leap_hand", hand, share),
        node_process("leap_hand_driver", driver, share),
    ]


def policy_process(values: Mapping[str, str]) -> ProcessSpec:
    """The rotation policy, shipped or named, with the residual that corrects it."""
    policy: dict[str, ParameterValue] = {
        "policy": str(policy_path(values["policy"].strip() or _SHIPPED_POLICY)),
        "axis": values["axis"].strip(),
    }
    if values["residual"].strip():
        policy["residual"] = str(policy_path(values["residual"].strip()))
    policy |= scheduling(values)
    if values["wrist"].strip():
        policy["wrist"] = values["wrist"].strip()
    return node_process("rotation_policy", policy, share_dir())


HAND_ARGUMENTS = (
    Argument("sim", "auto", "true = start the virtual hand; auto = when no port is named"),
    Argument(
        "world", "nominal", "world of the virtual hand: a name in config/worlds or a YAML file"
    ),
    Argument("seed", "0", "seed of the virtual hand's object placement"),
    Argument(
        "port", "", "serial port of the hand (with sim: where the virtual hand puts its port)"
    ),
    Argument("rate", "100", "bus cycles and hand/state messages a second, 20..500 Hz"),
    Argument("profile", "full", "current limit: full = 500 mA, lite = 300 mA"),
    Argument(
        "realtime",
        "false",
        "true = SCHED_FIFO for driver and policy (root, or rtprio in limits.conf)",
    ),
)
POLICY_ARGUMENTS = (
    Argument("policy", "", "policy file, ONNX with its spec; empty = the shipped one"),
    Argument("residual", "", "residual file that corrects its targets, ONNX with its spec"),
    Argument(
        "axis", "+z", "rotation axis in the palm frame: +x -x +y -y +z -z, or a unit vector '0,0,1'"
    ),
    Argument("wrist", "", "palm orientation in the world, a name or x,y,z,w; empty = the world's"),
)
