# SPDX-License-Identifier: Apache-2.0
"""The same work on Ray: as robust, and to the same bytes."""

from __future__ import annotations

import pytest

from dexndm_ros.datasets.convert_cli import main
from dexndm_ros.datasets.engine import EngineError, open_engine
from support.nights import write_night
from support.ray_cluster import ray_cluster
from support.worker_jobs import check_deaths

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def engine():
    """A cluster of this machine; what is converted meanwhile uses it."""
    with ray_cluster(2) as opened:
        yield opened


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no address at all"])
def test_a_cluster_that_is_not_there_is_told(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(EngineError, match="unset RAY_ADDRESS"):
        open_engine("ray")


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_dies_costs_its_own_task_only(engine, tmp_path):
    check_deaths(engine, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_the_bytes_are_those_of_the_local_engine(engine, tmp_path):
    write_night(tmp_path / "night", 3, state_hz=50.0, steps=60)
    made = {}
    for name in ("local", "ray"):
        dataset = tmp_path / name / "set"
        words = [str(tmp_path / "night"), "--out", str(dataset), "--engine", name, "--no-report"]
        assert main(words) == 1  # short episodes are flagged
        files = [path for path in sorted(dataset.rglob("*")) if path.is_file()]
        made[name] = {str(path.relative_to(dataset)): path.read_bytes() for path in files}
    assert made["ray"] == made["local"]
    assert len(made["ray"]) > 5
