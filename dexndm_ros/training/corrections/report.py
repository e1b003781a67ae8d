# SPDX-License-Identifier: Apache-2.0
"""What a correction is worth on motion it never saw: numbers and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.sim.correction import Correction
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.corrections.open_loop import open_loop, rms_mrad
from dexndm_ros.training.stretches import Stretch

__all__ = ["write_report"]

Array = NDArray[np.float64]


def write_report(
    out: Path,
    stretches: Sequence[Stretch],
    world: World,
    correction: Correction,
    threads: int,
    record: dict[str, Any],
) -> dict[str, Any]:
    """Write ``metrics.json`` and ``tracking.png``.

    Args:
        out: run folder.
        stretches: held-out motion, in pieces.
        world: the simulator.
        correction: of as many hands.
        threads: physics threads.
        record: settings, seed and commit of the run.

    Returns:
        What is in the JSON file.
    """
    simulated = {
        "nominal": open_loop(stretches, world, None, threads),
        "corrected": open_loop(stretches, world, correction, threads),
    }
    by_joint = {name: rms_mrad(stretches, each) for name, each in simulated.items()}
    metrics = {
        "rms_mrad": {
            name: round(float(np.sqrt((each**2).mean())), 3) for name, each in by_joint.items()
        },
        "rms_mrad_by_joint": {
            name: dict(zip(JOINT_NAMES, each.round(3).tolist(), strict=True))
            for name, each in by_joint.items()
        },
        "held_out": {"pieces": len(stretches), "rows": sum(len(each.q) for each in stretches)},
        "run": record,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    _draw(out / "tracking.png", stretches, simulated, by_joint)
    return metrics


def _draw(
    file: Path,
    stretches: Sequence[Stretch],
    simulated: dict[str, list[Array]],
    by_joint: dict[str, Array],
) -> None:
    """A piece of middling error of the three joints that were worst, and the errors of all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(4, 1, figsize=(9, 10))
    misses = [
        np.square(sim - each.q).mean()
        for each, sim in zip(stretches, simulated["nominal"], strict=True)
    ]
    shown = int(np.argsort(misses)[len(misses) // 2])
    recorded = stretches[shown]
    time_s = np.arange(len(recorded.q)) / 20
    for panel, joint in zip(panels, np.argsort(by_joint["nominal"])[:-4:-1], strict=False):
        panel.plot(time_s, recorded.q[:, joint], "k", label="recorded")
        panel.plot(time_s, recorded.action[:, joint], "0.8", drawstyle="steps-post", label="target")
        for name, each in simulated.items():
            panel.plot(time_s, each[shown][:, joint], "--", label=name)
        panel.set_ylabel(f"{JOINT_NAMES[joint]}, rad")
        panel.grid(alpha=0.3)
    panels[0].legend(ncols=4, fontsize=8)
    panels[2].set_xlabel("s")
    for k, (name, errors) in enumerate(by_joint.items()):
        at = np.arange(len(errors)) + 0.4 * k - 0.2
        panels[3].bar(at, errors, 0.4, color=f"C{k}", label=name)
    panels[3].set_xticks(range(len(JOINT_NAMES)), JOINT_NAMES, rotation=45, ha="right", fontsize=7)
    panels[3].set_ylabel("open loop, mrad rms")
    panels[3].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
