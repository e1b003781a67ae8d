# SPDX-License-Identifier: Apache-2.0
"""What ``rotation_policy`` reads and writes: its parameters, ``policy/step`` and diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from dexndm_msgs.msg import PolicyStep
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import ArrayLike, NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from dexndm_ros.policy.clock import DeadlineLoop
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.realtime import RealtimeConfig
from dexndm_ros.policy.session import Phase, SessionConfig, SessionTick
from dexndm_ros.policy.spec import refusal
from dexndm_ros.policy.wrist import check_axis, check_wrist, parse_axis, parse_wrist

__all__ = [
    "PARAMETERS",
    "Settings",
    "diagnostics",
    "fill_step",
    "read_settings",
    "rival_operators",
]

Vector = NDArray[np.float64]

_SESSION = SessionConfig()
_NOTHING_SENT = np.full(16, np.nan)
_ZEROS = np.zeros(16)


def _row(name: str, value: Any, text: str, any_type: bool = False) -> tuple[str, Any, Any]:
    return name, value, ParameterDescriptor(description=text, dynamic_typing=any_type)


PARAMETERS: tuple[tuple[str, Any, Any], ...] = (
    _row("policy", "", "policy file, ONNX with its spec"),
    _row("residual", "", "residual file, ONNX with its spec; empty = none"),
    _row("axis", "+z", "first rotation axis, palm frame: +x -x ... -z, x,y,z, or stop", True),
    _row(
        "command_lease_s",
        0.0,
        "an axis from rotation/command not told again for so long stops the motion, s; 0 = it stays",
    ),
    _row("wrist", "palm_up", "palm orientation in the world: a name or x,y,z,w", True),
    _row("rate_hz", _SESSION.rate_hz, "control rate; the policy's spec must say the same"),
    _row("stale_s", _SESSION.stale_s, "a hand/state older than this stops the motion"),
    _row("lost_s", _SESSION.lost_s, "a hand/state older than this ends the run"),
    _row("open_s", _SESSION.open_s, "start: time of the slide to the open pose"),
    _row("place_s", _SESSION.place_s, "start: time the open hand waits for the object"),
    _row("close_s", _SESSION.close_s, "start: time of the slide to the default pose"),
    _row("settle_s", _SESSION.settle_s, "start: time the default pose is held"),
    _row("open_rad", _SESSION.open_rad, "start: how far the fingers open from the default pose"),
    _row("align_to_state", True, "after the start, tick just after a hand/state arrives"),
    _row("autostart", True, "configure and activate without a lifecycle manager"),
    _row("realtime.fifo_priority", 0, "SCHED_FIFO priority of the control thread; 0 = off"),
    _row("realtime.other_priority", 50, "SCHED_FIFO priority of the other threads"),
    _row("realtime.cpus", "", "cores to run on, such as '1' or '0,1'; empty = all", True),
    _row("realtime.lock_memory", False, "keep all memory in RAM (mlockall)"),
)
"""Name, default and descriptor of every parameter."""


@dataclass(frozen=True)
class Settings:
    """The node's parameters, checked.

    Attributes:
        policy: policy file.
        residual: residual file, or None.
        axis: first rotation axis, unit or zero, palm frame, (3,).
        lease_s: how long an axis that was told is in force; 0 = until the next.
        wrist: orientation of the palm in the world until a topic tells it, xyzw, (4,).
        session: times of the session.
        realtime: scheduling asked for.
        align_to_state: whether deadlines follow the arrival of states.
        fingerprints: SHA-256 of policy and residual file; empty = no such file.
    """

    policy: Path
    residual: Path | None
    axis: Vector
    lease_s: float
    wrist: Vector
    session: SessionConfig
    realtime: RealtimeConfig
    align_to_state: bool
    fingerprints: tuple[str, str] = ("", "")


def read_settings(node: Node) -> Settings:
    """The parameters of a node that declared ``PARAMETERS``.

    Raises:
        ValueError: a value that is not allowed (AxisError and WristError among them).
    """
    values = {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
    if not values["policy"]:
        raise ValueError("parameter policy is empty; give the path of an .onnx policy file")
    policy = Path(values["policy"]).expanduser()
    residual = Path(values["residual"]).expanduser() if values["residual"] else None
    return Settings(
        policy=policy,
        residual=residual,
        axis=_vector("axis", values["axis"], parse_axis, check_axis),
        lease_s=values["command_lease_s"],
        wrist=_vector("wrist", values["wrist"], parse_wrist, check_wrist),
        session=SessionConfig(**{item.name: values[item.name] for item in fields(SessionConfig)}),
        realtime=RealtimeConfig(
            fifo_priority=values["realtime.fifo_priority"],
            other_priority=values["realtime.other_priority"],
            cpus=_cpus(values["realtime.cpus"]),
            lock_memory=values["realtime.lock_memory"],
        ),
        align_to_state=values["align_to_state"],
        fingerprints=(fingerprint(policy), fingerprint(residual)),
    )


def _vector(name: str, value: Any, parse: Any, check: Any) -> Vector:
    """Text or a list of numbers, as YAML makes of what a person writes."""
    if isinstance(value, str):
        return np.asarray(parse(value))
    if isinstance(value, Sequence) or hasattr(value, "tolist"):
        return np.asarray(check(list(value)))
    raise ValueError(
        f"parameter {name} is {value!r}; give text or a list of numbers "
        "(YAML reads a bare y as true: quote it, or write +y)"
    )


def _cpus(value: Any) -> tuple[int, ...]:
    words = str(value).strip("[]").replace(",", " ").split()
    if not all(word.isdigit() for word in words):
        raise ValueError(f"parameter realtime.cpus is {value!r}; give core numbers such as '0,1'")
    return tuple(int(word) for word in words)


def fill_step(
    step: PolicyStep, result: SessionTick, axis: ArrayLike, wrist_xyzw: ArrayLike
) -> None:
    """Put what a tick decided into the message."""
    ran = result.action is not None
    step.target = _NOTHING_SENT if result.command is None else result.command
    step.base_action = result.action.base if result.action else step.target
    step.residual_action = result.action.residual if result.action else _ZEROS
    step.axis.x, step.axis.y, step.axis.z = np.asarray(axis).tolist() if ran else (0.0, 0.0, 0.0)
    wrist = step.wrist
    wrist.x, wrist.y, wrist.z, wrist.w = np.asarray(wrist_xyzw).tolist()
    step.stopped = result.stopped


def rival_operators(node: Node) -> str:
    """Who tell axes, in words, where more than one does: they override each other, and a stop of one is no stop."""
    ends = node.get_publishers_info_by_topic("rotation/command")
    if len(ends) < 2:
        return ""
    names = ", ".join(sorted(f"{end.node_namespace.rstrip('/')}/{end.node_name}" for end in ends))
    return f"{len(ends)} publish rotation/command ({names}): stop all but one of them"


def diagnostics(
    last: SessionTick, loop: DeadlineLoop | None, settings: Settings, refused: str = ""
) -> DiagnosticArray:
    """One status: what the policy does, why not, and how its loop keeps time.

    Args:
        last: the newest tick.
        loop: what keeps time; None = it was never started.
        settings: of the node.
        refused: why the residual does not run; empty = it runs, or there is none.
    """
    status = DiagnosticStatus(name="rotation_policy", hardware_id="policy", message="running")
    status.level = DiagnosticStatus.OK
    if loop is None or not loop.running:
        status.level, status.message = DiagnosticStatus.STALE, "not active"
        if loop is not None and loop.error is not None:
            status.level, status.message = DiagnosticStatus.ERROR, f"loop ended: {loop.error!r}"
    elif last.phase is Phase.HALTED:
        status.level, status.message = DiagnosticStatus.ERROR, last.reason
    elif last.stopped:
        status.level, status.message = DiagnosticStatus.WARN, last.reason
    elif refused:
        status.level, status.message = DiagnosticStatus.WARN, refusal(refused)
    # A recording of this names the very files, so that what they did can be done again.
    values: dict[str, Any] = {
        "policy": settings.policy.absolute(),
        "policy sha256": settings.fingerprints[0],
        "residual": settings.residual.absolute() if settings.residual else "",
        "residual sha256": settings.fingerprints[1],
        "residual refused": refused,
        "phase": last.phase.value,
    }
    if loop is not None:
        timing = loop.statistics()
        values |= {
            item.name: f"{getattr(timing, item.name):.3f}"
            if item.name.partition("_ms")[1]
            else getattr(timing, item.name)
            for item in fields(timing)
        }
        values["scheduling"] = loop.realtime
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(status=[status])
