# SPDX-License-Identifier: Apache-2.0
"""Data files: what pyarrow reads, where the mapped columns lie, and that nothing but the episodes decides the bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dexndm_ros.datasets.data_file import (
    MAPPED,
    ROWS_A_GROUP,
    rows_path,
    write_data_file,
)
from dexndm_ros.datasets.episode_table import fact_types, finish_rows, retype, types_of_file, unite
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.features import FEATURES, OWN_FEATURES
from support.dataset_growth import noisy_episode


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "file.parquet"
    episodes = [noisy_episode(f"e{k}", 5 + k % 3, k) for k in range(130)]
    return path, episodes, write_data_file(path, iter(episodes), 7, 1000, {"try": 3}, 20)


def test_every_row_is_there(written) -> None:
    path, episodes, summary = written
    table = pq.read_table(path)
    assert table.column_names == [each.name for each in FEATURES] + list(OWN_FEATURES)
    assert not any(field.nullable for field in table.schema)
    for feature in FEATURES:
        wanted = np.concatenate([each.columns[feature.name] for each in episodes])
        found = table.column(feature.name).combine_chunks()
        if feature.width:
            assert found.type.list_size == feature.width
            found = found.flatten()
        np.testing.assert_array_equal(
            found.to_numpy(zero_copy_only=False).reshape(wanted.shape), wanted
        )
    lengths = [len(each) for each in episodes]
    assert summary.rows == sum(lengths) and summary.episodes == 130
    assert table.column("episode_index").to_pylist() == list(np.repeat(np.arange(7, 137), lengths))
    assert table.column("index").to_pylist() == list(range(1000, 1000 + summary.rows))
    frames = np.concatenate([np.arange(n) for n in lengths])
    assert table.column("frame_index").to_pylist() == list(frames)
    np.testing.assert_array_equal(
        table.column("timestamp").to_numpy(), (frames / 20).astype(np.float32)
    )
    assert set(table.column("task_index").to_pylist()) == {3}


def test_mapped_columns_are_the_tail_of_their_chunks(written) -> None:
    path, episodes, summary = written
    data, file = path.read_bytes(), pq.ParquetFile(path).metadata
    assert summary.row_groups == tuple(file.row_group(k).num_rows for k in range(3))
    names = [file.row_group(0).column(k).path_in_schema for k in range(file.num_columns)]
    first = 0
    for group, rows in enumerate(summary.row_groups):
        for name in MAPPED:
            chunk = file.row_group(group).column(names.index(f"{name}.list.element"))
            assert chunk.compression == "UNCOMPRESSED" and not chunk.has_dictionary_page
            end = chunk.data_page_offset + chunk.total_compressed_size
            values = np.frombuffer(data[end - rows * 64 : end], np.float32).reshape(-1, 16)
            whole = np.concatenate([each.columns[name] for each in episodes])
            np.testing.assert_array_equal(values, whole[first : first + rows])
        first += rows


def test_row_groups_are_whole_episodes_of_a_bounded_size(tmp_path) -> None:
    path = tmp_path / "file.parquet"
    lengths = [ROWS_A_GROUP + 5, 10, ROWS_A_GROUP - 9, 9, 1]
    long = noisy_episode("x", max(lengths))
    episodes = (
        replace(long, columns={k: v[:rows] for k, v in long.columns.items()}) for rows in lengths
    )
    summary = write_data_file(path, episodes, 0, 0, {"try": 0})
    assert summary.row_groups == (ROWS_A_GROUP + 5, 10, ROWS_A_GROUP, 1)


def test_the_same_episodes_give_the_same_bytes(written, tmp_path) -> None:
    path, episodes, summary = written
    again = write_data_file(tmp_path / "other.parquet", episodes, 7, 1000, {"try": 3}, 20)
    assert (tmp_path / "other.parquet").read_bytes() == path.read_bytes()
    assert again == summary
    assert summary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert summary.bytes == path.stat().st_size


def test_facts_become_columns(written, tmp_path) -> None:
    path, _, _ = written
    target = tmp_path / "episodes.parquet"
    finish_rows(rows_path(path), target, fact_types(rows_path(path)), 0, 4)
    table = pq.read_table(target)
    assert table.column("trajectory").to_pylist() == list(range(130))
    assert table.column("dataset_from_index")[0].as_py() == 1000
    assert table.column("data/file_index").to_pylist() == [4] * 130
    assert table.column("tasks")[3].as_py() == ["try"]
    assert table.column("stats/action/mean").type == pa.list_(pa.float64())
    assert table.column("stats/action/count")[2].as_py() == [7]
    assert types_of_file(target) == {"trajectory": pa.int64(), "lag": pa.float64()}


def test_facts_of_other_types_are_united(tmp_path) -> None:
    def file(name, facts):
        path = tmp_path / name
        episode = replace(noisy_episode("x", 5), facts=facts)
        write_data_file(path, [episode], 0, 0, {"try": 0})
        return rows_path(path)

    first = file("a", {"lag": None, "seed": 3, "odd": True, "names": ["a"], "old": 1})
    later = file("b", {"lag": 2, "seed": 4.5, "odd": "yes", "names": [], "new": [1.0, None]})
    types = unite(fact_types(first), fact_types(later))
    assert types == {
        "lag": pa.int64(),
        "seed": pa.float64(),
        "odd": pa.string(),
        "names": pa.list_(pa.string()),
        "old": pa.int64(),
        "new": pa.list_(pa.float64()),
    }
    finish_rows(first, tmp_path / "0", fact_types(first), 0, 0)
    retype(tmp_path / "0", tmp_path / "0", types)
    finish_rows(later, tmp_path / "1", types, 0, 1)
    tables = [pq.read_table(tmp_path / name) for name in "01"]
    assert tables[0].schema == tables[1].schema
    both = pa.concat_tables(tables).select([*types]).to_pylist()
    assert both == [
        {"lag": None, "seed": 3.0, "odd": "true", "names": ["a"], "old": 1, "new": None},
        {"lag": 2, "seed": 4.5, "odd": "yes", "names": [], "old": None, "new": [1.0, None]},
    ]


def test_a_fact_may_not_take_a_name_of_lerobot(tmp_path) -> None:
    episode = replace(noisy_episode("x", 5), facts={"length": 3})
    with pytest.raises(DatasetError, match="may not be named length"):
        write_data_file(tmp_path / "a", [episode], 0, 0, {"try": 0})
    assert not list(tmp_path.iterdir())
