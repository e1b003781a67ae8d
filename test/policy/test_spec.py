# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, ORDERS, UPPER_RAD
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.spec import (
    LARGEST_BOUND_RAD,
    METADATA_KEY,
    PolicySpec,
    PolicySpecError,
    check_spec,
    read_spec,
    spec_from_json,
    spec_to_json,
    write_spec,
)
from support.tiny_policy import (
    leap_seat,
    leap_spec,
    residual_spec,
    write_linear_model,
    write_tiny_policy,
)

FIELDS = [item.name for item in dataclasses.fields(PolicySpec)]
LATER = ("refused", "base_sha256")  # a file may lack them
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def refused(spec, **seat):
    with pytest.raises(PolicySpecError) as caught:
        check_spec(spec, leap_seat(**seat))
    assert caught.value.field in str(caught.value)
    return caught.value.field


def with_metadata(path, text):
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, path)
    return path


# --- the file carries the spec -------------------------------------------------------------------


def test_a_file_gives_back_the_spec_that_was_written(tmp_path):
    spec = leap_spec(
        scores={"rotation_rad": 17.8, "survival": 0.93}, trained_on="cylinder, nominal"
    )
    path = write_tiny_policy(tmp_path / "policy.onnx", spec=spec)
    assert read_spec(path) == spec
    assert list(tmp_path.iterdir()) == [path]


def test_writing_again_replaces_the_spec_and_keeps_other_metadata(tmp_path):
    path = write_tiny_policy(tmp_path / "policy.onnx")
    model = onnx.load(path)
    model.metadata_props.add(key="author", value="somebody")
    onnx.save(model, path)
    write_spec(path, leap_spec(commit="abc"))
    assert read_spec(path).commit == "abc"
    kept = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert kept["author"] == "somebody"
    assert len(kept) == 2


def test_a_wrong_spec_is_not_written(tmp_path):
    path = write_tiny_policy(tmp_path / "policy.onnx")
    before = path.read_bytes()
    with pytest.raises(PolicySpecError) as caught:
        write_spec(path, leap_spec(scores={"rotation_rad": float("nan")}))
    assert caught.value.field == "scores"
    assert path.read_bytes() == before


def test_json_round_trip():
    for spec in (leap_spec(), residual_spec(0.1)):
        assert spec_from_json(spec_to_json(spec)) == spec


@given(
    st.text(),
    st.floats(min_value=0.0, max_value=LARGEST_BOUND_RAD, exclude_min=True),
    st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False)),
    st.text(),
    st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
)
def test_any_residual_spec_comes_back_from_its_json(refused, bound_rad, scores, trained_on, base):
    spec = residual_spec(
        bound_rad, refused=refused, scores=scores, trained_on=trained_on, base_sha256=base
    )
    text = spec_to_json(spec)
    assert spec_from_json(text) == spec
    # What says nothing is written as before the field existed: older programs read it.
    assert ("refused" in json.loads(text)) == bool(refused)
    assert ("base_sha256" in json.loads(text)) == bool(base)


SHA256 = "0123456789abcdef" * 4


def test_a_residual_that_names_its_base_goes_with_no_other(tmp_path):
    base = write_tiny_policy(tmp_path / "base.onnx")
    other = write_tiny_policy(tmp_path / "other.onnx", bias=np.ones(16))
    spec = residual_spec(base_sha256=fingerprint(base))
    residual = write_tiny_policy(tmp_path / "residual.onnx", spec=spec)
    assert read_spec(residual) == spec
    load_policy(base, leap_seat(), residual)
    load_policy(other, leap_seat(), write_tiny_policy(tmp_path / "any.onnx", spec=residual_spec()))
    # Also one that would not run: its reason is of another policy.
    refused = dataclasses.replace(spec, refused="a delay")
    for each in (spec, refused):
        write_spec(residual, each)
        with pytest.raises(PolicySpecError, match="train a residual for this one") as caught:
            load_policy(other, leap_seat(), residual)
        assert caught.value.field == "base_sha256"
        assert str(residual) in str(caught.value) and str(other) in str(caught.value)


@pytest.mark.parametrize("value", ["abc", SHA256.upper(), SHA256 + "\n", SHA256[1:]])
def test_what_is_no_sha256_is_refused(value):
    assert refused(residual_spec(base_sha256=value)) == "base_sha256"


def test_a_base_policy_belongs_to_no_base():
    assert refused(leap_spec(base_sha256=SHA256)) == "base_sha256"


@given(st.text(min_size=1))
def test_a_base_policy_is_never_refused_by_its_own_file(reason):
    assert refused(leap_spec(refused=reason)) == "refused"


def test_a_file_from_before_these_fields_opens_and_runs(tmp_path):
    path = write_tiny_policy(tmp_path / "residual.onnx", spec=residual_spec())
    values = dataclasses.asdict(residual_spec())
    del values["refused"], values["base_sha256"]
    spec = read_spec(with_metadata(path, json.dumps(values)))
    assert (spec.refused, spec.base_sha256) == ("", "")


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("value", [None, 3, ["delay"], False])
def test_what_is_no_text_is_refused(name, value):
    values = dataclasses.asdict(residual_spec()) | {name: value}
    with pytest.raises(PolicySpecError) as caught:
        spec_from_json(json.dumps(values))
    assert caught.value.field == name


# --- the spec must fit the hand --------------------------------------------------------------------


def test_the_leap_spec_fits():
    check_spec(leap_spec(), leap_seat())


def test_limits_inside_the_hands_fit():
    narrow = leap_spec(
        lower_rad=tuple((LOWER_RAD * 0.5).tolist()),
        upper_rad=tuple((UPPER_RAD * 0.9).tolist()),
        default_pose_rad=(0.0,) * 16,
    )
    check_spec(narrow, leap_seat())


@pytest.mark.parametrize("order", [name for name in ORDERS if name != "motor"])
def test_the_orders_in_use_elsewhere_are_refused(order):
    names = tuple(JOINT_NAMES[k] for k in ORDERS[order])
    assert refused(leap_spec(joint_names=names)) == "joint_names"


@given(st.permutations(JOINT_NAMES))
def test_any_other_joint_order_is_refused(names):
    spec = leap_spec(joint_names=tuple(names))
    if spec.joint_names == JOINT_NAMES:
        check_spec(spec, leap_seat())
    else:
        assert refused(spec) == "joint_names"


@given(st.lists(st.sampled_from([*JOINT_NAMES, "wrist"]), max_size=18))
def test_missing_doubled_and_foreign_joints_are_refused(names):
    if tuple(names) != JOINT_NAMES:
        assert refused(leap_spec(joint_names=tuple(names))) == "joint_names"


@given(st.integers(-5, 200).filter(lambda n: n != 10))
def test_another_history_is_refused(length):
    assert refused(leap_spec(history_length=length)) == "history_length"


@given(st.floats().filter(lambda rate: not np.isclose(rate, 20.0, rtol=1e-5)))
def test_another_rate_is_refused(rate):
    assert refused(leap_spec(rate_hz=rate)) == "rate_hz"


def test_the_rate_is_the_seats_rate():
    check_spec(leap_spec(rate_hz=10.0), leap_seat(rate_hz=10.0))
    assert refused(leap_spec(), rate_hz=10.0) == "rate_hz"


@given(st.floats().filter(lambda scale: not np.isclose(scale, 1 / 24, rtol=1e-5)))
def test_another_action_scale_is_refused(scale):
    assert refused(leap_spec(action_scale_rad=scale)) == "action_scale_rad"


@given(
    st.sampled_from(["lower_rad", "upper_rad"]),
    st.integers(0, 15),
    st.floats(0.002, 10.0) | st.sampled_from([float("inf"), float("nan")]),
)
def test_limits_beyond_the_hands_are_refused(name, joint, excess):
    limits = list(getattr(leap_spec(), name))
    limits[joint] += excess if name == "upper_rad" else -excess
    assert refused(leap_spec(**{name: tuple(limits)})) == name


@given(st.sampled_from(["lower_rad", "upper_rad", "default_pose_rad"]), st.integers(0, 40))
def test_vectors_of_another_length_are_refused(name, length):
    if length != 16:
        assert refused(leap_spec(**{name: (0.0,) * length})) == name


@given(st.integers(0, 15), st.floats().filter(lambda angle: not -1.4 <= angle <= 2.5))
def test_a_default_pose_outside_the_limits_is_refused(joint, angle):
    pose = list(leap_spec().default_pose_rad)
    pose[joint] = angle
    assert refused(leap_spec(default_pose_rad=tuple(pose))) == "default_pose_rad"


@given(st.floats().filter(lambda bound: not 0.0 < bound <= LARGEST_BOUND_RAD))
def test_a_residual_needs_a_bound_that_leaves_it_a_correction(bound):
    assert refused(leap_spec(kind="residual", residual_bound_rad=bound)) == "residual_bound_rad"


def test_a_base_policy_has_no_residual_bound():
    assert refused(leap_spec(residual_bound_rad=0.1)) == "residual_bound_rad"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"format_version": 2}, "format_version"),
        ({"kind": "diffusion"}, "kind"),
        ({"axes": ("up",)}, "axes"),
        ({"wrists": ("palm_sideways",)}, "wrists"),
        ({"scores": {"rotation": "much"}}, "scores"),
        ({"trained_on": None}, "trained_on"),
        ({"commit": 7}, "commit"),
    ],
)
def test_other_fields_are_named_too(change, field):
    assert refused(leap_spec(**change)) == field


# --- the JSON may be anything -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in LATER])
def test_a_missing_field_is_named(name):
    values = json.loads(spec_to_json(leap_spec()))
    del values[name]
    with pytest.raises(PolicySpecError) as caught:
        spec_from_json(json.dumps(values))
    assert caught.value.field == name


def test_an_unknown_field_is_named():
    values = json.loads(spec_to_json(leap_spec())) | {"temperature": 1}
    with pytest.raises(PolicySpecError) as caught:
        spec_from_json(json.dumps(values))
    assert caught.value.field == "temperature"


@given(st.sampled_from(FIELDS), ANY_JSON)
@settings(max_examples=300)
def test_any_value_in_any_field_is_a_sound_spec_or_names_a_field(name, value):
    values = json.loads(spec_to_json(leap_spec())) | {name: value}
    try:
        spec = spec_from_json(json.dumps(values))
    except PolicySpecError as error:
        # Swapped limits show up where they meet; a kind decides what bound is allowed.
        assert error.field in {name, "lower_rad", "residual_bound_rad"}
    else:
        assert spec_from_json(spec_to_json(spec)) == spec


@given(st.text() | ANY_JSON.map(json.dumps))
def test_any_text_is_refused_with_a_field(text):
    with pytest.raises(PolicySpecError) as caught:
        spec_from_json(text)
    assert caught.value.field in {"metadata", "format_version"}


# --- the file may be anything -----------------------------------------------------------------------


def load_error(path):
    with pytest.raises(PolicySpecError) as caught:
        load_policy(path, leap_seat())
    assert str(path) in str(caught.value)
    assert caught.value.field in str(caught.value)
    return caught.value.field


def test_a_missing_file(tmp_path):
    assert load_error(tmp_path / "none.onnx") == "file"
    assert load_error(tmp_path) == "file"


@given(content=st.binary(max_size=300))
@settings(max_examples=60)
def test_a_file_that_is_no_onnx(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("junk") / "junk.onnx"
    path.write_bytes(content)
    assert load_error(path) in {"file", "metadata"}


@given(data=st.data())
@settings(max_examples=60)
def test_a_truncated_file(tmp_path_factory, data):
    path = write_tiny_policy(tmp_path_factory.mktemp("cut") / "policy.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    # Where only the metadata at the end is cut off, the network itself is still whole.
    assert load_error(path) in {"file", "metadata"}


def test_a_file_without_a_spec(tmp_path):
    path = write_linear_model(tmp_path / "bare.onnx", np.zeros((327, 16)), np.zeros(16))
    assert load_error(path) == "metadata"


def test_a_spec_that_is_no_json(tmp_path):
    path = write_linear_model(tmp_path / "text.onnx", np.zeros((327, 16)), np.zeros(16))
    assert load_error(with_metadata(path, "{half")) == "metadata"


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ({"weight": np.zeros((326, 16))}, "observation"),
        ({"weight": np.zeros((343, 16))}, "observation"),
        ({"input_name": "obs"}, "observation"),
        ({"output_name": "action"}, "delta"),
        ({"weight": np.zeros((327, 15)), "bias": np.zeros(15)}, "delta"),
        ({"input_shape": (8, 327)}, "observation"),
        ({"input_shape": (1, 1, 327), "weight": np.zeros((327, 16))}, "file"),
        # Sizes left open by the exporter: a trial run finds out.
        ({"weight": np.zeros((300, 16)), "input_shape": ("b", "n")}, "observation"),
        (
            {"weight": np.zeros((327, 12)), "bias": np.zeros(12), "output_shape": ("b", "n")},
            "delta",
        ),
        ({"bias": np.full(16, np.nan)}, "delta"),
        ({"elem_type": TensorProto.DOUBLE}, "observation"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit(tmp_path, model, field):
    arguments = {"weight": np.zeros((327, 16)), "bias": np.zeros(16)} | model
    path = write_linear_model(tmp_path / "odd.onnx", **arguments)
    assert load_error(with_metadata(path, spec_to_json(leap_spec()))) == field


def test_a_fixed_batch_of_one_and_open_sizes_fit(tmp_path):
    for number, shapes in enumerate(
        ({"input_shape": (1, 327), "output_shape": (1, 16)}, {"input_shape": ("b", "n")})
    ):
        path = write_linear_model(
            tmp_path / f"{number}.onnx", np.zeros((327, 16)), np.zeros(16), **shapes
        )
        load_policy(with_metadata(path, spec_to_json(leap_spec())), leap_seat())


def test_base_and_residual_are_not_exchanged(tmp_path):
    base = write_tiny_policy(tmp_path / "base.onnx")
    residual = write_tiny_policy(tmp_path / "residual.onnx", spec=residual_spec())
    load_policy(base, leap_seat(), residual)
    assert load_error(residual) == "kind"
    with pytest.raises(PolicySpecError) as caught:
        load_policy(base, leap_seat(), base)
    assert caught.value.field == "kind"
