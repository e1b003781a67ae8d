# SPDX-License-Identifier: Apache-2.0
"""The system ``teleop``: an operator moves an arm and chooses the axis about which the hand on it turns an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dexndm_ros.bringup_hand import (
    HAND_ARGUMENTS,
    POLICY_ARGUMENTS,
    hand_port,
    hand_processes,
    policy_process,
)
from dexndm_ros.bringup_parts import Argument, BringupError, System, flag, node_process, number
from dexndm_ros.paths import share_dir
from dexndm_ros.process_spec import ParameterValue, ProcessSpec
from dexndm_ros.teleop.web import FOLDER

__all__ = ["SHIPPED_SESSION", "TELEOP"]

VIRTUAL = "virtual"
SHIPPED_SESSION = "light_bulb"
_SOURCES = ("webxr", "oculus_reader", "recording")
_AXES_FROM = ("buttons", "orientation")
_AXIS_LEASE_S = 0.5
_POLICY: dict[str, ParameterValue] = {"command_lease_s": _AXIS_LEASE_S, "place_s": 2.0}
"""The fingers stop when the operator's side has not told the axis for so long; it does ten times a second. And an open
hand waits for the operator's next press: he brings it to the object meanwhile."""
_PATIENCE: dict[str, ParameterValue] = {"stale_s": 0.5, "arm_stale_s": 1.0}
"""How a recorded operator waits for a virtual arm: a busy machine keeps each of the processes from running for longer
than a headset or a robot is ever silent, and here nobody can be hurt."""

_POLICY_PATIENCE: dict[str, ParameterValue] = {
    "command_lease_s": 2 * _AXIS_LEASE_S,
    "stale_s": 0.3,
    "lost_s": 5.0,
}
"""Likewise the policy of a virtual hand, """
_DRIVER_PATIENCE: dict[str, ParameterValue] = {"lost_s": 2.5}
"""and its driver: twice as many processes as without an arm share the machine."""


def _session(name: str) -> Path:
    """A recorded operator by its name in config/teleop/sessions, or a file.

    Raises:
        BringupError: there is none.
    """
    given = Path(name or SHIPPED_SESSION).expanduser()
    shipped = share_dir() / "config" / "teleop" / "sessions"
    file = given if given.is_file() else shipped / f"{given}.jsonl.gz"
    if not file.is_file():
        known = ", ".join(
            sorted(path.name.partition(".")[0] for path in shipped.glob("*.jsonl.gz"))
        )
        raise BringupError(
            f"no recording {str(given)!r}; shipped: {known}, or name a file that quest_bridge recorded"
        )
    return file.absolute()


def _new_file(name: str) -> Path:
    """A file that samples can be written to.

    Raises:
        BringupError: it is there already, or cannot be made.
    """
    file = Path(name).expanduser().absolute()
    if file.exists():
        raise BringupError(f"record: {file} exists: remove it, or name another file")
    if not file.parent.is_dir():
        raise BringupError(f"record: there is no folder {file.parent}: make it first")
    return file


def _check_pair(values: Mapping[str, str]) -> bool:
    """Whether the arm is virtual; a real arm carries a real hand, a virtual one the virtual hand.

    Raises:
        BringupError: they do not go together.
    """
    virtual = values["arm"].strip() == VIRTUAL
    sim = hand_port(values)[1]
    hand = flag("hand", values["hand"])
    if virtual and not (hand and sim):
        raise BringupError(
            "arm is virtual, and carries the virtual hand: leave port, sim and hand out, or name the "
            "controller of a real arm, as in arm:=crisp"
        )
    if not virtual and hand and sim:
        raise BringupError(
            f"arm is {values['arm'].strip()!r}, a real one, but the hand would be virtual: name the hand's "
            "port, as in port:=/dev/leap_hand, or hand:=false to move the arm alone"
        )
    return virtual


def _quest(values: Mapping[str, str], virtual: bool) -> dict[str, ParameterValue]:
    """Parameters of quest_bridge."""
    source = values["source"].strip()
    if source not in _SOURCES:
        raise BringupError(f"source is {source!r}; allowed: {', '.join(_SOURCES)}")
    axis_from = values["axis_from"].strip()
    if axis_from not in _AXES_FROM:
        raise BringupError(f"axis_from is {axis_from!r}; allowed: {', '.join(_AXES_FROM)}")
    told: dict[str, ParameterValue] = {
        "source": source,
        "scale": number(
            "scale", values["scale"], 0.05, 4.0, "metres of the arm for one of the hand"
        ),
        "axis.mode": axis_from,
        "demonstration.task": values["task"].strip(),
    }
    if values["record"].strip():
        told["record"] = str(_new_file(values["record"].strip()))
    if source == "recording":
        if not virtual:
            raise BringupError(
                "a recording does not see the arm that it moves: source:=recording is for arm:=virtual"
            )
        told |= {
            "recording": str(_session(values["recording"].strip())),
            "wait": flag("wait", values["wait"]),
            **_PATIENCE,
        }
    if source == "webxr":
        told |= {
            "host": values["host"].strip(),
            "port": int(number("page_port", values["page_port"], 0, 65535, "")),
            "tls": flag("tls", values["tls"]),
            "directory": values["directory"].strip(),
            "usb": flag("usb", values["usb"]),
        }
    if source != "recording":
        told |= {"adb": values["adb"].strip(), "serial": values["headset"].strip()}
    return told


def _on_virtual_arm(processes: list[ProcessSpec]) -> list[ProcessSpec]:
    """The virtual hand's process becomes the virtual arm's, which carries it."""
    hand, driver, policy = processes
    return [
        node_process("virtual_arm", hand.parameters, share_dir()),
        replace(driver, parameters={**driver.parameters, **_DRIVER_PATIENCE}),
        replace(policy, parameters={**policy.parameters, **_POLICY_PATIENCE}),
    ]


def _recorder(values: Mapping[str, str]) -> list[ProcessSpec]:
    """The recorder of demonstrations, where a folder is named; it is started anew when it dies.

    Raises:
        BringupError: there is no hand whose policy would be the clock of the rows.
    """
    folder = values["demonstrations"].strip()
    if not folder:
        return []
    if not flag("hand", values["hand"]):
        raise BringupError(
            "a demonstration is of arm and hand: leave hand out, or leave demonstrations out"
        )
    share = share_dir()
    told = {"directory": str(Path(folder).expanduser().absolute())}
    recorder = node_process("episode_recorder", told, share)
    file = share / "config" / "demonstrations.yaml"
    return [replace(recorder, parameter_file=file, critical=False, respawn=True)]


def _teleop(values: Mapping[str, str]) -> list[ProcessSpec]:
    """Arm and hand, virtual or the driver of a real one, the policy, and the two bridges."""
    share, virtual = share_dir(), _check_pair(values)
    quest = _quest(values, virtual)
    processes: list[ProcessSpec] = []
    if flag("hand", values["hand"]):
        # Nothing turns until the operator chooses an axis, nor when nobody tells it any more.
        still = {**values, "axis": "stop", "wrist": ""}
        processes = hand_processes(still, enable=True)
        policy = policy_process(still)
        processes.append(replace(policy, parameters={**policy.parameters, **_POLICY}))
    if virtual:
        processes = _on_virtual_arm(processes)
    processes += _recorder(values)
    arm: dict[str, ParameterValue] = {"profile": values["arm"].strip()}
    if values["wrist_from"].strip():
        arm["wrist.source"] = values["wrist_from"].strip()
    return [
        *processes,
        # Without them the hand holds on, and both wait for a fresh press once they are back.
        replace(node_process("arm_bridge", arm, share), respawn=True),
        replace(node_process("quest_bridge", quest, share), respawn=True),
    ]


_OPERATOR_ARGUMENTS = (
    Argument(
        "arm",
        VIRTUAL,
        "virtual, or the controller of a real arm: a name in config/teleop or a file",
    ),
    Argument("hand", "true", "false = move the arm alone, without hand, driver and policy"),
    Argument(
        "source", "webxr", "the operator: webxr = a page in the headset, oculus_reader, recording"
    ),
    Argument("recording", "", "session that is played; empty = the shipped one, light_bulb"),
    Argument("wait", "false", "true = the recording begins with the service teleop/play"),
    Argument("record", "", "file that the operator's samples are written to; must not exist"),
    Argument(
        "demonstrations", "", "folder of demonstrations; button A records one; empty = none are"
    ),
    Argument("task", "", "what is demonstrated, in words for the dataset"),
    Argument("scale", "1.0", "metres of the arm for a metre of the operator's hand"),
    Argument("axis_from", "buttons", "the left hand chooses the axis by buttons or by orientation"),
    Argument("wrist_from", "", "who tells wrist/orientation: arm, imu, fixed or none; empty = arm"),
    Argument("host", "127.0.0.1", "address of the page; 0.0.0.0 with tls for the network"),
    Argument("page_port", "8766", "port of the page"),
    Argument("tls", "false", "true = the page with a certificate, kept in directory"),
    Argument("directory", FOLDER, "folder of the page's token and certificate"),
    Argument("usb", "true", "false = do not look for a headset on USB, which is led to the page"),
    Argument("adb", "adb", "the adb program, for a headset on USB"),
    Argument("headset", "", "serial number of the headset, where adb knows more than one device"),
)
_FIXED = ("axis", "wrist")
"""Arguments of the policy that the operator and the arm give instead."""

TELEOP = System(
    "An operator moves an arm, real or virtual, and the LEAP hand on it turns an object.",
    (
        *_OPERATOR_ARGUMENTS,
        *HAND_ARGUMENTS,
        *(argument for argument in POLICY_ARGUMENTS if argument.name not in _FIXED),
    ),
    _teleop,
)
