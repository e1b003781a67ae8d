# SPDX-License-Identifier: Apache-2.0
"""Opening a policy's ONNX file: a session for a control loop, the spec, the shapes it must have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from dexndm_ros.policy.observation import JOINT_COUNT, OBSERVATION_SIZE, RESIDUAL_INPUT_SIZE
from dexndm_ros.policy.spec import METADATA_KEY, PolicySpec, PolicySpecError, spec_from_json

__all__ = ["INPUT_NAME", "INPUT_SIZES", "OUTPUT_NAMES", "PolicyModel", "fingerprint", "open_model"]

INPUT_NAME = "observation"
INPUT_SIZES = {"base": OBSERVATION_SIZE, "residual": RESIDUAL_INPUT_SIZE}
OUTPUT_NAMES = {"base": "delta", "residual": "residual"}

ort.set_default_logger_severity(3)  # errors come back as exceptions; warnings of ours are noise


@dataclass(frozen=True)
class PolicyModel:
    """An opened policy file.

    Attributes:
        path: the file.
        spec: its spec, checked in itself.
        session: one thread, no spinning.
    """

    path: Path
    spec: PolicySpec
    session: ort.InferenceSession

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output for (B, input size) rows, shape (B, 16)."""
        outputs: list[NDArray[np.float32]] = self.session.run(None, {INPUT_NAME: rows})
        return outputs[0]


def fingerprint(path: str | Path | None) -> str:
    """SHA-256 of a file, hexadecimal; empty without one. It names a policy in recordings."""
    if path is None or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_model(path: str | Path) -> PolicyModel:
    """Open a policy file and check that it is what its spec says.

    Raises:
        PolicySpecError: naming ``file``, ``metadata``, the spec's field, or the input or output
            that does not fit.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise PolicySpecError(
            "file", "there is no such file; give the path of an .onnx policy", path
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # the runtime raises a dozen types of its own, all meaning this
        raise PolicySpecError(
            "file",
            f"not a whole ONNX model ({str(error).strip()[:200]}); copy or export it again",
            path,
        ) from error
    if METADATA_KEY not in metadata:
        raise PolicySpecError(
            "metadata", f"no {METADATA_KEY} in this ONNX file; export it with its spec", path
        )
    model = PolicyModel(file, spec_from_json(metadata[METADATA_KEY], path), session)
    _check_shapes(model)
    return model


def _check_shapes(model: PolicyModel) -> None:
    """One float32 input (B, size), one output (B, 16), and a finite answer to a trial run."""
    kind = model.spec.kind
    inputs, outputs = model.session.get_inputs(), model.session.get_outputs()
    for role, nodes, name, size in (
        ("input", inputs, INPUT_NAME, INPUT_SIZES[kind]),
        ("output", outputs, OUTPUT_NAMES[kind], JOINT_COUNT),
    ):
        got = ", ".join(f"{node.name} {node.type} {node.shape}" for node in nodes)
        wanted = f"{name} tensor(float) [batch, {size}]"
        if len(nodes) != 1 or nodes[0].name != name or nodes[0].type != "tensor(float)":
            raise PolicySpecError(
                name, f"the model's {role} is {got}; a {kind} policy has {wanted}", model.path
            )
        shape = nodes[0].shape
        # An exporter may leave a size as a symbol; the trial run below settles what it is.
        batch_fits = len(shape) == 2 and (not isinstance(shape[0], int) or shape[0] == 1)
        if not batch_fits or (isinstance(shape[1], int) and shape[1] != size):
            raise PolicySpecError(
                name, f"the model's {role} is {got}; a {kind} policy has {wanted}", model.path
            )
    try:
        answer = model.run(np.zeros((1, INPUT_SIZES[kind]), dtype=np.float32))
    except Exception as error:
        raise PolicySpecError(
            INPUT_NAME,
            f"a trial run failed ({str(error).strip()[:200]}); export the policy again",
            model.path,
        ) from error
    name = OUTPUT_NAMES[kind]
    if answer.shape != (1, JOINT_COUNT):
        raise PolicySpecError(
            name, f"a trial run gave shape {answer.shape}, not (1, {JOINT_COUNT})", model.path
        )
    if not np.isfinite(answer).all():
        raise PolicySpecError(
            name, "a trial run on zeros gave values that are not finite", model.path
        )
