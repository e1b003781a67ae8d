# SPDX-License-Identifier: Apache-2.0
"""The same batches from memory and from files, shared out without loss; data that cannot be used is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dexndm_ros.training.dynamics.baselines import arx_network, measure_statistics, start_from_arx
from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.data import open_windows
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.fit import errors_of
from dexndm_ros.training.dynamics.networks import DynamicsNet
from dexndm_ros.training.dynamics.processes import Processes
from support.motion import write_motion

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_motion(tmp_path_factory.mktemp("motion") / "set")


def listed(windows, size, epoch, rank=0, ranks=1, first=0):
    return [
        torch.stack(pair, -1).numpy() for pair in windows.batches(size, epoch, rank, ranks, first)
    ]


@pytest.mark.parametrize("epoch", [None, 0, 3])
@pytest.mark.parametrize("size", [100, 5000])
def test_memory_and_files_give_the_same_batches(dataset, epoch, size):
    one, other = (
        open_windows([dataset], 6, CPU, "train", seed=4, keep=keep) for keep in ("memory", "stream")
    )
    assert (one.where, other.where, len(one)) == ("memory", "stream", len(other))
    pairs = list(zip(listed(one, size, epoch), listed(other, size, epoch), strict=True))
    assert len(pairs) == one.batch_count(size) + (epoch is None and size == 100)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("keep", ["memory", "stream"])
def test_processes_share_every_batch(dataset, keep):
    windows = open_windows([dataset, dataset], 6, CPU, "val", keep=keep)
    alone = listed(windows, 50, 1)
    shares = [listed(windows, 50, 1, rank, 3) for rank in range(3)]
    for whole, *parts in zip(alone, *shares, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_an_epoch_can_begin_in_the_middle(dataset):
    windows = open_windows([dataset], 6, CPU, "train")
    for a, b in zip(listed(windows, 64, 2)[5:], listed(windows, 64, 2, first=5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_small_draw_is_part_of_a_larger_one(dataset):
    small, large, whole = (
        {tuple(q[0, 1].tolist()) for q, _ in open_windows([dataset], 6, CPU, "train", trajectories=n).batches(1, None)}
        for n in (4, 12, 0)
    )  # fmt: skip
    assert small < large < whole
    assert len(small) == 4 * 55


def test_more_trajectories_than_there_are_is_refused(dataset):
    with pytest.raises(DynamicsError, match="trajectories is 99, and there are"):
        open_windows([dataset], 6, CPU, "train", trajectories=99)


def test_no_window_long_enough_is_refused(dataset):
    with pytest.raises(DynamicsError, match="no stretch of 61 valid rows to train on"):
        open_windows([dataset], 61, CPU, "train")


def test_a_valid_row_that_is_not_finite_is_named(tmp_path):
    folder = write_motion(tmp_path / "bad", episodes=2, bad_row=20)
    with pytest.raises(
        DynamicsError, match=r"observation\.state is not finite in the window from row 15"
    ):
        open_windows([folder], 6, CPU)


def test_the_linear_fit_finds_linear_joints(tmp_path):
    """Joints that go a third of the way are predicted to the last digits of a float."""
    from dexndm_ros.datasets.episode import Episode
    from dexndm_ros.datasets.features import empty_columns
    from support.datasets import write_rows_only

    columns = empty_columns(300)
    target = np.cumsum(np.random.default_rng(0).normal(0, 0.02, (300, 16)), 0)
    q = np.zeros((300, 16))
    for k in range(1, 300):
        q[k] = q[k - 1] + (target[k - 1] - q[k - 1]) / 3
    columns["observation.state"][...], columns["action"][...] = q, target
    columns["valid"][...] = True
    folder = write_rows_only(tmp_path / "linear", [[Episode("a", "try", columns, {"trajectory": 0})]])  # fmt: skip
    windows = open_windows([folder], 6, CPU)
    arx = arx_network(measure_statistics(windows), 5)
    assert float(errors_of(arx, windows, Processes()).max()) < 2e-6
    assert float(errors_of(None, windows, Processes()).min()) > 5e-3


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("structure", ["joint", "finger", "hand"])
def test_every_structure_begins_as_the_linear_fit(dataset, structure, shared):
    windows = open_windows([dataset], 6, CPU)
    statistics = measure_statistics(windows)
    net = DynamicsNet(NetworkConfig(structure=structure, window=5), shared)
    start_from_arx(net, statistics)
    q, a = next(windows.batches(64, 0))
    linear = arx_network(statistics, 5)(q[:, :-1], a[:, :-1])
    torch.testing.assert_close(
        net(q[:, :-1], a[:, :-1]), linear, atol=5e-5 if shared else 1e-6, rtol=1e-4
    )
