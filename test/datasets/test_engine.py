# SPDX-License-Identifier: Apache-2.0
"""Engines: every task is done, whatever happens to the workers; no worker is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dexndm_ros.datasets.engine import EngineError, LocalEngine, open_engine
from support.worker_jobs import check_deaths, hang, square

ROOT = Path(__file__).resolve().parents[2]
_HANG = """
import sys
sys.path[:0] = [{root!r}, {test!r}]
from dexndm_ros.datasets.engine import LocalEngine
from support.worker_jobs import hang
if __name__ == "__main__":
    with LocalEngine(1) as engine:
        list(engine.run(hang, [""]))
"""


def test_every_task_gives_one_outcome_and_few_are_taken_ahead():
    taken = []

    def tasks():
        for number in range(40):
            taken.append(number)
            yield number

    with LocalEngine(2) as engine:
        outcomes = []
        for outcome in engine.run(square, tasks()):
            outcomes.append(outcome)
            assert len(taken) <= len(outcomes) + 2 * 2 + 1
    assert sorted((o.number, o.value) for o in outcomes) == [(n, n * n) for n in range(40)]


def test_a_worker_that_dies_costs_its_own_task_only(tmp_path):
    with LocalEngine(2) as engine:
        check_deaths(engine, tmp_path)


def test_leaving_ends_workers_that_would_never_end(tmp_path):
    fifo, worker = tmp_path / "worker", []
    os.mkfifo(fifo)

    def tasks():
        yield str(fifo)
        worker.append(int(fifo.read_text()))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"), LocalEngine(1) as engine:
        list(engine.run(hang, tasks()))
    assert not psutil.pid_exists(worker[0])


def test_workers_end_with_their_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_HANG.format(root=str(ROOT), test=str(ROOT / "test")))
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, _ = psutil.wait_procs([worker], timeout=30)
    assert gone == [worker]


def test_an_unknown_engine_is_refused():
    with pytest.raises(EngineError, match="local, ray"):
        open_engine("spark")  # type: ignore[arg-type]
