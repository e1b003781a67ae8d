# SPDX-License-Identifier: Apache-2.0
"""A dynamics model as an ONNX file: angles and targets (B, W, 16) in, change of the angles (B, 16) out, radians."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.export import OPSET, strip_traces

__all__ = ["TOLERANCE_RAD", "export_dynamics"]

TOLERANCE_RAD = 1e-5
"""Largest difference allowed between the model and its file."""


def export_dynamics(model: DynamicsModel, path: Path, windows: int = 1000, seed: int = 0) -> float:
    """Write the file, whole and verified or not at all.

    Args:
        model: to write.
        path: of the file.
        windows: random ones that model and file are compared on.
        seed: of those.

    Returns:
        Largest difference on them, rad.

    Raises:
        DynamicsError: it is above ``TOLERANCE_RAD``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    copy = DynamicsModel(deepcopy(model.net), model.facts, batched=True).to("cpu")
    batch = torch.export.Dim("batch", min=1)
    shape = (2, model.window, JOINT_COUNT)
    try:
        torch.onnx.export(
            copy.net,
            (torch.zeros(shape), torch.zeros(shape)),
            str(partial),
            input_names=["q", "a"],
            output_names=["dq"],
            dynamic_shapes=({0: batch}, {0: batch}),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        strip_traces(partial)
        _describe(partial, copy)
        worst = _compare(partial, copy, windows, seed)
        if not worst < TOLERANCE_RAD:
            raise DynamicsError(
                f"{path} would differ from its model by {worst:.2g} rad (allowed {TOLERANCE_RAD:g}); it is not written"
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return worst


def _describe(path: Path, model: DynamicsModel) -> None:
    """What a reader needs, in the file's metadata."""
    file = onnx.load(path)
    onnx.helper.set_model_props(
        file,
        {
            "dexndm.kind": "dynamics",
            "dexndm.joints": ",".join(JOINT_NAMES),
            "dexndm.window": str(model.window),
            "dexndm.structure": model.config.structure,
            "dexndm.facts": json.dumps(model.facts),
        },
    )
    onnx.save(file, path)


def _compare(path: Path, model: DynamicsModel, windows: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    shape = (windows, model.window, JOINT_COUNT)
    q = rng.uniform(-0.3, 1.5, (windows, 1, JOINT_COUNT)) + 0.02 * rng.normal(size=shape).cumsum(1)
    a = q + 0.1 * rng.normal(size=shape)
    rows = {"q": q.astype(np.float32), "a": a.astype(np.float32)}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return float(np.abs(session.run(None, rows)[0] - model.predict(rows["q"], rows["a"])).max())
