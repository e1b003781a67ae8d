# SPDX-License-Identifier: Apache-2.0
"""Export job: a trained generalist, a residual or an inverse as a policy file with its spec inside, dynamics as ONNX.

dexndm export --run runs/generalist --scores runs/evaluation.json --out policies/cylinder_z/generalist.onnx
dexndm export --run runs/residual --scores runs/with_residual.json --out residuals/my_hand/residual.onnx
dexndm export --run runs/sysid --out residuals/my_hand/inverse.onnx
dexndm export --run runs/joint --out joint.onnx
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.observation import OBSERVATION_SIZE
from dexndm_ros.policy.onnx_file import INPUT_NAME, INPUT_SIZES, OUTPUT_NAMES
from dexndm_ros.policy.spec import PolicySpec, PolicySpecError, refusal, write_spec
from dexndm_ros.sim.worlds import WorldError
from dexndm_ros.training.generalist import load_generalist
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.residual_export import (
    ExportError,
    export_residual,
    read_report,
    scores_of,
)

__all__ = ["export_onnx", "main", "strip_traces", "verify_export"]

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference allowed between torch and ONNX Runtime, in units of the action."""


def export_onnx(net: torch.nn.Module, path: Path, kind: str = "base") -> None:
    """Write a network (B, inputs of its kind) -> (B, 16) as ONNX with a free batch size.

    Args:
        net: the network.
        path: file to write.
        kind: "base" or "residual".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        net.eval(),
        (torch.zeros(2, INPUT_SIZES[kind]),),
        str(path),
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAMES[kind]],
        dynamic_shapes=({0: batch},),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    strip_traces(path)


def strip_traces(path: Path) -> None:
    """Drop the exporter's notes: they carry source lines and paths of the machine that exported."""
    model = onnx.load(path)
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer,
                 *model.graph.input, *model.graph.output):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def verify_export(net: torch.nn.Module, path: Path, observations: np.ndarray) -> float:
    """Largest difference between torch and the file on observations (N, inputs).

    Raises:
        RuntimeError: it is above ``TOLERANCE``.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours = session.run(None, {INPUT_NAME: observations.astype(np.float32)})[0]
    with torch.inference_mode():
        theirs = net(torch.from_numpy(observations.astype(np.float32))).numpy()
    worst = float(np.abs(ours - theirs).max())
    if not worst < TOLERANCE:
        raise RuntimeError(
            f"{path} differs from its network by {worst:.2g} (allowed {TOLERANCE:g}); do not ship it"
        )
    return worst


def make_spec(run: Path, scores: Mapping[str, float]) -> PolicySpec:
    """The spec of a generalist run."""
    record = json.loads((run / "config.json").read_text(encoding="utf-8"))
    shards = record.get("shards")
    tasks = record["tasks"]
    axes, wrists = [task["axis"] for task in tasks], [task["wrist"] for task in tasks]
    if shards:
        axes, wrists = shards["axes"] + axes, shards["wrists"] + wrists
    begun = "".join(
        f", {words} {_short(record[key])}"
        for key, words in (("correction", "simulator corrected by"), ("init", "begun from"))
        if record.get(key)
    )
    return PolicySpec(
        kind="base",
        joint_names=JOINT_NAMES,
        lower_rad=tuple(LOWER_RAD.tolist()),
        upper_rad=tuple(UPPER_RAD.tolist()),
        default_pose_rad=tuple(CANONICAL_POSE_RAD.tolist()),
        trained_on=_trained_on(record) + begun,
        commit=f"{record['commit']}, exported at {commit_id()}",
        scores=dict(scores),
        axes=tuple(dict.fromkeys(axes)),
        wrists=tuple(dict.fromkeys(wrists)),
    )


def _trained_on(record: Mapping[str, Any]) -> str:
    """The worlds of a generalist run, in words."""
    words = []
    if shards := record.get("shards"):
        objects = f", {', '.join(shards['families'])}" if shards["families"] else ""
        words.append(
            f"{shards['episodes']} rollouts, worlds {', '.join(shards['worlds'])}{objects}"
        )
    if record["tasks"]:
        words.append(
            f"world {_short(record['world'])}, physics {record['physics']}, cylinders "
            f"{record['randomisation']['radius_m']} m radius, {record['randomisation']['mass_kg']} kg"
        )
    return "; ".join(words)


def _short(path: str) -> str:
    """The end of a path: the rest is of the machine that trained."""
    return "/".join(Path(path).parts[-2:])


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm export``."""
    parser = argparse.ArgumentParser(
        prog="dexndm export",
        description="Write a generalist, residual or identification run as an ONNX policy file (of an identification: "
        "the inverse of its world), or a dynamics run as an ONNX model.",
    )
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="run folder of `dexndm train generalist`, `residual` or `dynamics`, or of `dexndm sysid fit`",
    )
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    parser.add_argument(
        "--scores", type=Path, help="report of `dexndm evaluate` to put into the spec"
    )
    arguments = parser.parse_args(argv)
    try:
        return _export(arguments.run, arguments.out, arguments.scores)
    except (ExportError, PolicySpecError, WorldError) as error:
        print(f"dexndm export: {error}", file=sys.stderr)
        return 2


def _export(run: Path, out: Path, report: Path | None) -> int:
    if (run / "dynamics.pt").is_file():
        from dexndm_ros.training.dynamics.model import DynamicsModel
        from dexndm_ros.training.dynamics.onnx_file import export_dynamics

        worst = export_dynamics(DynamicsModel.load(run), out)
        print(f"{out}: a dynamics model, largest difference {worst:.1e} rad")
        return 0
    if (run / "world.yaml").is_file():
        from dexndm_ros.training.inverse_export import export_inverse

        spec = export_inverse(run, out, report)
        print(
            f"{out}: an inverse, at most {spec.residual_bound_rad:g} rad; its card is {out.parent / 'README.md'}"
        )
        return 0
    if (run / "residual.onnx").is_file():
        spec = export_residual(run, out, report)
        print(
            f"{out}: a residual, at most {spec.residual_bound_rad:g} rad; its card is {out.parent / 'README.md'}"
        )
        if spec.refused:
            print(refusal(spec.refused))
        return 0
    if not (run / "generalist.pt").is_file():
        raise ExportError(
            f"{run} has none of generalist.pt, residual.onnx, world.yaml and dynamics.pt: give the --out folder of "
            "the job"
        )
    net = load_generalist(run)
    partial = out.with_name(out.name + ".new")
    export_onnx(net, partial)
    probe = np.random.default_rng(0).normal(size=(256, OBSERVATION_SIZE))
    worst = verify_export(net, partial, probe)
    scores = scores_of(read_report(report)) if report else {}
    write_spec(partial, make_spec(run, scores))
    partial.replace(out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, largest difference {worst:.1e}")
    return 0
