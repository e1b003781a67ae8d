# SPDX-License-Identifier: Apache-2.0
"""The parameters of ``quest_bridge``, and what becomes of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.teleop.axis import AxisConfig
from dexndm_ros.teleop.bridge import BridgeConfig
from dexndm_ros.teleop.clutch import ClutchConfig
from dexndm_ros.teleop.demonstration import DemonstrationConfig
from dexndm_ros.teleop.errors import SourceError
from dexndm_ros.teleop.gates import GateConfig
from dexndm_ros.teleop.mapping import MappingConfig
from dexndm_ros.teleop.oculus_reader import AdbConfig, OculusReader
from dexndm_ros.teleop.one_euro import OneEuroConfig
from dexndm_ros.teleop.recording import RecordingSource
from dexndm_ros.teleop.sample import Source
from dexndm_ros.teleop.web import CERTIFICATE_FILE, FOLDER, TOKEN_FILE

if TYPE_CHECKING:
    from dexndm_ros.teleop.web.source import WebXrSource
    from dexndm_ros.teleop.web.status import Status

__all__ = ["PARAMETERS", "QuestSettings", "declare_parameters", "open_source", "read_settings"]

SOURCES = ("webxr", "oculus_reader", "recording")
_GATES, _CLUTCH, _MAP, _EURO, _AXIS, _DEMO = (
    GateConfig(),
    ClutchConfig(),
    MappingConfig(),
    OneEuroConfig(),
    AxisConfig(),
    DemonstrationConfig(),
)


def _deg(angle_rad: float) -> float:
    return round(math.degrees(angle_rad), 9)  # 25, not 24.999999999999996


PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("source", "webxr", "webxr = a page in the headset's browser; oculus_reader = its app; recording = a file"),
    ("recording", "", "file that is played back, of source recording"),
    ("wait", False, "a recording begins with the service teleop/play, not at the start"),
    ("record", "", "file that samples are written to; one that exists is left alone, for name-2; empty = none"),
    ("rate_hz", 100.0, "targets a second, 50..200"),
    ("base_frame", "", "frame that the arm's poses must be in; empty = the one that they come in"),
    ("arm_stale_s", 0.2, "an arm's pose older than this is not known, s"),
    ("host", "127.0.0.1", "address of the page: loopback for a headset on USB, 0.0.0.0 with tls for the network"),
    ("port", 8766, "port of the page; 0 = any that is free"),
    ("tls", False, "serve the page with a certificate, made at the first start"),
    ("directory", FOLDER, "folder of token and certificate; empty = a new token each time, and no tls"),
    ("usb", True, "keep localhost of a headset on USB leading to the page (adb reverse)"),
    ("open_page", True, "a headset on USB opens the page by itself, once it comes"),
    ("adb", "adb", "the adb program"),
    ("serial", "", "the headset's serial number, where adb knows more than one device"),
    ("scale", _MAP.scale, "metres of the arm for a metre of the hand"),
    ("yaw_deg", 0.0, "the operator's frame turned about the vertical into the arm's base, degrees"),
    ("turn", _MAP.turn, "the arm turns with the hand"),
    ("engage_at", _CLUTCH.engage_at, "the grip engages when pressed beyond this, 0..1"),
    ("release_at", _CLUTCH.release_at, "and releases when let go below this, 0..1"),
    ("stale_s", _GATES.stale_s, "oldest sample that is followed, s"),
    ("grace_s", _GATES.grace_s, "so long may a pose be missing or guessed, s"),
    ("refuse_emulated", _GATES.refuse_emulated, "do not follow a guessed position; false for an emulated headset"),
    ("jump_m", _GATES.jump_m, "farthest that the right hand may come in one frame, m"),
    ("jump_deg", _deg(_GATES.jump_rad), "farthest that it may turn in one frame, degrees"),
    ("speed_m_s", _GATES.speed_m_s, "fastest that it may move, m/s"),
    ("min_cutoff_hz", _EURO.min_cutoff_hz, "one-euro filter: cutoff of a hand that rests, Hz"),
    ("beta_per_m", _EURO.beta_per_m, "one-euro filter: more cutoff with speed, Hz per m/s"),
    ("beta_per_rad", _EURO.beta_per_rad, "one-euro filter: more cutoff with turning, Hz per rad/s"),
    ("axis.mode", _AXIS.mode, "buttons (X, Y, LG) or orientation (hold the left trigger and turn)"),
    ("axis.latch", _AXIS.latch, "the axis stays when button or trigger is let go"),
    ("axis.button_x", list(_AXIS.buttons["X"]), "axis of button X, palm frame"),
    ("axis.button_y", list(_AXIS.buttons["Y"]), "axis of button Y, palm frame"),
    ("axis.button_lg", list(_AXIS.buttons["LG"]), "axis of the left grip, palm frame"),
    ("axis.short_axis", list(_AXIS.short_axis), "the controller's short axis in its own frame"),
    ("axis.short_weight", _AXIS.short_weight, "weight of a turn about the short axis, 0..1"),
    ("axis.start_deg", _deg(_AXIS.start_rad), "a turn, so weighted, from which an axis is chosen, degrees"),
    ("axis.stop_deg", _deg(_AXIS.stop_rad), "and the one below which it is given up, degrees"),
    ("axis.far_deg", _deg(_AXIS.far_rad), "turned farther than this the axis stays as it is, degrees"),
    ("axis.palm_xyzw", list(_AXIS.palm_xyzw), "the left controller's frame in the palm's, quaternion xyzw"),
    ("demonstration.task", "", "what is demonstrated, in words for the dataset; empty = the converter's"),
    ("demonstration.discard_hold_s", _DEMO.discard_hold_s, "button B is held so long to discard a demonstration, s"),
    ("demonstration.lost_s", _DEMO.lost_s, "a demonstration is put aside when the operator is away for so long, s"),
)  # fmt: skip


@dataclass(frozen=True)
class QuestSettings:
    """The parameters, checked."""

    bridge: BridgeConfig
    demonstration: DemonstrationConfig
    task: str
    source: str
    recording: str
    wait: bool
    record: str
    rate_hz: float
    base_frame: str
    arm_stale_s: float
    host: str
    port: int
    tls: bool
    directory: str
    usb: bool
    open_page: bool
    adb: str
    serial: str


def declare_parameters(node: Node) -> None:
    """Declare all of them, with their meaning for ``ros2 param describe``."""
    for name, default, text in PARAMETERS:
        node.declare_parameter(name, default, ParameterDescriptor(description=text))


def read_settings(node: Node) -> QuestSettings:
    """The parameters as they are now.

    Raises:
        ValueError: a value that is not allowed; the message names it.
    """
    value = {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
    if value["source"] not in SOURCES:
        raise ValueError(f"parameter source is {value['source']!r}; allowed: {', '.join(SOURCES)}")
    if value["wait"] and value["source"] != "recording":
        raise ValueError("parameter wait is true, but only source recording can wait")
    if not 50.0 <= value["rate_hz"] <= 200.0:
        raise ValueError(f"parameter rate_hz is {value['rate_hz']:g}; allowed: 50 to 200 Hz")
    if not 0.0 < value["arm_stale_s"] <= 1.0:
        raise ValueError(f"parameter arm_stale_s is {value['arm_stale_s']:g}; allowed: up to 1 s")
    plain = {
        field.name: value[field.name]
        for field in dataclasses.fields(QuestSettings)
        if field.name in value
    }
    demonstration = DemonstrationConfig(
        discard_hold_s=value["demonstration.discard_hold_s"], lost_s=value["demonstration.lost_s"]
    )
    return QuestSettings(
        bridge=_bridge(value),
        demonstration=demonstration,
        task=value["demonstration.task"].strip(),
        **plain,
    )


def _bridge(value: dict[str, Any]) -> BridgeConfig:
    buttons = {name: tuple(value[f"axis.button_{name.lower()}"]) for name in ("X", "Y", "LG")}
    return BridgeConfig(
        gates=GateConfig(
            stale_s=value["stale_s"],
            grace_s=value["grace_s"],
            refuse_emulated=value["refuse_emulated"],
            jump_m=value["jump_m"],
            jump_rad=math.radians(value["jump_deg"]),
            speed_m_s=value["speed_m_s"],
        ),
        clutch=ClutchConfig(value["engage_at"], value["release_at"]),
        mapping=MappingConfig(value["scale"], math.radians(value["yaw_deg"]), value["turn"]),
        smoothing=OneEuroConfig(
            min_cutoff_hz=value["min_cutoff_hz"],
            beta_per_m=value["beta_per_m"],
            beta_per_rad=value["beta_per_rad"],
        ),
        axis=AxisConfig(
            mode=value["axis.mode"],
            latch=value["axis.latch"],
            buttons=buttons,
            short_axis=tuple(value["axis.short_axis"]),
            short_weight=value["axis.short_weight"],
            start_rad=math.radians(value["axis.start_deg"]),
            stop_rad=math.radians(value["axis.stop_deg"]),
            far_rad=math.radians(value["axis.far_deg"]),
            palm_xyzw=tuple(value["axis.palm_xyzw"]),
        ),
    )


def open_source(
    settings: QuestSettings, status: Callable[[], Status], codes: Callable[[str], None]
) -> Source:
    """The source that was asked for, not started.

    Args:
        settings: which.
        status: what a page shows.
        codes: told each pairing code of the page.

    Raises:
        TeleopError, DashboardError: it cannot be had.
    """
    if settings.source == "oculus_reader":
        return OculusReader(AdbConfig(settings.adb, settings.serial))
    if settings.source == "recording":
        return RecordingSource(Path(settings.recording).expanduser())
    return _webxr(settings, status, codes)


def _webxr(
    settings: QuestSettings, status: Callable[[], Status], codes: Callable[[str], None]
) -> WebXrSource:
    folder = Path(settings.directory).expanduser() if settings.directory else None
    if folder is not None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"the folder {folder} of token and certificate cannot be made ({error.strerror}): give another in the "
                "parameter directory, or an empty one for a new token each time"
            ) from error
    elif settings.tls:
        raise ValueError("tls needs a certificate; give its folder in the parameter directory")
    # The server and its libraries are loaded only where they serve.
    from dexndm_ros.teleop.web.config import WebConfig
    from dexndm_ros.teleop.web.source import WebXrSource

    config = WebConfig(
        token=keep_token(folder / TOKEN_FILE if folder else None),
        host=settings.host,
        port=settings.port,
        certificate=folder / CERTIFICATE_FILE if folder and settings.tls else None,
    )
    return WebXrSource(config, status, codes)
