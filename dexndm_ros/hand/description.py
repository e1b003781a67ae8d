# SPDX-License-Identifier: Apache-2.0
"""Links of the LEAP hand as primitives: masses, inertias, boxes and fingertip frames.

URDF and MJCF are both written from this table and from ``joints.JOINTS``. Masses and inertias are those
of MuJoCo Menagerie's ``leap_hand`` (the URDF's own put every centre of mass at the link origin); boxes are
dex-urdf's collision boxes, with a box in place of the fingertip mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FINGERS", "LINKS", "TIP_OFFSETS_M", "Box", "Link"]

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]

FINGERS = ("index", "middle", "ring", "thumb")


@dataclass(frozen=True)
class Box:
    """A collision box: half sizes and centre in metres, rotation as roll-pitch-yaw in rad (link frame)."""

    half_m: Vec3
    centre_m: Vec3
    rpy_rad: Vec3 = (0.0, 0.0, 0.0)
    tip: bool = False


@dataclass(frozen=True)
class Link:
    """A rigid link: mass (kg), centre of mass (m), principal inertia (kg·m²) and its axes (w x y z)."""

    name: str
    mass_kg: float
    com_m: Vec3
    inertia_kg_m2: Vec3
    inertia_quat_wxyz: Quat
    boxes: tuple[Box, ...] = field(default_factory=tuple)


TIP_OFFSETS_M: dict[str, tuple[str, Vec3]] = {
    "index": ("index_distal", (0.0, -0.048, 0.015)),
    "middle": ("middle_distal", (0.0, -0.048, 0.015)),
    "ring": ("ring_distal", (0.0, -0.048, 0.015)),
    "thumb": ("thumb_distal", (0.0, -0.060, -0.015)),
}
"""Fingertip frames: distal link and the tip point in its frame, metres (dex-urdf)."""

_PALM = Link(
    "palm", 0.237, (-0.049542, -0.042914, -0.010227),
    (4.07345e-4, 3.04759e-4, 1.80736e-4), (0.565586, 0.427629, -0.574956, 0.408254),
    (
        Box((0.011, 0.013, 0.017), (-0.009, 0.008, -0.011)),
        Box((0.011, 0.013, 0.017), (-0.009, -0.037, -0.011)),
        Box((0.011, 0.013, 0.017), (-0.009, -0.082, -0.011)),
        Box((0.029, 0.010, 0.023), (-0.066, -0.078, -0.0115), (0.0, 0.0, -0.2967)),
        Box((0.010, 0.060, 0.015), (-0.030, -0.035, -0.003)),
        Box((0.005, 0.060, 0.010), (-0.032, -0.035, -0.024), (0.0, 0.785, 0.0)),
        Box((0.012, 0.058, 0.023), (-0.048, -0.033, -0.0115)),
        Box((0.022, 0.026, 0.023), (-0.078, -0.053, -0.0115)),
        Box((0.002, 0.018, 0.017), (-0.098, -0.009, -0.006)),
        Box((0.022, 0.028, 0.002), (-0.078, -0.003, 0.010)),
    ),
)  # fmt: skip


def _finger_links(name: str) -> list[Link]:
    return [
        Link(
            f"{name}_base", 0.044, (-0.022516, 0.033882, 0.016359),
            (1.74972e-5, 1.61504e-5, 7.21342e-6), (0.388092, 0.677951, -0.247713, 0.573067),
            (
                Box((0.010, 0.003, 0.017), (0.0, 0.018, 0.0147)),
                Box((0.014, 0.020, 0.010), (-0.027, 0.042, 0.015)),
                Box((0.017, 0.003, 0.010), (-0.0262, 0.020, 0.0146)),
                Box((0.010, 0.012, 0.004), (-0.0295, 0.035, 0.029)),
                Box((0.007, 0.010, 0.002), (0.0, 0.005, 0.030)),
                Box((0.007, 0.010, 0.002), (0.0, 0.005, -0.001)),
            ),
        ),
        Link(
            f"{name}_proximal", 0.032, (0.0075, -0.0002, -0.011),
            (4.8853e-6, 4.3733e-6, 3.0933e-6), (0.0, 0.707107, 0.0, 0.707107),
            (Box((0.017, 0.013, 0.011), (0.0075, -0.0002, -0.011)),),
        ),
        Link(
            f"{name}_middle", 0.037, (0.0054215, -0.029148, 0.015),
            (8.28004e-6, 8.1598e-6, 5.39516e-6), (0.687228, 0.687228, 0.166487, 0.166487),
            (
                Box((0.008, 0.003, 0.013), (0.0, -0.020, 0.015)),
                Box((0.010, 0.002, 0.017), (0.0, -0.016, 0.015)),
                Box((0.007, 0.010, 0.002), (0.0, -0.0045, 0.030)),
                Box((0.007, 0.010, 0.002), (0.0, -0.0045, 0.0)),
                Box((0.017, 0.011, 0.013), (0.0075, -0.035, 0.015)),
            ),
        ),
        Link(
            f"{name}_distal", 0.016, (-0.0008794, -0.027019, 0.014594),
            (3.71863e-6, 3.02396e-6, 1.6518e-6), (0.702905, 0.710643, -0.0212937, -0.0214203),
            (
                Box((0.010, 0.003, 0.015), (0.0, -0.017, 0.015)),
                Box((0.007, 0.011, 0.002), (0.0, -0.006, 0.030)),
                Box((0.007, 0.011, 0.002), (0.0, -0.006, -0.001)),
                Box((0.0104, 0.0152, 0.0122), (-0.0008, -0.0348, 0.0145), tip=True),
            ),
        ),
    ]  # fmt: skip


def _thumb_links() -> list[Link]:
    return [
        Link(
            # Menagerie re-uses the finger's centre of mass here; the box lies at -x, so the mass does too.
            "thumb_base", 0.032, (-0.0075, -0.0002, -0.011),
            (4.8853e-6, 4.3733e-6, 3.0933e-6), (0.0, 0.707107, 0.0, 0.707107),
            (Box((0.017, 0.013, 0.011), (-0.0075, -0.0002, -0.011)),),
        ),
        Link(
            "thumb_axial", 0.003, (0.0, 0.0, -0.0070806),
            (6.1932e-7, 5.351e-7, 2.1516e-7), (0.707107, 0.707107, 0.0, 0.0),
            (
                Box((0.009, 0.0165, 0.002), (0.0, 0.0, -0.0015)),
                Box((0.007, 0.002, 0.010), (0.0, -0.015, -0.013)),
                Box((0.007, 0.002, 0.010), (0.0, 0.015, -0.013)),
            ),
        ),
        Link(
            "thumb_proximal", 0.038, (-0.0020593, 0.015912, -0.013733),
            (9.87104e-6, 9.32653e-6, 4.36203e-6), (0.698518, 0.697382, -0.104933, 0.121324),
            (
                Box((0.010, 0.020, 0.012), (0.0, 0.0105, -0.014)),
                Box((0.010, 0.002, 0.016), (0.0, 0.031, -0.015)),
                Box((0.007, 0.010, 0.002), (0.0, 0.042, 0.001)),
                Box((0.007, 0.010, 0.002), (0.0, 0.042, -0.029)),
                Box((0.005, 0.012, 0.009), (-0.0135, 0.0175, -0.011656)),
            ),
        ),
        Link(
            "thumb_distal", 0.049, (0.00096191, -0.024203, -0.014419),
            (2.08591e-5, 2.0402e-5, 4.71335e-6), (0.35287, 0.311272, -0.632839, 0.614904),
            (
                Box((0.010, 0.018, 0.012), (0.0, -0.0085, -0.015)),
                Box((0.010, 0.002, 0.015), (0.0, -0.029, -0.014)),
                Box((0.004, 0.012, 0.009), (0.015, -0.0175, -0.0115)),
                Box((0.0104, 0.0153, 0.0122), (-0.0008, -0.0468, -0.0145), tip=True),
            ),
        ),
    ]  # fmt: skip


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        _PALM,
        *_finger_links("index"),
        *_finger_links("middle"),
        *_finger_links("ring"),
        *_thumb_links(),
    )
}
"""All 17 links by name, the palm first."""
