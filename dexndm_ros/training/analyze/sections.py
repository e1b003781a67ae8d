# SPDX-License-Identifier: Apache-2.0
"""The report's sections: what was measured in words, tables, figures and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_NAMES, ORDERS
from dexndm_ros.training.analyze import figures
from dexndm_ros.training.analyze.corrections import PAPER_MRAD, Corrections
from dexndm_ros.training.analyze.histories import LEVELS
from dexndm_ros.training.analyze.neighbours import FORETOLD, Gains
from dexndm_ros.training.analyze.overlap import COVERED, Overlap
from dexndm_ros.training.analyze.polynomials import UNITS, Fits, noise_left
from dexndm_ros.training.analyze.report import Section, Table

__all__ = [
    "CORRECTIONS",
    "NEIGHBOURS",
    "OVERLAP",
    "SMOOTHNESS",
    "corrections",
    "neighbours",
    "overlap",
    "smoothness",
]

Array = NDArray[np.float64]
Planes = Mapping[str, tuple[Array, Array]]

OVERLAP = "Do histories of single joints overlap where those of the whole hand do not?"
CORRECTIONS = "How much is each joint corrected?"
NEIGHBOURS = "What do joints know of each other?"
SMOOTHNESS = "How smooth are motion and torques?"


def overlap(
    found: Mapping[str, Overlap],
    single: Planes,
    many: Planes,
    names: Sequence[str],
    out: Path,
) -> Section:
    """Paper, Figs. 4 and 15 to 19; draws its figures into the folder."""
    figures.plot_overlap(found, out / "overlap.png")
    figures.plot_planes(single, names, 4, out / "tsne_joints.png")
    figures.plot_planes(many, names, 5, out / "tsne_groups.png")
    rows = []
    for level, groups in LEVELS.items():
        for name in groups:
            each = found[name]
            numbers = dataclasses.astuple(each)
            rows.append((level, name, *(f"{number:.3f}" for number in numbers)))
    means = {
        level: {
            field.name: float(np.mean([getattr(found[name], field.name) for name in groups]))
            for field in dataclasses.fields(Overlap)
        }
        for level, groups in LEVELS.items()
    }
    head = ", ".join(
        f"{level}: coverage {mean['coverage']:.2f}, distance {mean['distance']:.2f} "
        f"(ratio {mean['distance_ratio']:.2f}), AUC {mean['auc']:.2f} (fine {mean['auc_fine']:.2f})"
        for level, mean in means.items()
    )
    return Section(
        OVERLAP,
        f"Means. {head}.",
        (
            f"A history is the angles and targets of a joint, a finger or the whole hand over a window. Of {names[0]} "
            "and "
            f"{names[1]}, each is cut in two halves that share no trajectory. Every number of a history is divided by "
            "its spread over the first half of the data.",
            "Distance: from a history of the other to the nearest of the data's first half, root mean square over its "
            "numbers, in spreads; median. Near 0, a model has been trained on nearly the same history; near 1, on one "
            "that is hardly nearer than any. Ratio: that over the same of the data's own second half; 1 is as near.",
            f"Coverage: the radius within which {COVERED:.0%} of the data's own second half find a history of the "
            f"first; the share of the other's histories that find one within it. {COVERED:.2f} is what the data give "
            "for themselves, 0 is none. Where the data lie far from each other, as whole-hand histories do, that "
            "radius is wide, and much is covered that is not near: read it with the distance.",
            "AUC: a classifier (extremely randomised trees) learns to tell the first halves apart, from angles and "
            "targets as they are, and is measured on the second ones: 0.5 is chance, 1 is certain. It finds any "
            "difference, also in how often a history occurs; coverage asks only whether it occurs. The fine one sees "
            "the changes from tick to tick and the distances to the target too, and so the noise on targets and how "
            "the servos answer: it is near 1 wherever one dataset has noise on its targets and the other has none.",
            "The t-SNE pictures are drawn as the paper draws them, of a few histories. Look at them after the numbers.",
        ),
        ("overlap.png", "tsne_joints.png", "tsne_groups.png"),
        (Table(("", "of", "coverage", "distance", "ratio", "AUC", "AUC, fine"), tuple(rows)),),
        {"groups": {name: dataclasses.asdict(each) for name, each in found.items()}, "mean": means},
    )


def corrections(found: Corrections, out: Path) -> Section:
    """Paper, Table 8."""
    figures.plot_corrections(found, out / "corrections.png")
    place = {motor: k for k, motor in enumerate(ORDERS["isaac_gym"])}
    rows = tuple(
        (
            name,
            str(place[k]),
            *(f"{values[k]:.1f}" for values in (found.mean, found.high, found.most, found.bias)),
            f"{PAPER_MRAD[k]:.1f}",
        )
        for k, name in enumerate(JOINT_NAMES)
    )
    return Section(
        CORRECTIONS,
        f"{found.source}, {found.rows} ticks: {found.mean.mean():.1f} mrad on average; most "
        f"{JOINT_NAMES[int(found.mean.argmax())]} ({found.mean.max():.1f} mrad), least "
        f"{JOINT_NAMES[int(found.mean.argmin())]} ({found.mean.min():.1f} mrad).",
        (
            "Mean magnitude of what the residual policy adds to each joint's target. From rollouts that were made with "
            "it, it is what it did; from its file over a dataset, what it would have added in one tick at each of the "
            "states there, without what follows from it. The paper's numbers are those of another hand and gap.",
        ),
        ("corrections.png",),
        (
            Table(
                ("joint", "Isaac Gym", "mean, mrad", "95 % below", "most", "mean with sign", "paper"),
                rows,
            ),
        ),
        {
            "source": found.source,
            "rows": found.rows,
            **{
                f"{name}_mrad": _by_joint(getattr(found, name))
                for name in ("mean", "high", "most", "bias")
            },
        },
    )  # fmt: skip


def neighbours(
    gains: Mapping[str, Gains], told: Mapping[str, tuple[Array, Array]], out: Path
) -> Section:
    """Paper, A.4, and the gains of added histories, which are ours."""
    figures.plot_foretold(told, out / "foretold.png")
    figures.plot_gains(gains, out / "gains.png")
    words = [
        f"on {name}, all joints' histories take {100 * each.hand.mean():.1f} % off a joint's error, its finger's "
        f"{100 * each.finger.mean():.1f} %"
        for name, each in gains.items()
    ]
    foretold = tuple(
        (what, *(cell for mrad, share in told.values() for cell in (
            f"{np.median(mrad[:, k]):.1f}", f"{np.median(share[:, k]):.3f}"
        )))
        for k, what in enumerate(FORETOLD)
    )  # fmt: skip
    head = ("median of the joints", *(cell for name in told for cell in (f"mrad, {name}", "of spread")))  # fmt: skip
    return Section(
        NEIGHBOURS,
        f"Mean gains: {'; '.join(words)}.",
        (
            "First figure (paper, A.4): from one joint's history alone, a network (one a joint; its hidden layer is "
            "drawn, the rest fitted in closed form) foretells the joint's own next angle, and angle and target of the "
            "joints beside it (motor order; the last one's next is the first) at the newest tick. It learns from the "
            "first half of the data's trajectories; dots are joints, errors root mean square, on the second half and "
            "on the other dataset. An error as large as the spread means that a history tells nothing; above it, that "
            "what was learned is wrong there.",
            "Second figure (ours): a linear model (ridge, closed form) predicts each joint's next change from its own "
            "history, and once more with the history of another joint, of its finger or of all joints. Shown is the "
            "share of the error that goes away. What is negative on the other dataset was learned of the data and is "
            "not true there. Linear models see no contact; a small gain is no proof that there is no coupling.",
        ),
        ("foretold.png", "gains.png"),
        (
            Table(head, foretold),
            Table(
                ("joint", *(cell for name in gains for cell in (f"own, mrad, {name}", "finger, %", "all, %"))),
                tuple(
                    (joint, *(cell for each in gains.values() for cell in (
                        f"{each.own_mrad[k]:.2f}", f"{100 * each.finger[k]:.1f}", f"{100 * each.hand[k]:.1f}"
                    )))
                    for k, joint in enumerate(JOINT_NAMES)
                ),
            ),
        ),
        {
            "foretold": {
                name: {
                    what: {"mrad": _by_joint(mrad[:, k]), "of_spread": _by_joint(share[:, k])}
                    for k, what in enumerate(FORETOLD)
                }
                for name, (mrad, share) in told.items()
            },
            "gains": {
                name: {
                    "own_mrad": _by_joint(each.own_mrad),
                    "added": each.added.tolist(),
                    "finger": _by_joint(each.finger),
                    "hand": _by_joint(each.hand),
                }
                for name, each in gains.items()
            },
        },
    )  # fmt: skip


def smoothness(found: Mapping[str, Mapping[str, Fits]], window: int, out: Path) -> Section:
    """Paper, A.3, Figs. 41 to 52."""
    figures.plot_fits(found, window, out / "polynomials.png")
    figures.plot_examples(list(found.values())[-1], out / "polynomial_examples.png")
    rows, numbers = [], {}
    for name, fits in found.items():
        numbers[name] = {signal: _fit_numbers(signal, each) for signal, each in fits.items()}
        for signal, each in fits.items():
            unit, factor = UNITS[signal]
            mean = factor * each.rms.mean(axis=(0, 1))
            cells = [f"{mean[d]:.2f} ({each.left[d]:.0%})" for d in _shown(len(mean))]
            rows.append((name, f"{signal}, {unit}", *cells))
    degrees = len(next(iter(next(iter(found.values())).values())).left)
    noise = noise_left(window, degrees - 1)
    rows.append(("white noise", "", *(f"({noise[d]:.0%})" for d in _shown(degrees))))
    last = list(found)[-1]
    cubic = min(3, degrees - 1)
    words = ", ".join(f"{signal} {each.left[cubic]:.0%}" for signal, each in found[last].items())
    return Section(
        SMOOTHNESS,
        f"Left of the spread in a window by degree {cubic}, {last}: {words}; of white noise {noise[cubic]:.0%}.",
        (
            f"Polynomials are fitted to {window} ticks of one joint by least squares, and what they leave is averaged "
            "over windows and joints (in the table; in brackets and in the figure, all of it as a share of the "
            "windows' spread about their means). A polynomial of degree d has d + 1 numbers for each window and takes "
            "something off anything: the share that it leaves of white noise is "
            "√((W - 1 - d) / (W - 1)), drawn beside it. What lies below that is smooth, what lies on it is not.",
            "Active torque is the distance a - q from angle to target, as in the paper: the servo's torque over its "
            "position gain, were there no damping. Servo current is measured; the paper has none. Virtual torque "
            "(paper, A.3; needs a dataset of a free hand): the target less the one that a free hand would have needed "
            "for the same next angle, by an inverse model of each joint; ours is linear, the paper's a network.",
            "An encoder's tick is 1.5 mrad: rounding alone leaves 0.4 mrad.",
        ),
        ("polynomials.png", "polynomial_examples.png"),
        (
            Table(
                ("dataset", "signal", *(f"degree {d}" for d in _shown(degrees))),
                tuple(rows),
            ),
        ),
        numbers,
    )


def _shown(degrees: int) -> list[int]:
    return [d for d in (0, 1, 2, 3, 5, 7) if d < degrees]


def _fit_numbers(signal: str, fits: Fits) -> dict[str, object]:
    unit, factor = UNITS[signal]
    mean = factor * fits.rms.mean(axis=0)
    return {
        "unit": unit,
        "mean_rms_by_degree": (factor * fits.rms.mean(axis=(0, 1))).tolist(),
        "left_by_degree": fits.left.tolist(),
        "mean_rms_by_joint_and_degree": {
            name: mean[k].tolist() for k, name in enumerate(JOINT_NAMES)
        },
    }


def _by_joint(values: Array) -> dict[str, float]:
    return {name: float(value) for name, value in zip(JOINT_NAMES, values, strict=True)}
