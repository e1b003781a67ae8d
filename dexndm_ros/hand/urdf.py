# SPDX-License-Identifier: Apache-2.0
"""The hand's URDF, written from the joint table and the link table (for RViz, Foxglove, robot_state_publisher)."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import LINKS, TIP_OFFSETS_M, Link
from dexndm_ros.hand.joints import JOINTS
from dexndm_ros.hand.units import XC330_M288

__all__ = ["build_urdf", "main", "rpy_from_quaternion"]

_GREY = "0.83 0.85 0.88 1"
_DARK = "0.13 0.13 0.15 1"


def rpy_from_quaternion(wxyz: Sequence[float]) -> tuple[float, float, float]:
    """Roll, pitch, yaw (URDF's fixed axes x, y, z) of a quaternion w x y z."""
    w, x, y, z = wxyz
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    if abs(abs(pitch) - math.pi / 2) < 1e-6:
        # Gimbal lock: all turning about the vertical goes into roll.
        return (2.0 * math.atan2(x, w), pitch, 0.0)
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return (roll, pitch, yaw)


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.8g}" for value in values)


def _rotation(wxyz: Sequence[float]) -> NDArray[np.float64]:
    w, x, y, z = np.asarray(wxyz) / np.linalg.norm(wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _add_link(robot: ET.Element, link: Link) -> None:
    element = ET.SubElement(robot, "link", name=link.name)
    inertial = ET.SubElement(element, "inertial")
    ET.SubElement(inertial, "origin", xyz=_numbers(link.com_m), rpy="0 0 0")
    ET.SubElement(inertial, "mass", value=f"{link.mass_kg:.8g}")
    axes = _rotation(link.inertia_quat_wxyz)
    tensor = axes @ np.diag(link.inertia_kg_m2) @ axes.T
    names = {
        "ixx": (0, 0),
        "ixy": (0, 1),
        "ixz": (0, 2),
        "iyy": (1, 1),
        "iyz": (1, 2),
        "izz": (2, 2),
    }
    ET.SubElement(inertial, "inertia", {k: f"{tensor[ij]:.8g}" for k, ij in names.items()})
    for box in link.boxes:
        for kind in ("visual", "collision"):
            shape = ET.SubElement(element, kind)
            ET.SubElement(shape, "origin", xyz=_numbers(box.centre_m), rpy=_numbers(box.rpy_rad))
            geometry = ET.SubElement(shape, "geometry")
            ET.SubElement(geometry, "box", size=_numbers([2 * h for h in box.half_m]))
            if kind == "visual":
                name = "tip" if box.tip else "body"
                ET.SubElement(shape, "material", name=name)


def build_urdf(name: str = "leap_hand_right") -> str:
    """The URDF as text; joints are named as in ``JOINT_NAMES``, fingertip frames are ``<finger>_tip``."""
    robot = ET.Element("robot", name=name)
    for material, colour in (("body", _GREY), ("tip", _DARK)):
        ET.SubElement(ET.SubElement(robot, "material", name=material), "color", rgba=colour)
    for link in LINKS.values():
        _add_link(robot, link)
    for joint in JOINTS:
        element = ET.SubElement(robot, "joint", name=joint.name, type="revolute")
        ET.SubElement(element, "parent", link=joint.parent)
        ET.SubElement(element, "child", link=joint.child)
        ET.SubElement(
            element,
            "origin",
            xyz=_numbers(joint.xyz_m),
            rpy=_numbers(rpy_from_quaternion(joint.quat_wxyz)),
        )
        ET.SubElement(element, "axis", xyz="0 0 -1")
        ET.SubElement(
            element,
            "limit",
            lower=f"{joint.lower_rad:g}",
            upper=f"{joint.upper_rad:g}",
            effort=f"{XC330_M288.stall_torque_nm:g}",
            velocity=f"{XC330_M288.no_load_speed_rad_s:g}",
        )
    for finger, (parent, offset) in TIP_OFFSETS_M.items():
        ET.SubElement(robot, "link", name=f"{finger}_tip")
        element = ET.SubElement(robot, "joint", name=f"{finger}_tip_fixed", type="fixed")
        ET.SubElement(element, "parent", link=parent)
        ET.SubElement(element, "child", link=f"{finger}_tip")
        ET.SubElement(element, "origin", xyz=_numbers(offset), rpy="0 0 0")
    ET.indent(robot)
    return ET.tostring(robot, encoding="unicode", xml_declaration=True) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm urdf [--out FILE]``: print or write the URDF."""
    parser = argparse.ArgumentParser(prog="dexndm urdf", description="Write the hand's URDF.")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    arguments = parser.parse_args(argv)
    text = build_urdf()
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        arguments.out.write_text(text, encoding="utf-8")
    return 0
