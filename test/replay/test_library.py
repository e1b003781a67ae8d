# SPDX-License-Identifier: Apache-2.0
"""The trajectory library: what was written is read back, and what must not be replayed is refused by row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import PathError
from dexndm_ros.replay.library import LibraryError, TrajectoryLibrary, open_source
from dexndm_ros.replay.library_format import LibraryWriter, write_library
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.trajectory import CLEAN_STEP_LIMIT_RAD, check_targets
from dexndm_ros.replay.waves import BaseWaves
from support.trajectories import columns, header, trajectories, wandering, write_raw


@pytest.fixture
def library(tmp_path):
    """21 trajectories: more than a row group, and a last one that is not full."""
    path = tmp_path / "library.parquet"
    write_library(path, trajectories(21), {"policy": "none", "seed": 4})
    with TrajectoryLibrary.open(path) as opened:
        yield opened


def test_what_was_written_is_read_back_in_any_order(library):
    assert len(library) == 21
    library.check()
    for wanted in reversed(trajectories(21)):
        got = library.trajectory(wanted.id)
        assert dataclasses.replace(got, targets_rad=wanted.targets_rad).__dict__ == wanted.__dict__
        assert got.targets_rad.dtype == np.float64
        np.testing.assert_array_equal(got.targets_rad, wanted.targets_rad)
    assert [t.id for t in library] == list(range(10, 31))
    assert library.header.provenance == {"policy": "none", "seed": 4}


def test_ids_are_told_by_wrist(library):
    assert library.wrists == ("palm_up", "palm_down")
    assert library.ids("palm_down").tolist() == list(range(11, 31, 2))
    with pytest.raises(LibraryError, match=r"wrist 'base_up'; it has them for palm_up, palm_down"):
        library.ids("base_up")
    with pytest.raises(LibraryError, match="has no trajectory 31"):
        library.trajectory(31)


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_library(tmp_path / name, trajectories(2, seed))
    files = [TrajectoryLibrary(tmp_path / name) for name in "abc"]
    assert files[0].sha256 == files[1].sha256 != files[2].sha256


@settings(max_examples=20)
@given(order=st.permutations(range(16)), double=st.booleans(), fixed=st.booleans())
def test_another_joint_order_or_float_type_is_brought_into_motor_order(
    tmp_path_factory, order, double, fixed
):
    path = tmp_path_factory.mktemp("order") / "other.parquet"
    parts = columns(4)
    shuffled = wandering(0, 4)[:, :, order].reshape(4, -1)
    number = pa.float64() if double else pa.float32()
    kind = pa.list_(number, 6400) if fixed else pa.list_(number)
    parts["targets"] = pa.array(shuffled.tolist(), kind)
    write_raw(path, parts, header(joint_names=[JOINT_NAMES[k] for k in order]))
    library = TrajectoryLibrary.open(path)
    library.check()
    for k, wanted in enumerate(wandering(0, 4)):
        np.testing.assert_array_equal(library.trajectory(10 + k).targets_rad, wanted)


BREAKS = {
    "nan": (lambda t, s, j: float("nan"), r"{joint} \(motor \d+\) is nan at step {step}"),
    "infinite": (lambda t, s, j: float("inf"), r"{joint} \(motor \d+\) is inf at step {step}"),
    "upper": (lambda t, s, j: UPPER_RAD[j] + 0.0011, r"{joint} .* at step {step}, outside its lim"),
    "lower": (lambda t, s, j: LOWER_RAD[j] - 0.0011, r"{joint} .* at step {step}, outside its lim"),
    "step": (lambda t, s, j: (LOWER_RAD[j] + UPPER_RAD[j]) / 2 + 0.4, r"{joint} .* moves 0\.\d+ rad"),
}  # fmt: skip


@settings(max_examples=60)
@given(
    how=st.sampled_from(sorted(BREAKS)),
    row=st.integers(0, 6),
    step=st.integers(0, 399),
    joint=st.integers(0, 15),
)
def test_one_wrong_number_is_refused_with_its_row_and_joint(
    tmp_path_factory, how, row, step, joint
):
    value, message = BREAKS[how]
    targets = np.tile((LOWER_RAD + UPPER_RAD).astype(np.float32) / 2, (7, 400, 1))
    targets[row, step, joint] = value(targets, step, joint)
    parts = columns(7)
    parts["targets"] = pa.array(targets.reshape(7, -1).tolist(), pa.list_(pa.float32()))
    path = write_raw(tmp_path_factory.mktemp("wrong") / "wrong.parquet", parts)
    pattern = rf"wrong\.parquet: row {row} \(id {10 + row}\): "
    pattern += message.format(joint=JOINT_NAMES[joint], step=step)
    with pytest.raises(LibraryError, match=pattern):
        TrajectoryLibrary.open(path).check()
    with pytest.raises(LibraryError, match=pattern):
        open_source(str(path))


def test_a_hair_beyond_a_limit_passes_as_the_guard_would_clip_it(tmp_path):
    parts = columns(1)
    edge = np.tile(UPPER_RAD + 0.0009, (400, 1))
    parts["targets"] = pa.array([edge.ravel().tolist()], pa.list_(pa.float64()))
    TrajectoryLibrary.open(write_raw(tmp_path / "edge.parquet", parts)).check()


def test_the_step_limit_follows_the_noise_of_the_campaign(tmp_path):
    quick = trajectories(1)[0]
    quick.targets_rad[:] = (LOWER_RAD + UPPER_RAD) / 2
    quick.targets_rad[200:, 3] += 0.1
    path = tmp_path / "quick.parquet"
    with pytest.raises(LibraryError, match=r"index_dip .* moves 0\.1000 rad from step 199 to 200"):
        write_library(path, [quick])
    assert list(tmp_path.iterdir()) == []
    write_library(path, [quick], step_limit_rad=0.15)
    open_source(str(path), noise=NoiseConfig(probability=0.0))
    with pytest.raises(LibraryError, match=r"row 0 .* room for noise below the guard's 0.15 rad"):
        open_source(str(path), noise=NoiseConfig())
    open_source(str(path), noise=NoiseConfig(), check=False)


def replaced(parts, name, row, value):
    values = parts[name].to_pylist()
    values[row] = value
    return parts | {name: pa.array(values, parts[name].type)}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("targets", [0.0] * 6384, r"row 4 \(id 14\): 6384 numbers, .* 400 x 16 = 6400"),
        ("targets", [], r"row 4 \(id 14\): 0 numbers"),
        ("targets", None, r"row 4 \(id 14\): no targets"),
        ("targets", [0.5] * 6399 + [None], r"row 4 \(id 14\): thumb_ipl .* nan at step 399"),
        ("id", 11, r"row 4 \(id 11\): row 1 has the same id"),
        ("id", -1, r"row 4 \(id -1\): the id must be from 0"),
        ("id", 2**32, r"row 4 \(id 4294967296\): the id must be from 0"),
        ("id", None, r"row 4: id is missing"),
        ("wrist", "palm_left", r"row 4 \(id 14\): wrist 'palm_left' is none of palm_up"),
        ("wrist", None, r"row 4: wrist is missing"),
        ("axis", [0.0, 0.0, 2.0], r"row 4 \(id 14\): axis .* length 2"),
        ("axis", [0.0, 1.0], r"row 4 \(id 14\): axis .* three numbers"),
        ("axis", None, r"row 4 \(id 14\): axis None"),
    ],
)
def test_a_wrong_row_is_refused_by_row(tmp_path, name, value, message):
    path = write_raw(tmp_path / "wrong.parquet", replaced(columns(6), name, 4, value))
    with pytest.raises(LibraryError, match=rf"wrong\.parquet: {message}"):
        TrajectoryLibrary.open(path).check()


OTHER = [*JOINT_NAMES[:15], "little_pip"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"format is 2, this version replays 1"),
        ({"unit": "deg"}, r"unit is 'deg', this version replays 'rad'"),
        ({"rate_hz": 30.0}, r"rate_hz is 30.0, this version replays 20"),
        ({"steps": 200}, r"steps is 200, this version replays 400"),
        ({"joint_names": OTHER}, r"other joints: .* without thumb_ipl .* with little_pip"),
        ({"joint_names": [*JOINT_NAMES[:15], "index_pip"]}, r"other joints: .* without thumb_ipl"),
        ({"joint_names": list(JOINT_NAMES[:8])}, r"other joints: it has 8"),
        ({"joint_names": 16}, r"header cannot be read"),
    ],
)
def test_a_header_of_another_hand_is_refused(tmp_path, changes, message):
    path = write_raw(tmp_path / "other.parquet", columns(1), header(**changes))
    with pytest.raises(LibraryError, match=rf"other\.parquet.*{message}"):
        TrajectoryLibrary.open(path)


@pytest.mark.parametrize("head", [b"{", b"[]", b"{}", b"null"])
def test_a_header_that_is_none_is_refused(tmp_path, head):
    path = write_raw(tmp_path / "odd.parquet", columns(1), head)
    with pytest.raises(LibraryError, match=r"odd\.parquet: its header cannot be read"):
        TrajectoryLibrary.open(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    text = tmp_path / "text.parquet"
    text.write_text("id,wrist\n")
    with pytest.raises(LibraryError, match=r"text\.parquet is no readable Parquet file"):
        TrajectoryLibrary.open(text)
    plain = tmp_path / "plain.parquet"
    pa.parquet.write_table(pa.table({"x": [1, 2]}), plain)
    with pytest.raises(LibraryError, match=r"no trajectory library.*dexndm library build"):
        TrajectoryLibrary.open(plain)
    with pytest.raises(PathError, match=r"no trajectory library 'nowhere'"):
        open_source("nowhere")
    with pytest.raises(LibraryError, match="No such file"):
        TrajectoryLibrary(tmp_path / "absent.parquet")
    with pytest.raises(LibraryError, match="holds no trajectories"):
        empty = {name: values.slice(0, 0) for name, values in columns(1).items()}
        TrajectoryLibrary.open(write_raw(tmp_path / "empty.parquet", empty)).check()


@pytest.mark.parametrize("name", ["id", "wrist", "axis", "object_set", "source", "targets"])
def test_a_missing_or_mistyped_column_is_refused_by_name(tmp_path, name):
    parts = columns(1)
    without = {key: values for key, values in parts.items() if key != name}
    with pytest.raises(LibraryError, match=rf"column '{name}' is missing"):
        TrajectoryLibrary.open(write_raw(tmp_path / "a.parquet", without))
    wrong = parts | {name: pa.array([True])}
    with pytest.raises(LibraryError, match=rf"column '{name}' holds bool"):
        TrajectoryLibrary.open(write_raw(tmp_path / "b.parquet", wrong))


@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_refused_or_reads_the_same(tmp_path_factory, share, bit, cut):
    """A flipped bit or a cut end never gives other targets in silence."""
    folder = tmp_path_factory.mktemp("damage")
    write_library(folder / "sound.parquet", trajectories(2))
    data = bytearray((folder / "sound.parquet").read_bytes())
    at = int(share * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << bit
    damaged = folder / "damaged.parquet"
    damaged.write_bytes(data)
    try:
        library = TrajectoryLibrary.open(damaged)
        library.check()
        read = {t.id: t.targets_rad.tobytes() for t in library}
    except LibraryError as error:
        assert "damaged.parquet" in str(error)
        return
    targets = {t.targets_rad.tobytes() for t in trajectories(2)}
    assert set(read.values()) <= targets


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "library.parquet"
    write_library(path, trajectories(3))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), LibraryWriter(path) as writer:
        for trajectory in trajectories(20):
            writer.add(trajectory)
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["library.parquet"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 10}, r"row 1 \(id 10\): the id is taken"),
        ({"id": 2**32}, r"the id is taken, or not from 0"),
        ({"wrist": "any"}, r"row 1 \(id 11\): wrist 'any' is none of"),
        ({"axis": (0.0, 0.0, 3.0)}, r"row 1 \(id 11\): .*length 3"),
        ({"targets_rad": np.zeros((399, 16))}, r"row 1 \(id 11\): .*400 steps of 16"),
        ({"targets_rad": np.full((400, 16), np.nan)}, r"row 1 \(id 11\): index_mcp_side .* nan"),
    ],
)
def test_the_writer_refuses_what_the_check_would(tmp_path, changes, message):
    first, second = trajectories(2)
    with (
        pytest.raises(LibraryError, match=message),
        LibraryWriter(tmp_path / "x.parquet") as writer,
    ):
        writer.add(first)
        writer.add(dataclasses.replace(second, **changes))
    assert not list(tmp_path.iterdir())


def test_a_campaigns_text_opens_a_file_or_waves(tmp_path):
    path = tmp_path / "mine.parquet"
    write_library(path, trajectories(2))
    source = open_source(str(path))
    assert isinstance(source, TrajectoryLibrary)
    assert source.ids("palm_up").tolist() == [10]
    waves = open_source("waves:sine:3,noise:2", seed=5)
    assert isinstance(waves, BaseWaves)
    assert (waves.seed, len(waves), waves.step_limit_rad) == (5, 5, CLEAN_STEP_LIMIT_RAD)
    assert open_source("waves", noise=NoiseConfig(0.0)).step_limit_rad == 0.15


def test_check_targets_counts_the_wrong_shape(tmp_path):
    with pytest.raises(LibraryError, match=r"a: \(400, 15\) numbers"):
        check_targets(np.zeros((1, 400, 15)), ["a"])
