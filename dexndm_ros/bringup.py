# SPDX-License-Identifier: Apache-2.0
"""Which processes make up each system: the launch files and ``dexndm`` both read it from here.

A system is a function from its arguments to a list of :class:`ProcessSpec`, in start order: what
others need comes first, so that stopping in reverse order lets the driver switch the torque off
while the hand is still there. Nothing here starts a process or imports ROS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dexndm_ros.bringup_hand import (
    HAND_ARGUMENTS,
    POLICY_ARGUMENTS,
    default_virtual_port,
    hand_port,
    hand_processes,
    policy_process,
    scheduling,
)
from dexndm_ros.bringup_parts import Argument, BringupError, System, flag, node_process, number
from dexndm_ros.bringup_teleop import TELEOP
from dexndm_ros.campaign_head import CampaignHead, CampaignHeadError
from dexndm_ros.paths import (
    WORLD_OF_LOAD,
    PathError,
    campaign_path,
    share_dir,
)
from dexndm_ros.process_spec import ParameterValue, ProcessSpec

__all__ = [
    "SYSTEMS",
    "Argument",
    "BringupError",
    "ParameterValue",
    "ProcessSpec",
    "System",
    "default_virtual_port",
    "system",
]

_COMMAND_PERIOD_S = 0.05
_APPROACH_RAD_S = 1.0
_RELAX_AFTER_S = 5.0
"""A hand that nobody has commanded for so long, because the replay died, is switched off."""
_PORT_WAIT_S = 600.0
"""A driver that is started again may find the cable out; it waits for it to come back."""


def _leap_hand(values: Mapping[str, str]) -> list[ProcessSpec]:
    return hand_processes(values, flag("enable", values["enable"]))


def _rotation_demo(values: Mapping[str, str]) -> list[ProcessSpec]:
    """Hand, driver and the rotation policy."""
    return [*hand_processes(values, enable=True), policy_process(values)]


def _chaos_box(values: Mapping[str, str]) -> list[ProcessSpec]:
    """Hand, driver, recorder, replay and dashboard; each is started again when it dies."""
    share = share_dir()
    campaign = campaign_path(values["campaign"].strip())
    head = CampaignHead.read(campaign)
    if head.hand_load not in WORLD_OF_LOAD:
        allowed = ", ".join(WORLD_OF_LOAD)
        raise BringupError(f"{campaign}: hand_load is {head.hand_load!r}; allowed: {allowed}")
    out = Path(values["out"].strip() or f"campaigns/{campaign.stem}").expanduser().absolute()
    speed = number("speed", values["speed"], 0.05, 100.0, "times real time")
    port, sim = hand_port(values)
    if not sim and speed != 1.0:
        raise BringupError(f"speed is {speed:g}, but the hand at {port} is real; leave speed out")
    if not sim and not Path(port).exists():
        raise BringupError(
            f"port {port} does not exist: plug the U2D2 in, or leave port out for the virtual hand"
        )
    world = values["world"].strip() or WORLD_OF_LOAD[head.hand_load]
    *virtual, driver = hand_processes({**values, "world": world}, enable=False)
    rate_hz = float(driver.parameters["rate_hz"])
    # At its real pace the virtual hand needs no clock of its own: everything runs as with a hand of metal.
    time: dict[str, ParameterValue] = {"use_sim_time": True} if speed != 1.0 else {}
    night: dict[str, ParameterValue] = {"relax_after_s": _RELAX_AFTER_S, **time}
    if sim:
        night |= {
            # More than this starves the bus of two Python processes.
            "rate_hz": min(max(250.0, rate_hz), rate_hz * speed),
            "health_hz": min(20.0, max(1.0, speed)),
            "command_period_s": _COMMAND_PERIOD_S / speed,
            "ramp_speed_rad_s": _APPROACH_RAD_S * speed,
        }
    else:
        night["port_wait_s"] = _PORT_WAIT_S
    hand: dict[str, ParameterValue] = {
        "speed": speed,
        "wrist": values["wrist"].strip() or head.orientation,
        "load": head.hand_load,
    }
    # The campaign pauses at its own limit; the recorder's is the last resort below it.
    recorder: dict[str, ParameterValue] = {
        "directory": str(out / "bags"),
        "min_free_gb": 0.5 * head.pause_gb,
        **time,
    }
    replay = {
        "campaign": str(campaign),
        "directory": str(out),
        # A replay that is started again goes on in the same run, and ends when its time is over.
        "begun": datetime.now().isoformat(timespec="seconds"),
        **scheduling(values),
        **time,
    }
    processes = [
        *(replace(spec, parameters={**spec.parameters, **hand}) for spec in virtual),
        replace(driver, parameters={**driver.parameters, **night}),
        node_process("episode_recorder", recorder, share),
        node_process("chaos_box_replay", replay, share),
    ]
    if flag("dashboard", values["dashboard"]) or head.webhook:
        page: dict[str, ParameterValue] = {
            "directory": str(out),
            "webhook": head.webhook,
            "port": int(number("dashboard_port", values["dashboard_port"], 1, 65535, "")),
        }
        # Nobody looks at night: the campaign goes on without it.
        processes.append(replace(node_process("dashboard", page, share), critical=False))
    return [replace(spec, respawn=True) for spec in processes]


def _bag_replay(values: Mapping[str, str]) -> list[ProcessSpec]:
    """The player alone: which nodes listen is up to who starts it."""
    bag = values["bag"].strip()
    if not bag:
        raise BringupError(
            "bag is empty; name the bag to play, as in bag:=/data/monday/bags/e000001_a1"
        )
    path = Path(bag).expanduser().absolute()
    if not path.exists():
        raise BringupError(f"bag {path} does not exist; name a bag's folder, or one of its files")
    parameters: dict[str, ParameterValue] = {
        "bag": str(path),
        "topics": values["topics"].strip(),
        "remap": values["remap"].strip(),
        "rate": number("rate", values["rate"], 0.001, 1000.0, "times the recorded pace"),
        "start_s": number("start", values["start"], 0.0, 1e9, "s"),
        "duration_s": number("duration", values["duration"], 0.0, 1e9, "s"),
        "paused": flag("pause", values["pause"]),
        "loop": flag("loop", values["loop"]),
        "order": values["order"].strip(),
        "clock_hz": number("clock", values["clock"], 0.0, 1000.0, "Hz"),
        "publish_commands": flag("publish_commands", values["publish_commands"]),
        "allow_listeners": values["allow_listeners"].strip(),
        "keep_holes": flag("keep_holes", values["keep_holes"]),
    }
    return [node_process("bag_replay", parameters, share_dir())]


_BAG_ARGUMENTS = (
    Argument("bag", "", "bag to play: its folder, or one of its files"),
    Argument("rate", "1.0", "times the recorded pace"),
    Argument("start", "0", "where to begin, seconds after the first message"),
    Argument("duration", "0", "how much to play, recorded seconds; 0 = to the end"),
    Argument("pause", "false", "true = wait at the start for bag_replay/resume, step or tick"),
    Argument("loop", "false", "true = begin again at the end"),
    Argument("topics", "", "topics to play, separated by blanks; empty = all"),
    Argument("remap", "", "other names to play topics under: FROM:=TO, separated by blanks"),
    Argument("order", "log", "log = as messages were received; publish = as they were published"),
    Argument("clock", "0", "publish the recorded time on /clock so often, Hz; 0 = not at all"),
    Argument(
        "publish_commands", "false", "true = also what makes something move, to allowed listeners"
    ),
    Argument("allow_listeners", "", "nodes that may hear commands, separated by blanks"),
    Argument("keep_holes", "false", "true = stand still for as long as nothing was recorded"),
)

_CAMPAIGN_ARGUMENTS = (
    Argument("campaign", "demo", "what to collect: a name in config/campaigns or a YAML file"),
    Argument(
        "out", "", "folder of bags and ledger, given again to go on; empty = campaigns/<campaign>"
    ),
    Argument("wrist", "", "palm orientation of the virtual hand; empty = the campaign's"),
    Argument("speed", "1.0", "how much faster than real time the virtual hand lives"),
    Argument(
        "dashboard", "true", "true = serve it on 127.0.0.1; a campaign with a webhook always does"
    ),
    Argument("dashboard_port", "8765", "its TCP port"),
)

SYSTEMS: dict[str, System] = {
    "bag_replay": System(
        "A recorded bag is played back into the graph: pace, order, bytes as they were.",
        _BAG_ARGUMENTS,
        _bag_replay,
    ),
    "chaos_box": System(
        "A LEAP hand in a box of balls, real or virtual, replays trajectories and records them.",
        (
            *_CAMPAIGN_ARGUMENTS,
            *(
                replace(a, default="", description=f"{a.description}; empty = the campaign's load")
                if a.name == "world"
                else a
                for a in HAND_ARGUMENTS
            ),
        ),
        _chaos_box,
    ),
    "leap_hand": System(
        "The driver of one LEAP hand, real or virtual.",
        (*HAND_ARGUMENTS, Argument("enable", "false", "true = torque on, holding the pose")),
        _leap_hand,
    ),
    "rotation_demo": System(
        "A LEAP hand, real or virtual, rotates an object.",
        (*HAND_ARGUMENTS, *POLICY_ARGUMENTS),
        _rotation_demo,
    ),
    "teleop": TELEOP,
}


def system(name: str, arguments: Mapping[str, object] | None = None) -> list[ProcessSpec]:
    """The processes of a system, in start order.

    Args:
        name: a key of ``SYSTEMS``.
        arguments: values by name; missing or None = the default.

    Raises:
        BringupError: unknown system or argument, or a value that is not allowed.
    """
    if name not in SYSTEMS:
        raise BringupError(f"unknown system {name!r}; known: {', '.join(SYSTEMS)}")
    chosen = SYSTEMS[name]
    values = {argument.name: argument.default for argument in chosen.arguments}
    for key, value in (arguments or {}).items():
        if key not in values:
            raise BringupError(f"{name} has no argument {key!r}; it has: {', '.join(values)}")
        if value is not None:
            values[key] = str(value)
    try:
        return chosen.build(values)
    except (CampaignHeadError, PathError) as error:
        raise BringupError(str(error)) from error
