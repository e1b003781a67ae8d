# SPDX-License-Identifier: Apache-2.0
"""Writes the worlds with a gap that are shipped in ``config/worlds``: tabulated values and draws of a stated seed.

    python -m dexndm_ros.sim.gap_worlds --out config/worlds

They were drawn once, before any residual was trained in them, and are frozen (``docs/worlds.md``): the command
gives the same bytes again, and a test holds the shipped files to them. A world of your own is a file of your own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import LINKS
from dexndm_ros.hand.joints import JOINT_COUNT, permutation
from dexndm_ros.sim.worlds import ServoConfig

__all__ = ["SEED", "gap_worlds", "main"]

SEED = 5
"""Of every draw; each world has its own stream, (SEED, its name's letters)."""

_TABLE_16_KP = (
    3.52, 1.78, 2.84, 2.30, 1.94, 2.18, 2.55, 2.01, 2.26, 2.30, 3.76, 4.64, 1.86, 3.44, 4.82, 1.53,
)  # fmt: skip
_TABLE_16_KD = (
    0.194, 0.106, 0.091, 0.195, 0.199, 0.192, 0.149, 0.050, 0.088, 0.135, 0.027, 0.081, 0.123, 0.042,
    0.082, 0.068,
)  # fmt: skip
_TABLE_17_KG = (
    0.257, 0.0241, 0.0190, 0.0279, 0.0105, 0.0468, 0.0030, 0.0365, 0.0538, 0.0312, 0.0263, 0.0211,
    0.0163, 0.0503, 0.0343, 0.0476, 0.0223,
)  # fmt: skip
"""Without the massless root and fingertips; palm, then base to distal of index, thumb, middle, ring."""
_TABLE_17_FINGERS = ("index", "thumb", "middle", "ring")
_OBJECT = (
    "object: {kind: cylinder, radius_m: 0.034, half_height_m: 0.030, mass_kg: 0.05, friction: 1.0}"
)

Vector = NDArray[np.float64]
Section = Mapping[str, float | Vector]


def _table_gains() -> tuple[Vector, Vector]:
    """(kp_scale, kd_scale) with the spread of Table 16 and the mean of the nominal gains."""
    nominal = ServoConfig().gains()
    order = permutation("isaac_gym", "motor")
    scales = []
    for table, gains in (
        (_TABLE_16_KP, nominal.kp_nm_rad),
        (_TABLE_16_KD, nominal.kd_nms_rad),
    ):
        identified = np.array(table)[order]
        scales.append(identified * gains.mean() / identified.mean() / gains)
    return scales[0], scales[1]


def _wide(kp: Vector, kd: Vector) -> Section:
    """The scales squared, at the mean of the nominal gains."""
    nominal = ServoConfig().gains()
    pairs = (("kp_scale", kp, nominal.kp_nm_rad), ("kd_scale", kd, nominal.kd_nms_rad))
    return {
        name: scale**2 * gains.mean() / (scale**2 * gains).mean() for name, scale, gains in pairs
    }


def _table_masses() -> Vector:
    """Table 17 over the link table's masses, in the order of the link table."""
    links = list(LINKS)
    names = ["palm"]
    for finger in _TABLE_17_FINGERS:
        names += [name for name in links if name.startswith(f"{finger}_")]
    identified = dict(zip(names, _TABLE_17_KG, strict=True))
    return np.array([identified[name] / LINKS[name].mass_kg for name in links])


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode()])


def _unmodelled() -> Section:
    rng = _stream("unmodelled")
    return {
        "target_offset_rad": rng.uniform(-0.04, 0.04, JOINT_COUNT),
        "backlash_rad": rng.uniform(0.01, 0.03, JOINT_COUNT),
        "friction_loss_nm": rng.uniform(0.01, 0.04, JOINT_COUNT),
        "load_gain": rng.uniform(0.2, 0.8, JOINT_COUNT),
        "torque_loss": rng.uniform(0.2, 0.4, JOINT_COUNT),
        "heat_time_s": 10.0,
    }


def _twin() -> tuple[Section, Section]:
    rng = _stream("twin")
    kp, kd = _table_gains()
    servo: Section = {"kp_scale": np.sqrt(kp), "kd_scale": np.sqrt(kd)}
    gap: Section = {
        "target_offset_rad": rng.uniform(-0.02, 0.02, JOINT_COUNT),
        "backlash_rad": rng.uniform(0.01, 0.02, JOINT_COUNT),
        "delay_s": 0.012,
        "friction_loss_nm": rng.uniform(0.01, 0.03, JOINT_COUNT),
        "torque_loss": rng.uniform(0.1, 0.2, JOINT_COUNT),
        "heat_time_s": 10.0,
        "link_mass_scale": _table_masses(),
    }
    return servo, gap


def _mild(name: str) -> tuple[Section, Section]:
    rng = _stream(name)
    kp = rng.uniform(0.9, 1.1) * np.exp(rng.normal(0.0, 0.15, JOINT_COUNT))
    kd = rng.uniform(0.8, 1.25) * np.exp(rng.normal(0.0, 0.2, JOINT_COUNT))
    servo: Section = {
        "kp_scale": kp,
        "kd_scale": kd,
        "torque_scale": rng.uniform(0.85, 1.0, JOINT_COUNT),
    }
    gap: Section = {
        "target_offset_rad": rng.uniform(-0.03, 0.03, JOINT_COUNT),
        "backlash_rad": rng.uniform(0.0, 0.02, JOINT_COUNT),
        "delay_s": rng.uniform(0.0, 0.02),
        "friction_loss_nm": rng.uniform(0.005, 0.03, JOINT_COUNT),
        "load_gain": rng.uniform(0.0, 0.4, JOINT_COUNT),
        "torque_loss": rng.uniform(0.0, 0.25, JOINT_COUNT),
        "heat_time_s": rng.uniform(6.0, 20.0),
        "link_mass_scale": rng.uniform(0.8, 1.2, len(LINKS)),
    }
    return servo, gap


def gap_worlds() -> dict[str, str]:
    """Every shipped world with a gap: its name and the text of its file."""
    kp, kd = _table_gains()
    worlds = {
        "gains": _text(
            "gains",
            "Gains as unequal as those identified on a real hand (paper, Table 16), at the nominal mean.",
            {"kp_scale": kp, "kd_scale": kd},
            {},
        ),
        "gains_wide": _text(
            "gains_wide",
            "The scales of gains.yaml squared, at the nominal mean: more than training ever drew.",
            _wide(kp, kd),
            {},
        ),
        "unmodelled": _text(
            "unmodelled",
            "What no choice of gains expresses: offsets, play, friction, springs that soften, motors that tire.",
            {},
            _unmodelled(),
        ),
        "twin": _text(
            "twin",
            "Stands for a real robot: half of Table 16's spread, masses of Table 17, and a little of all else.",
            *_twin(),
        ),
        "twin_box": _text(
            "twin_box",
            "The hand of twin.yaml in the Chaos Box at full load.",
            *_twin(),
            box=True,
        ),
        "delay_50ms": _text(
            "delay_50ms",
            "The nominal hand, one control step late: the newest command does nothing to the next state.",
            {},
            {"delay_s": 0.05},
        ),
    }
    for number in (1, 2, 3):
        name = f"mild_{number}"
        worlds[name] = _text(
            name,
            "A mild mixture of everything, drawn blindly and kept for the last test.",
            *_mild(name),
        )
    return worlds


def _text(name: str, words: str, servo: Section, gap: Section, box: bool = False) -> str:
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        f"# {words}",
        f"# Frozen (docs/worlds.md); written by python -m dexndm_ros.sim.gap_worlds, seed {SEED}.",
        f"name: {name}",
        *(["wrist: palm_down", "physics: balls"] if box else ["wrist: palm_up", "physics: ref"]),
        "servo:",
        "  motor: xc330_m288",
        "  p_gain: 800",
        "  d_gain: 200",
        "  current_limit_ma: 500",
        *_rows(servo),
        *(["object: {kind: none}", "box: {kind: balls, fill: full}"] if box else [_OBJECT]),
        *(["gap:", *_rows(gap)] if gap else []),
    ]
    return "\n".join(lines) + "\n"


def _rows(section: Section) -> list[str]:
    rows = []
    for key, value in section.items():
        if isinstance(value, float):
            rows.append(f"  {key}: {value:.4g}")
        else:
            rows.append(f"  {key}: [{', '.join(f'{v:.4f}' for v in value)}]")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m dexndm_ros.sim.gap_worlds",
        description="Write the shipped worlds with a gap, the same bytes every time.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the world files")
    folder = parser.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in gap_worlds().items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        print(folder / f"{name}.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
