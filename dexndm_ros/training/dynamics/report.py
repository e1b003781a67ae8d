# SPDX-License-Identifier: Apache-2.0
"""What a finished run tells: errors of model, ARX and persistence on every data set, as a table, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.dynamics.config import DynamicsConfig
from dexndm_ros.training.dynamics.data import Windows
from dexndm_ros.training.dynamics.fit import errors_of
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.dynamics.networks import DynamicsNet, flops_a_transition
from dexndm_ros.training.dynamics.processes import Processes

__all__ = ["error_table", "finish_report", "response"]

_SOME = 256
"""Windows that the response is averaged over."""
_NAMES = {"joint": "joint-wise", "finger": "finger-wise", "hand": "whole-hand"}


def finish_report(
    out: Path,
    config: DynamicsConfig,
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    model: DynamicsModel,
    arx: DynamicsNet,
    sets: Mapping[str, Windows],
    processes: Processes,
) -> dict[str, dict[str, float]]:
    """Measure, print the table, and write ``metrics.json`` and ``curves.png`` from the first process.

    Args:
        out: run folder.
        config: of the run.
        facts: of the model.
        rows: history, one an epoch.
        model: the best one.
        arx: linear fit.
        sets: data by name; the first is what the model was chosen by.
        processes: that share the work.

    Returns:
        Root mean square error over all joints, mrad, by data and then by model.
    """
    name = _NAMES[config.network.structure]
    nets = {"persistence": None, "ARX": arx, name: model.net}
    by_joint = {
        data: {label: 1e3 * errors_of(net, windows, processes) for label, net in nets.items()}
        for data, windows in sets.items()
    }
    errors = {
        data: {label: float(rms.square().mean().sqrt()) for label, rms in of_data.items()}
        for data, of_data in by_joint.items()
    }
    if not processes.first:
        return errors
    felt = response(model, sets["validation"])
    joints = {
        data: {label: dict(zip(JOINT_NAMES, rms.tolist(), strict=True)) for label, rms in found.items()}
        for data, found in by_joint.items()
    }  # fmt: skip
    metrics = {
        "config": asdict(config),
        **facts,
        "windows": {data: len(windows) for data, windows in sets.items()},
        "rms_mrad": errors,
        "rms_mrad_by_joint": joints,
        "response": {joint: felt[:, k].tolist() for k, joint in enumerate(JOINT_NAMES)},
        "flops_a_transition": flops_a_transition(config.network),
        "seconds": sum(row["seconds"] for row in rows),
        "history": list(rows),
    }
    partial = out / "metrics.json.part"
    partial.write_text(json.dumps(_finite(metrics), indent=2) + "\n", encoding="utf-8")
    partial.replace(out / "metrics.json")
    _plot(out / "curves.png", rows, by_joint, f"{name} dynamics, {out.name}")
    print(error_table(errors))
    newest = felt[-1].abs()
    print(
        f"response to the newest target, rad a rad: {float(newest.mean()):.3f} "
        f"(least {float(newest.min()):.3f}, {JOINT_NAMES[int(newest.argmin())]})"
    )
    return errors


def error_table(errors: Mapping[str, Mapping[str, float]]) -> str:
    """One-step errors in mrad: a line for each data set, a column for each model."""
    labels = list(next(iter(errors.values())))
    width = max(len(name) for name in (*errors, "one-step RMS error, mrad"))
    lines = ["  ".join(["one-step RMS error, mrad".ljust(width), *(f"{x:>11}" for x in labels)])]
    for data, found in errors.items():
        lines.append("  ".join([data.ljust(width), *(f"{found[x]:11.2f}" for x in labels)]))
    return "\n".join(lines)


def response(model: DynamicsModel, windows: Windows) -> Tensor:
    """How much a joint's next change follows its own targets: mean derivative, (W, 16), rad a rad, oldest first.

    Where the newest (the last row) is near zero, nothing that is added to a target reaches the next tick.
    """
    q, a = next(iter(windows.batches(_SOME, 0)))
    q, a = q[:, :-1], a[:, :-1].clone().requires_grad_(True)
    change = model.predict(q, a)
    total = torch.zeros(model.window, JOINT_COUNT, device=a.device)
    for joint in range(JOINT_COUNT):
        (gradient,) = torch.autograd.grad(change[:, joint].sum(), a, retain_graph=True)
        total[:, joint] = gradient[:, :, joint].mean(0)
    return total.cpu()


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not torch.isfinite(torch.tensor(value)):
        return None
    return value


def _plot(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    by_joint: Mapping[str, Mapping[str, Tensor]],
    title: str,
) -> None:
    """Learning curves, and the errors of each joint on each data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1 + len(by_joint), 1, figsize=(9, 3 * (1 + len(by_joint))), squeeze=False
    )
    curves = panels[0, 0]
    steps = range(len(rows))
    curves.plot(
        steps, [row["val_loss"] for row in rows], label="validation", marker="o", markersize=3
    )
    curves.plot(steps, [row["loss"] for row in rows], label="training", marker="o", markersize=3)
    shared = sum(row["phase"] == "shared" for row in rows)
    if shared:
        curves.axvline(shared - 0.5, color="grey", linestyle=":", label="one network, then many")
    curves.set_yscale("log")
    curves.set_xlabel("row of the log, an epoch each; each phase begins with what it knows before")
    curves.set_ylabel("squared error / spread²")
    curves.legend()
    for panel, (data, found) in zip(panels[1:, 0], by_joint.items(), strict=True):
        for number, (label, rms) in enumerate(found.items()):
            places = [k + (number - 1) * 0.27 for k in range(JOINT_COUNT)]
            panel.bar(places, rms.tolist(), 0.27, label=label)
        panel.set_xticks(range(JOINT_COUNT), JOINT_NAMES, rotation=40, ha="right", fontsize=7)
        panel.set_ylabel("RMS error, mrad")
        panel.set_title(data, fontsize=9)
        panel.legend(fontsize=7)
    for panel in panels[:, 0]:
        panel.grid(alpha=0.3)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
