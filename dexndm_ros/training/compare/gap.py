# SPDX-License-Identifier: Apache-2.0
"""What is different about a world's hand, in words and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dexndm_ros.sim.worlds import World

__all__ = ["describe_gap"]

_FACTOR, _SUM = "x{:.2f}", "{:g}"
_KEYS = {
    ("servo", "kp_scale"): ("position gains, of nominal", _FACTOR, 1.0, ""),
    ("servo", "kd_scale"): ("servo damping, of nominal", _FACTOR, 1.0, ""),
    ("servo", "torque_scale"): ("torque limit, of nominal", _FACTOR, 1.0, ""),
    ("hand", "joint_damping_nms_rad"): ("passive damping", _SUM, 1.0, "N·m·s/rad"),
    ("hand", "friction_loss_nm"): ("dry friction of the hand", "{:.3f}", 1.0, "N·m"),
    ("hand", "armature_kg_m2"): ("rotor inertia", "{:.5f}", 1.0, "kg·m²"),
    ("hand", "tip_friction"): ("friction of the fingertips", _SUM, 1.0, ""),
    ("hand", "link_friction"): ("friction of the links", _SUM, 1.0, ""),
    ("gap", "target_offset_rad"): ("offsets of the targets", "{:+.0f}", 1e3, "mrad"),
    ("gap", "backlash_rad"): ("play", "{:.0f}", 1e3, "mrad"),
    ("gap", "delay_s"): ("delay of the commands", "{:.0f}", 1e3, "ms"),
    ("gap", "friction_loss_nm"): ("dry friction on top", "{:.3f}", 1.0, "N·m"),
    ("gap", "load_gain"): ("softening of the springs under load", "{:.2f}", 1.0, ""),
    ("gap", "torque_loss"): ("share of the torque that warm motors lose", "{:.2f}", 1.0, ""),
    ("gap", "link_mass_scale"): ("masses of the links, of nominal", _FACTOR, 1.0, ""),
    ("servo", "p_gain"): ("position gain register", _SUM, 1.0, ""),
    ("servo", "d_gain"): ("damping register", _SUM, 1.0, ""),
    ("servo", "current_limit_ma"): ("current limit", _SUM, 1.0, "mA"),
}


def describe_gap(world: World) -> list[tuple[str, str]]:
    """(what, how much) of everything about the hand that is not nominal; empty where there is no gap."""
    nominal, rows = World(), []
    for (section, key), (words, form, factor, unit) in _KEYS.items():
        value: Any = getattr(getattr(world, section), key)
        usual: Any = getattr(getattr(nominal, section), key)
        if np.array_equal(np.unique(value), np.unique(usual)):
            continue
        numbers = np.unique(np.asarray(value, dtype=float)) * factor
        least, most = form.format(numbers[0]), form.format(numbers[-1])
        text = least if least == most else f"{least} to {most}"
        rows.append((words, f"{text} {unit}".rstrip()))
    return rows
