# SPDX-License-Identifier: Apache-2.0
"""What a policy file says about itself, inside the ONNX file, and whether a hand can honour it.

The spec is JSON under the metadata key ``dexndm_spec``. ``read_spec`` finds fields that are
missing, unknown, of a wrong type or at odds with each other; ``check_spec`` compares the spec with
the seat the policy shall sit in: the hand's joint table and the control rate. Each refusal names
the field.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dexndm_ros.policy.observation import HISTORY_LENGTH, JOINT_COUNT
from dexndm_ros.policy.wrist import AxisError, WristError, parse_axis, parse_wrist

__all__ = [
    "ACTION_SCALE_RAD",
    "FORMAT_VERSION",
    "KINDS",
    "LARGEST_BOUND_RAD",
    "METADATA_KEY",
    "RATE_HZ",
    "PolicySpec",
    "PolicySpecError",
    "Seat",
    "check_spec",
    "read_spec",
    "refusal",
    "spec_from_json",
    "spec_to_json",
    "write_spec",
]

METADATA_KEY = "dexndm_spec"
FORMAT_VERSION = 1
KINDS = ("base", "residual")
ACTION_SCALE_RAD = 1.0 / 24.0
RATE_HZ = 20.0
LARGEST_BOUND_RAD = 0.5
"""A residual that may do more than this is no correction; a hand follows 0.15 rad of it in a step."""

# Limits and poses pass through text and float32; this is also the excess the driver's guard clips.
_ANGLE_TOLERANCE_RAD = 1e-3
_LATER_FIELDS = ("refused", "base_sha256")
"""Texts that older files lack. Written only where they say something: older programs read all other files."""
_SHA256 = re.compile("[0-9a-f]{64}")


class PolicySpecError(ValueError):
    """A policy file that cannot be honoured.

    Attributes:
        field: name of the spec's field, or ``file``, ``metadata``, or the model's input or output.
    """

    def __init__(self, field: str, problem: str, path: str | Path | None = None) -> None:
        self.field = field
        self.problem = problem
        self.path = None if path is None else str(path)
        where = "policy spec" if path is None else f"policy file {path}"
        super().__init__(f"{where}: field '{field}': {problem}")


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """The spec of one policy file.

    Attributes:
        kind: ``base`` (observation to delta) or ``residual`` (to a correction).
        joint_names: names of the 16 joints, in the order of every vector of the policy.
        lower_rad: lower limits of the target, (16,).
        upper_rad: upper limits of the target, (16,).
        default_pose_rad: pose in which a rotation starts, (16,).
        history_length: pairs of (angles, target) in the observation.
        action_scale_rad: largest change of the target in one step.
        rate_hz: control rate.
        residual_bound_rad: largest correction of a residual, at most ``LARGEST_BOUND_RAD``; 0 in a base policy.
        trained_on: world, objects and data, in words.
        commit: commit of the code that trained it.
        scores: name to number, as measured by the evaluation.
        axes: rotation axes it was trained for, as ``parse_axis`` reads them.
        wrists: wrist orientations it was trained for, as ``parse_wrist`` reads them.
        refused: why a residual must not run; empty = it may. Always empty in a base policy, and in a file without it.
        base_sha256: SHA-256 of the base policy's file that a residual was made for; empty = any. Always empty in a base
            policy, and in a file without it.
        format_version: version of this layout.
    """

    kind: str
    joint_names: tuple[str, ...]
    lower_rad: tuple[float, ...]
    upper_rad: tuple[float, ...]
    default_pose_rad: tuple[float, ...]
    history_length: int = HISTORY_LENGTH
    action_scale_rad: float = ACTION_SCALE_RAD
    rate_hz: float = RATE_HZ
    residual_bound_rad: float = 0.0
    trained_on: str = ""
    commit: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    wrists: tuple[str, ...] = ()
    refused: str = ""
    base_sha256: str = ""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Seat:
    """What the caller offers a policy: the hand's joint table and the control rate.

    Attributes:
        joint_names: joints of the hand, in the order of its vectors.
        lower_rad: the hand's lower limits, (16,).
        upper_rad: the hand's upper limits, (16,).
        rate_hz: rate at which ``step`` will be called.
    """

    joint_names: Sequence[str]
    lower_rad: Sequence[float]
    upper_rad: Sequence[float]
    rate_hz: float = RATE_HZ


def spec_to_json(spec: PolicySpec) -> str:
    """The spec as JSON text."""
    values = dataclasses.asdict(spec)
    for name in _LATER_FIELDS:
        if not values[name]:
            del values[name]
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False)


def spec_from_json(text: str, path: str | Path | None = None) -> PolicySpec:
    """The spec in JSON text, checked in itself.

    Args:
        text: what ``spec_to_json`` wrote.
        path: the file it came from, for the error.

    Raises:
        PolicySpecError: naming the field that is missing, unknown, of a wrong type or impossible.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise PolicySpecError("metadata", f"{METADATA_KEY} is not JSON ({error})", path) from error
    if not isinstance(values, dict):
        raise PolicySpecError(
            "metadata", f"{METADATA_KEY} is {type(values).__name__}, not an object", path
        )
    # The version is looked at first: another version's other fields are no mistake of theirs.
    if values.get("format_version") != FORMAT_VERSION:
        raise PolicySpecError(
            "format_version",
            f"got {values.get('format_version')!r}, this program reads {FORMAT_VERSION}; "
            "export the policy again",
            path,
        )
    values = {**dict.fromkeys(_LATER_FIELDS, ""), **values}
    names = {item.name for item in dataclasses.fields(PolicySpec)}
    for name in sorted(names - values.keys()):
        raise PolicySpecError(name, "missing; export the policy again", path)
    for name in sorted(values.keys() - names):
        raise PolicySpecError(name, f"unknown; known fields are {', '.join(sorted(names))}", path)
    return _validated(values, path)


def _validated(values: Mapping[str, Any], path: str | Path | None) -> PolicySpec:
    """Types, lengths and finiteness of every field, and what one field implies for another."""

    def refuse(name: str, allowed: str) -> PolicySpecError:
        return PolicySpecError(name, f"got {_short(values[name])}, allowed is {allowed}", path)

    def number(value: object) -> bool:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )

    def strings(value: object) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)

    if values["kind"] not in KINDS:
        raise refuse("kind", " or ".join(KINDS))
    names = values["joint_names"]
    if not strings(names) or len(names) != JOINT_COUNT or len(set(names)) != JOINT_COUNT:
        raise refuse("joint_names", f"{JOINT_COUNT} different names")
    for name in ("lower_rad", "upper_rad", "default_pose_rad"):
        angles = values[name]
        if (
            not isinstance(angles, list | tuple)
            or len(angles) != JOINT_COUNT
            or not all(map(number, angles))
        ):
            raise refuse(name, f"{JOINT_COUNT} finite angles, rad")
    if any(low >= high for low, high in zip(values["lower_rad"], values["upper_rad"], strict=True)):
        raise refuse("lower_rad", "below upper_rad at every joint")
    rows = zip(values["lower_rad"], values["default_pose_rad"], values["upper_rad"], strict=True)
    for joint, (low, pose, high) in zip(names, rows, strict=True):
        if not low - _ANGLE_TOLERANCE_RAD <= pose <= high + _ANGLE_TOLERANCE_RAD:
            raise refuse("default_pose_rad", f"{low} to {high} rad at {joint}")
    if not isinstance(values["history_length"], int) or values["history_length"] < 1:
        raise refuse("history_length", "a whole number above 0")
    for name in ("action_scale_rad", "rate_hz"):
        if not number(values[name]) or values[name] <= 0.0:
            raise refuse(name, "a number above 0")
    bound = values["residual_bound_rad"]
    if not number(bound) or bound < 0.0 or (bound > 0.0) != (values["kind"] == "residual"):
        raise refuse("residual_bound_rad", "a number above 0 in a residual, 0 in a base policy")
    if bound > LARGEST_BOUND_RAD:
        raise refuse("residual_bound_rad", f"at most {LARGEST_BOUND_RAD:g} rad")
    for name in ("trained_on", "commit", *_LATER_FIELDS):
        if not isinstance(values[name], str):
            raise refuse(name, "text")
    for name in _LATER_FIELDS:
        if values[name] and values["kind"] != "residual":
            raise refuse(name, "an empty text in a base policy")
    if values["base_sha256"] and not _SHA256.fullmatch(values["base_sha256"]):
        raise refuse("base_sha256", "64 hexadecimal digits, or an empty text for any base policy")
    if not isinstance(values["scores"], Mapping) or not all(map(number, values["scores"].values())):
        raise refuse("scores", "names with finite numbers")
    for name, parse in (("axes", parse_axis), ("wrists", parse_wrist)):
        if not strings(values[name]):
            raise refuse(name, "a list of texts")
        try:
            for item in values[name]:
                parse(item)
        except (AxisError, WristError) as error:
            raise PolicySpecError(name, str(error), path) from error
    frozen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return PolicySpec(**frozen)


def check_spec(spec: PolicySpec, seat: Seat, path: str | Path | None = None) -> None:
    """Whether a policy can sit here.

    Limits may lie inside the hand's, never outside.

    Args:
        spec: what the file says.
        seat: what is offered.
        path: the file it came from, for the error.

    Raises:
        PolicySpecError: naming the first field that does not fit.
    """
    # A spec made in memory has not been through spec_from_json.
    _validated(dataclasses.asdict(spec), path)

    def refuse(name: str, allowed: str) -> PolicySpecError:
        return PolicySpecError(
            name, f"got {_short(getattr(spec, name))}, this program runs {allowed}", path
        )

    if spec.format_version != FORMAT_VERSION:
        raise refuse("format_version", str(FORMAT_VERSION))
    for slot, (got, wanted) in enumerate(zip(spec.joint_names, seat.joint_names, strict=True)):
        if got != wanted:
            raise PolicySpecError(
                "joint_names",
                f"slot {slot} holds {got!r} where the hand has {wanted!r}; "
                "the policy was trained in another joint order or for another hand",
                path,
            )
    if spec.history_length != HISTORY_LENGTH:
        raise refuse("history_length", str(HISTORY_LENGTH))
    if not math.isclose(spec.action_scale_rad, ACTION_SCALE_RAD, rel_tol=1e-6):
        raise refuse("action_scale_rad", f"1/24 = {ACTION_SCALE_RAD:.6f}")
    if not math.isclose(spec.rate_hz, seat.rate_hz, rel_tol=1e-6):
        raise refuse("rate_hz", f"{seat.rate_hz:g}")
    for slot, joint in enumerate(spec.joint_names):
        if spec.lower_rad[slot] < seat.lower_rad[slot] - _ANGLE_TOLERANCE_RAD:
            raise PolicySpecError(
                "lower_rad",
                f"{spec.lower_rad[slot]} rad at {joint}; the hand ends at {seat.lower_rad[slot]}",
                path,
            )
        if spec.upper_rad[slot] > seat.upper_rad[slot] + _ANGLE_TOLERANCE_RAD:
            raise PolicySpecError(
                "upper_rad",
                f"{spec.upper_rad[slot]} rad at {joint}; the hand ends at {seat.upper_rad[slot]}",
                path,
            )


def read_spec(path: str | Path) -> PolicySpec:
    """The spec inside an ONNX file.

    Raises:
        PolicySpecError: field ``file`` for one that cannot be read, ``metadata`` for one without a
            spec, or the field that is wrong in itself.
    """
    # Here and not above: the driver imports this package for its clock and needs no ONNX Runtime.
    from dexndm_ros.policy.onnx_file import open_model

    return open_model(path).spec


def refusal(reason: str) -> str:
    """What a program says, once, where a residual was given that does not run."""
    return f"the residual does not run, the base policy runs alone: {reason}"


def write_spec(onnx_path: str | Path, spec: PolicySpec) -> None:
    """Put the spec into an ONNX file, replacing its own; the file is never left half written.

    Raises:
        PolicySpecError: the spec is wrong in itself; the file is left as it was.
    """
    import onnx

    text = spec_to_json(_validated(dataclasses.asdict(spec), onnx_path))
    target = Path(onnx_path)
    model = onnx.load(target)
    kept = {item.key: item.value for item in model.metadata_props if item.key != METADATA_KEY}
    onnx.helper.set_model_props(model, {**kept, METADATA_KEY: text})
    part = target.with_name(target.name + ".part")
    with part.open("wb") as stream:
        stream.write(model.SerializeToString())
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(target)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
