# SPDX-License-Identifier: Apache-2.0
"""Windows are the rows that the files hold, all of them once, and nothing over an edge."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.split import is_held_out, split_episodes
from dexndm_ros.datasets.windows import WindowDataset
from support.datasets import numbered_episode, write_rows_only
from support.nights import write_night

LENGTHS = (37, 12, 64, 5, 80)
INVALID = {2: (30,), 4: (0, 79)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    episodes, first = [], 0
    for number, rows in enumerate(LENGTHS):
        invalid = INVALID.get(number, ())
        facts = {"trajectory": number // 2}
        episodes.append(numbered_episode(f"e{number}", rows, first, invalid, facts))
        first += rows
    folder = tmp_path_factory.mktemp("windows") / "set"
    return write_rows_only(folder, [episodes[:2], episodes[2:]])


def expected(length: int, stride: int = 1, only_valid: bool = True) -> list[int]:
    starts, first = [], 0
    for number, rows in enumerate(LENGTHS):
        for k in range(0, rows - length + 1, stride):
            hit = any(k <= bad < k + length for bad in INVALID.get(number, ()))
            if not (only_valid and hit):
                starts.append(first + k)
        first += rows
    return starts


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (10, 1), (10, 4), (80, 1), (81, 1)])
@pytest.mark.parametrize("only_valid", [True, False])
def test_a_window_is_inside_one_episode_and_valid(
    dataset: Path, length: int, stride: int, only_valid: bool
) -> None:
    windows = WindowDataset(dataset, length, stride=stride, only_valid=only_valid)
    assert windows.starts.tolist() == expected(length, stride, only_valid)
    assert windows.copied == ()
    seen = [start for batch in windows.batches(7, 3) for start in checked(batch, length)]
    assert sorted(seen) == expected(length, stride, only_valid)


def checked(batch: dict[str, np.ndarray], length: int) -> list[int]:
    """The first rows of a batch's windows, every number of which is what its row says."""
    state, action = batch["observation.state"], batch["action"]
    assert state.dtype == np.float32
    assert state.shape[1:] == (length, 16)
    first = state[:, 0, 0]
    grid = first[:, None, None] + np.arange(length)[:, None] + np.arange(16) / 16
    assert np.array_equal(state, grid.astype(np.float32))
    assert np.array_equal(action, -state)
    return first.astype(int).tolist()


def test_windows_of_a_night_are_what_was_sent_and_measured(tmp_path: Path) -> None:
    bags = write_night(tmp_path / "bags", 2, steps=60, faulty=[1], drop_steps=(30,))
    episodes = [
        dataclasses.replace(each, task="try", facts={"trajectory": each.facts["trajectory"]})
        for bag in bags
        for each in convert_bag(bag.path, ConvertConfig()).episodes
    ]
    windows = WindowDataset(write_rows_only(tmp_path / "set", [episodes]), 20)
    assert windows.rows == 60 + 59
    # Step 30 of the second is missing: no window has step 29 and 31.
    assert windows.starts.tolist() == [*range(41), *range(60, 70), *range(90, 100)]
    batch = windows.windows(windows.starts[:41])
    targets = np.lib.stride_tricks.sliding_window_view(bags[0].target_rad, 20, axis=0)
    assert np.array_equal(batch["action"], targets.transpose(0, 2, 1).astype(np.float32))
    measured = bags[0].states.position_rad.astype(np.float32)
    assert np.isin(batch["observation.state"][..., 0], measured[:, 0]).all()


def order(windows: WindowDataset, epoch: int) -> list[list[int]]:
    return [checked(batch, 10) for batch in windows.batches(8, epoch)]


def test_order_follows_from_seed_and_epoch_alone(dataset: Path) -> None:
    one, two = WindowDataset(dataset, 10, seed=1), WindowDataset(dataset, 10, seed=1, threads=1)
    assert order(one, 0) == order(two, 0) == order(one, 0)
    assert order(one, 0) != order(one, 1)
    assert order(one, 0) != order(WindowDataset(dataset, 10, seed=2), 0)
    flat = [checked(batch, 10) for batch in one.batches(1000, shuffle=False)]
    assert flat == [expected(10)]


def test_shards_share_the_windows_out(dataset: Path) -> None:
    windows = WindowDataset(dataset, 10)
    parts = [list(windows.batches(8, 2, shard=(k, 3))) for k in range(3)]
    seen = sorted(start for part in parts for batch in part for start in checked(batch, 10))
    assert seen == expected(10)
    even = [len(list(windows.batches(8, 2, shard=(k, 3), drop_last=True))) for k in range(3)]
    assert len(set(even)) == 1
    assert even[0] > 0


def test_many_threads_copy_what_one_copies(tmp_path: Path) -> None:
    episodes = [numbered_episode(f"e{k}", 400, 400 * k) for k in range(30)]
    folder = write_rows_only(tmp_path / "set", [episodes[:10], episodes[10:20], episodes[20:]])
    windows = WindowDataset(folder, 10, threads=3)
    seen = [start for batch in windows.batches(9000, 1, reuse=True) for start in checked(batch, 10)]
    assert sorted(seen) == windows.starts.tolist()
    assert len(seen) == 30 * 391


def test_windows_are_given_as_asked(dataset: Path) -> None:
    windows = WindowDataset(dataset, 10)
    wanted = [60, 0, 49, 0]
    assert checked(windows.windows(wanted), 10) == wanted
    with pytest.raises(DatasetError, match="no window begins at row 30"):
        windows.windows([30])


def test_other_columns_are_read_into_memory_and_named(dataset: Path) -> None:
    windows = WindowDataset(dataset, 3, columns=("observation.seq", "action", "valid"))
    assert windows.copied == ("observation.seq", "valid")
    batch = windows.windows([49, 7])
    assert batch["observation.seq"].tolist() == [[49, 50, 51], [7, 8, 9]]
    assert batch["valid"].all()


@pytest.mark.parametrize("how", ["compressed", "dictionary", "pages", "groups"])
def test_files_of_others_give_the_same(
    dataset: Path, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {
        "compressed": {"compression": "zstd", "use_dictionary": False},
        "dictionary": {"compression": "none"},
        "pages": {"compression": "none", "use_dictionary": False, "data_page_size": 100, "write_batch_size": 16},
        "groups": {"compression": "none", "use_dictionary": False, "row_group_size": 20},
    }[how]  # fmt: skip
    for path in sorted((dataset / "data").glob("*/*.parquet")):
        target = tmp_path / path.relative_to(dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pq.read_table(path), target, **options)
    with caplog.at_level(logging.WARNING):
        windows = WindowDataset(tmp_path, 10)
    assert windows.copied == ("observation.state", "action")
    assert "into memory" in caplog.text
    seen = [start for batch in windows.batches(16) for start in checked(batch, 10)]
    assert sorted(seen) == expected(10)


def test_split_keeps_a_trajectory_on_one_side(tmp_path: Path) -> None:
    def make(folder: Path, numbers: list[int]) -> Path:
        each = [numbered_episode(f"e{n}", 3, 0, facts={"trajectory": n % 40}) for n in numbers]
        return write_rows_only(folder, [each])

    train, val = split_episodes(make(tmp_path / "one", list(range(120))))
    assert sorted([*train, *val]) == list(range(120))
    assert not {n % 40 for n in train} & {n % 40 for n in val}
    assert 0 < len(val) < 40
    assert {n for n in range(40) if is_held_out(n)} == {n % 40 for n in val}
    backwards = split_episodes(make(tmp_path / "two", list(range(119, -1, -1))))
    assert sorted(119 - backwards[1]) == val.tolist()
    windows = WindowDataset(tmp_path / "one", 3, episodes="val")
    assert windows.starts.tolist() == [3 * n for n in val]
    assert WindowDataset(tmp_path / "one", 3, episodes=[4, 2]).starts.tolist() == [6, 12]


def test_what_cannot_be_is_said_in_words(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no data/chunk.* dexndm convert"):
        WindowDataset(tmp_path, 10)
    with pytest.raises(DatasetError, match=r"no column 'reward'; it has observation\.state"):
        WindowDataset(dataset, 10, columns=("reward",))
    with pytest.raises(DatasetError, match="1 or more"):
        WindowDataset(dataset, 0)
    with pytest.raises(DatasetError, match="no episode 9; it has 5"):
        WindowDataset(dataset, 10, episodes=[9])
    with pytest.raises(DatasetError, match="batch_size"):
        WindowDataset(dataset, 10).batches(0)
    broken = tmp_path / "data" / "chunk-000" / "file-000.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match=r"cannot be read.*a whole copy.*another --out"):
        WindowDataset(tmp_path, 10)


def test_a_damaged_column_is_said_with_what_helps(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    file = tmp_path / "set/data/chunk-000/file-000.parquet"
    column = pq.read_metadata(file).row_group(0).column(0)
    content = bytearray(file.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 20] = b"\xff" * 20
    file.write_bytes(content)
    name = column.path_in_schema.split(".list")[0]
    with pytest.raises(DatasetError, match=r"cannot be read.*a whole copy.*another --out"):
        WindowDataset(tmp_path / "set", 10, columns=(name,))
