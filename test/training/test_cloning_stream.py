# SPDX-License-Identifier: Apache-2.0
"""Samples from shards: each once an epoch, in an order that a seed gives, few rows in memory; wrong shards refused."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.layout import write_info
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cloning.shards import Shards
from dexndm_ros.training.cloning.stream import Position, SampleStream
from support.cloneable import made_up_rollout, write_cloneable
from support.datasets import write_rows_only

FILES = [[12, 9], [20], [7, 7, 7], [15, 3], [11]]
LARGEST = 21
BATCH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cloneable(tmp_path_factory.mktemp("shards"), FILES)


def stream_of(folder: Path, seed: int = 3, held_out: float = 0.0, fills: int = 3) -> SampleStream:
    return SampleStream(Shards([str(folder)], held_out, True), BATCH, fills * LARGEST, seed, 0.01)


def keys(actions: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in actions]


def test_an_epoch_has_every_sample_once_in_another_order_each_time(folder: Path) -> None:
    shards = Shards([str(folder)], 0.0, True)
    rows = shards.read(shards.groups)
    orders = []
    for epoch in range(2):
        batches = list(stream_of(folder).batches(Position(epoch), epoch + 1))
        assert all(0 < len(each.action) <= BATCH for each in batches)
        assert batches[-1].after == Position(epoch + 1, 0, 0, len(batches), len(rows))
        orders.append(keys(np.concatenate([each.action for each in batches])))
        assert sorted(orders[-1]) == sorted(keys(rows.action))
    assert orders[0] != orders[1]


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 5), st.integers(-1, 60))
def test_the_stream_goes_on_from_any_place_as_if_it_had_never_stopped(
    folder: Path, seed: int, at: int
) -> None:
    whole = list(stream_of(folder, seed).batches(Position(), 3))
    at = min(at, len(whole) - 1)
    rest = list(stream_of(folder, seed).batches(whole[at].after if at >= 0 else Position(), 3))
    for one, other in zip(whole[at + 1 :], rest, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)  # their noise too
        np.testing.assert_array_equal(one.action, other.action)
        assert one.after == other.after


def test_another_seed_gives_another_order(folder: Path) -> None:
    one, other = (next(stream_of(folder, seed).batches(Position(), 1)) for seed in (0, 1))
    assert keys(one.action) != keys(other.action)


def test_trajectories_that_are_held_out_are_never_learned_from(folder: Path) -> None:
    stream = stream_of(folder, held_out=0.3)
    held = keys(np.concatenate([action for _, action in stream.held_out(1000)]))
    learned = keys(np.concatenate([b.action for b in stream.batches(Position(), 1)]))
    assert held
    assert not set(held) & set(learned)
    assert len(held) + len(learned) == sum(map(sum, FILES))
    assert len(held) in {a + b for a in range(40) for b in (9, 12, 20, 7, 15, 3, 11)}
    assert sum(len(action) for _, action in stream.held_out(5)) == 5


def test_there_are_never_more_rows_in_memory_than_the_buffer_has(tmp_path: Path) -> None:
    rows, files = 2000, 12
    write_cloneable(tmp_path, [[rows // 4] * 4] * files)
    stream = SampleStream(Shards([str(tmp_path)], 0.0, True), 64, 3 * rows, 0)
    tracemalloc.start()
    try:
        count = sum(len(batch.action) for batch in stream.batches(Position(), 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == files * rows
    assert rows < stream.most_rows <= 3 * rows
    bytes_a_row = (3 * 16 + 4 + 3) * 4 + 8
    assert peak < 0.6 * files * rows * bytes_a_row


def test_a_buffer_that_no_row_group_fits_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"buffer_rows is 41, .* give at least 42"):
        SampleStream(Shards([str(folder)], 0.0, True), BATCH, 2 * LARGEST - 1, 0)


def test_falls_and_rows_behind_an_invalid_one_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = [made_up_rollout(f"{k}", 30, rng, {"survived": k != 1}) for k in range(3)]
    made[2].columns["valid"][12] = False
    write_rows_only(tmp_path, [made])
    write_info(tmp_path, 3, 90, 1, 20)
    shards = Shards([str(tmp_path)], 0.0, True)
    wanted = [*range(30), *range(60, 72), *range(82, 90)]
    assert shards.read(shards.groups).learned.tolist() == wanted
    assert Shards([str(tmp_path)], 0.0, False).learned == len(wanted) + 30


def test_a_history_begins_with_the_first_row_of_its_own_episode(folder: Path) -> None:
    shards = Shards([str(folder)], 0.0, True)
    rows = shards.read(shards.groups)
    seen = rows.observations(np.array([12 + 2]))[0, :320].reshape(10, 2, 16)
    wanted = [12] * 7 + [12, 13, 14]
    np.testing.assert_array_equal(seen[:, 0], rows.q[wanted])
    np.testing.assert_array_equal(seen[:, 1], rows.target[wanted])


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    for path in (folder / "data").rglob("*.parquet"):
        pq.write_table(change(pq.read_table(path)), path)


def other_joints(table: pa.Table) -> pa.Table:
    told = json.loads(table.schema.metadata[b"dexndm.columns"])
    told["joints"] = told["joints"][::-1]
    return table.replace_schema_metadata({b"dexndm.columns": json.dumps(told).encode()})


def put(name: str, value: float) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        numbers = pa.array(np.full(16 * len(table), value, np.float32))
        column = pa.FixedSizeListArray.from_arrays(numbers, type=table.schema.field(at).type)
        return table.set_column(at, table.schema.field(at), column)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_joints, "this hand's joints are"),
        (lambda t: t.drop_columns(["action.clean"]), "'action.clean' is not there, and 16 numbers"),
        (lambda t: t.replace_schema_metadata({}), "joints it does not name"),
        (lambda t: t.slice(3), "begins in mid-episode"),
        (put("action.residual", 0.01), "made with a residual"),
        (put("action.clean", 1.5), "an action moves it by at most 0.0417"),
    ],
)
def test_a_shard_that_a_student_cannot_learn_from_is_refused(tmp_path, change, words) -> None:
    write_cloneable(tmp_path, [[20]])
    rewritten(tmp_path, change)
    with pytest.raises(DatasetError, match=words):
        SampleStream(Shards([str(tmp_path)], 0.0, True), BATCH, 100, 0).sample(10)


def test_a_dataset_of_another_rate_or_without_anything_is_refused(tmp_path) -> None:
    write_cloneable(tmp_path / "slow", [[20]], rate_hz=10)
    with pytest.raises(DatasetError, match="10 rows a second, and a policy has 20"):
        Shards([str(tmp_path / "slow")], 0.0, True)
    with pytest.raises(DatasetError, match="give the folder"):
        Shards([str(tmp_path)], 0.0, True)
