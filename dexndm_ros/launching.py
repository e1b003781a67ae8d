# SPDX-License-Identifier: Apache-2.0
"""Turns a system of :mod:`dexndm_ros.bringup` into a launch description, for the files in ``launch/``.

``launch`` and ``launch_ros`` come with a full ROS only, so they are imported where they are used.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dexndm_ros.bringup import SYSTEMS, Argument, ProcessSpec, system
from dexndm_ros.paths import share_dir
from dexndm_ros.respawn import RespawnBudget, RespawnRule

__all__ = ["launch_description"]

_RESPAWN_DELAY_S = 2.0
_RVIZ = Argument("rviz", "false", "true = also start robot_state_publisher and RViz")


def launch_description(name: str) -> Any:
    """The launch description of a system, with the system's arguments declared.

    Args:
        name: a key of ``bringup.SYSTEMS``.
    """
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    declared = [
        DeclareLaunchArgument(a.name, default_value=a.default, description=a.description)
        for a in (*SYSTEMS[name].arguments, _RVIZ)
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=partial(_actions, name))])


def _actions(name: str, context: Any) -> list[Any]:
    """Called by launch when the arguments are known."""
    given = context.launch_configurations
    arguments = {a.name: given[a.name] for a in SYSTEMS[name].arguments}
    actions = [_node(spec) for spec in system(name, arguments)]
    if given[_RVIZ.name].lower() in ("true", "1"):
        actions += _rviz()
    return actions


def _node(spec: ProcessSpec) -> Any:
    """The node as an installed executable, or, in a checkout, as a module of this interpreter."""
    from launch_ros.actions import Node
    from launch_ros.parameter_descriptions import ParameterValue

    # Without a declared type launch reads "1" as a number and "[0,0,1]" as a list.
    parameters: list[Any] = [] if spec.parameter_file is None else [str(spec.parameter_file)]
    parameters.append(
        {
            key: ParameterValue(value, value_type=type(value))
            for key, value in spec.parameters.items()
        }
    )
    if _installed(spec.executable):
        program: dict[str, Any] = {"package": "dexndm_ros", "executable": spec.executable}
    else:
        program = {"executable": sys.executable, "arguments": ["-m", spec.module]}
    return Node(
        **program,
        name=spec.name,
        exec_name=spec.name,
        parameters=parameters,
        remappings=list(spec.remaps),
        ros_arguments=["--enclave", spec.enclave],
        output="screen",
        emulate_tty=False,
        respawn=spec.respawn,
        respawn_delay=_RESPAWN_DELAY_S,
        respawn_max_retries=-1 if spec.critical else RespawnRule().budget,
        on_exit=_at_end(spec),
    )


def _at_end(spec: ProcessSpec) -> Callable[[Any, Any], list[Any]]:
    """What launch does when the process has ended: nothing while it may be started again.

    launch itself starts it again without end and always after the same time, so the budget is kept here.
    """
    from launch.actions import LogInfo, Shutdown

    budget, started_s = RespawnBudget(), time.monotonic()

    def ended(event: Any, context: Any) -> list[Any]:
        nonlocal started_s
        now_s, lived_s = time.monotonic(), time.monotonic() - started_s
        started_s = now_s + _RESPAWN_DELAY_S
        if spec.respawn and budget.ended(now_s, lived_s, event.returncode) is not None:
            text = f"{spec.name} is started again, {budget.used} times so far"
            return [LogInfo(msg=text)] if not context.is_shutdown else []
        return [Shutdown(reason=f"{spec.name} ended")] if spec.critical else []

    return ended


def _installed(executable: str) -> bool:
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return any((Path(p) / "lib" / "dexndm_ros" / executable).is_file() for p in prefixes if p)


def _rviz() -> list[Any]:
    from launch_ros.actions import Node

    from dexndm_ros.hand.urdf import build_urdf

    layout = str(share_dir() / "config" / "rviz" / "leap_hand.rviz")
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[{"robot_description": build_urdf()}],
        ),
        Node(package="rviz2", executable="rviz2", arguments=["-d", layout], output="log"),
    ]
