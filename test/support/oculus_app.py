# SPDX-License-Identifier: Apache-2.0
"""What the oculus_reader app logs, and an ``adb`` that prints it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from dexndm_ros.teleop.pose import Pose


def app_line(
    right: Pose,
    left: Pose,
    buttons=frozenset(),
    squeeze=0.0,
    stamp="11-21 02:45:18.123",
    left_buttons=frozenset(),
) -> str:
    """A line as the app prints it; poses in the headset's frame, OpenXR's axes."""
    pressed = "".join(f"{name}," for name in sorted(buttons))
    left_pressed = "".join(f"{name}," for name in sorted(left_buttons))
    return (
        f"{stamp}  4321  4345 I wE9ryARX: r:{_matrix(right)}|l:{_matrix(left)}"
        f"&R,{pressed}rightJS 0.000000 0.000000,rightTrig 0.000000,rightGrip {squeeze:f},"
        f"L,{left_pressed}leftJS 0.000000 0.000000,leftTrig 0.000000,leftGrip 0.000000\n"
    )


def _matrix(pose: Pose) -> str:
    rows = pose.rotation.as_matrix()
    numbers = [
        *rows[0],
        pose.position_m[0],
        *rows[1],
        pose.position_m[1],
        *rows[2],
        pose.position_m[2],
    ]
    return "".join(f"{number:g} " for number in [*numbers, 0, 0, 0, 1])


def make_adb(folder: Path, lines: list[str], then: str = "sleep") -> Path:
    """An ``adb`` whose logcat prints lines byte for byte, then waits ("sleep") or ends ("exit").

    It writes each command that it is given, and its process id, to ``calls``.
    """
    (folder / "lines").write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    adb = folder / "adb"
    adb.write_text(
        textwrap.dedent(
            f"""\
            #!/bin/sh
            echo $$ "$@" >> '{folder}/calls'
            case "$*" in
            *logcat*) cat '{folder}/lines'; [ {then} = exit ] || exec sleep 60 ;;
            esac
            """
        ),
        encoding="utf-8",
    )
    adb.chmod(0o755)
    return adb
