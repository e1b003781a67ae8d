# SPDX-License-Identifier: Apache-2.0
"""Small policy files of known behaviour: one linear layer whose weights the test chooses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.observation import OBSERVATION_SIZE, RESIDUAL_INPUT_SIZE
from dexndm_ros.policy.spec import PolicySpec, Seat, write_spec

SIZES = {"base": OBSERVATION_SIZE, "residual": RESIDUAL_INPUT_SIZE}
OUTPUTS = {"base": "delta", "residual": "residual"}


def leap_seat(rate_hz: float = 20.0) -> Seat:
    """The seat that the LEAP hand's driver and the policy node offer."""
    return Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist(), rate_hz)


def leap_spec(**changes: Any) -> PolicySpec:
    """A spec that fits the LEAP hand, with some fields changed."""
    spec = PolicySpec(
        kind="base",
        joint_names=JOINT_NAMES,
        lower_rad=tuple(LOWER_RAD.tolist()),
        upper_rad=tuple(UPPER_RAD.tolist()),
        default_pose_rad=tuple(CANONICAL_POSE_RAD.tolist()),
        trained_on="nothing; made by a test",
        commit="0" * 40,
        scores={"rotation_rad": 0.0},
        axes=("+z", "-z"),
        wrists=("palm_up", "palm_down"),
    )
    return dataclasses.replace(spec, **changes)


def residual_spec(bound_rad: float = 0.05, **changes: Any) -> PolicySpec:
    """A residual's spec that fits the LEAP hand."""
    return leap_spec(kind="residual", residual_bound_rad=bound_rad, **changes)


def write_linear_model(
    path: Path,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    input_name: str = "observation",
    output_name: str = "delta",
    input_shape: tuple[int | str | None, ...] | None = None,
    output_shape: tuple[int | str | None, ...] | None = None,
    elem_type: int = TensorProto.FLOAT,
) -> Path:
    """An ONNX file of ``input @ weight + bias`` without a spec; shapes as declared, true or not."""
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    matrix, offset = np.asarray(weight, dtype=dtype), np.asarray(bias, dtype=dtype)
    in_shape = ("batch", matrix.shape[0]) if input_shape is None else input_shape
    out_shape = ("batch", matrix.shape[1]) if output_shape is None else output_shape
    graph = helper.make_graph(
        [helper.make_node("Gemm", [input_name, "weight", "bias"], [output_name])],
        "tiny_policy",
        [helper.make_tensor_value_info(input_name, elem_type, in_shape)],
        [helper.make_tensor_value_info(output_name, elem_type, out_shape)],
        [numpy_helper.from_array(matrix, "weight"), numpy_helper.from_array(offset, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def write_tiny_policy(
    path: Path,
    *,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    spec: PolicySpec | None = None,
) -> Path:
    """A policy file that fits the LEAP hand; without weights its output is ``bias`` (zeros)."""
    spec = leap_spec() if spec is None else spec
    shape = (SIZES[spec.kind], 16)
    write_linear_model(
        path,
        np.zeros(shape) if weight is None else weight,
        np.zeros(16) if bias is None else bias,
        output_name=OUTPUTS[spec.kind],
    )
    write_spec(path, spec)
    return path
