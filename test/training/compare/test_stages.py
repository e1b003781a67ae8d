# SPDX-License-Identifier: Apache-2.0
"""Stages: fingerprints, what is done again and what is not, what fails with what."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Made, Stage, in_order

WORKER = """
import pathlib, sys
out, *words = sys.argv[1:]
print("some progress")
if "bad" in words:
    print("it went wrong\\nlearning:   7%|# | 1/15 [00:01<00:14]", file=sys.stderr)
    sys.exit(1)
texts = [pathlib.Path(w).read_text() if w.startswith("/") else w for w in words]
pathlib.Path(out).write_text("+".join(texts))
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A module that jobs can run: joins words and the texts of files."""
    (tmp_path / "join_words.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return "join_words"


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path / "stages", 2, 1, lambda line: None)


def job(worker, name, *words):
    return Stage("join", name, (worker, "{out}/text", *words), "text", cost_s=1.0)


def text(runner, stage):
    return (runner.folder(stage).out / "text").read_text()


def test_a_stage_reads_what_another_made(worker, runner):
    first = job(worker, "first", "a")
    second = job(worker, "second", "b", Made(first, "text"))
    third = job(worker, "third", Made(second, "text"), Made(first, "text"))
    runner.run([third], "test")
    assert text(runner, third) == "b+a+a"
    mark = runner.folder(third).mark()
    assert mark["kind"] == "join"
    assert mark["seconds"] >= 0.0
    assert not mark["failed"]


def test_what_is_done_is_not_done_again(worker, runner):
    stage = job(worker, "one", "a")
    runner.run([stage], "test")
    (runner.folder(stage).out / "text").write_text("as it was")
    Runner(runner.root, 1, 1, print).run([stage], "again")
    assert text(runner, stage) == "as it was"


def test_a_changed_setting_redoes_what_depends_on_it_and_no_more(worker, runner):
    def chain(word):
        first, other = job(worker, "first", word), job(worker, "other", "o")
        return other, job(worker, "last", Made(first, "text"), Made(other, "text"))

    runner.run(chain("a"), "test")
    (runner.folder(chain("a")[0]).out / "text").write_text("kept")
    runner.run(chain("b"), "test")
    assert text(runner, chain("b")[1]) == "b+kept"
    assert text(runner, chain("a")[1]) == "a+o"


def test_a_file_counts_by_its_contents(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("x")
    two.write_text("x")
    same = [Stage("k", "n", ("m", file)).fingerprint for file in (one, two)]
    assert same[0] == same[1]
    two.write_text("y")
    assert Stage("k", "n", ("m", two)).fingerprint != same[0]
    with pytest.raises(CompareError, match="cannot read"):
        _ = Stage("k", "n", ("m", tmp_path / "none")).fingerprint


def test_cores_do_not_count():
    assert (
        Stage("k", "n", ("m",), free=("--threads", "{threads}")).fingerprint
        == Stage("k", "n", ("m",)).fingerprint
    )


def test_a_failure_tells_why_takes_its_dependents_and_nothing_else(worker, runner):
    bad = job(worker, "bad", "bad")
    after = job(worker, "after", Made(bad, "text"))
    last = job(worker, "last", Made(after, "text"))
    good = job(worker, "good", "a")
    runner.run([last, good], "test")
    assert runner.failure(bad) == "it went wrong"
    assert runner.failure(after) == "needs join, which failed: it went wrong"
    assert runner.failure(last) == "needs join, which failed: it went wrong"
    assert not runner.failure(good)
    assert text(runner, good) == "a"


def test_the_next_run_tries_a_failed_stage_again(tmp_path, worker, runner):
    stage = job(worker, "one", "/" + str(tmp_path / "later").lstrip("/"))
    runner.run([stage], "test")
    assert "later" in runner.failure(stage)
    (tmp_path / "later").write_text("here now")
    again = Runner(runner.root, 1, 1, print)
    again.run([stage], "test")
    assert not again.failure(stage)
    assert text(again, stage) == "here now"


def test_a_job_that_leaves_nothing_has_failed(worker, runner):
    stage = Stage("join", "one", (worker, "{out}/other", "a"), "text")
    runner.run([stage], "test")
    assert "text is not there" in runner.failure(stage)


def test_a_job_that_is_killed_has_failed_and_is_done_later(worker, runner, tmp_path):
    (tmp_path / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    stage = Stage("k", "one", ("killed",), "text")
    runner.run([stage], "test")
    assert runner.failure(stage) == "it ended with -9"


def test_the_plan_counts_and_learns_how_long_it_takes(worker, runner):
    stages = [job(worker, f"n{k}", str(k)) for k in range(3)]
    runner.run(stages[:2], "test")
    line = runner.plan(stages).splitlines()[1].split()
    assert line[:3] == ["join", "2", "1"]


def test_needs_come_first_and_once():
    a = Stage("k", "a", ("a",))
    b = Stage("k", "b", ("b", Made(a)))
    c = Stage("k", "c", ("c", Made(a), Made(b)))
    assert in_order([c, b, a]) == [a, b, c]


def test_what_another_run_works_on_is_waited_for_and_not_done_twice(runner, tmp_path, worker):
    (tmp_path / "slow.py").write_text(
        "import pathlib, sys, time\n"
        "out, gate, runs = map(pathlib.Path, sys.argv[1:])\n"
        "runs.open('a').write('run ')\n"
        "while not gate.exists(): time.sleep(0.05)\n"
        "out.write_text('made')\n"
    )
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    stage = Stage("k", "slow", ("slow", "{out}/text", str(gate), str(runs)), "text")
    script = textwrap.dedent(f"""
        from pathlib import Path
        from dexndm_ros.training.compare.runner import Runner
        from dexndm_ros.training.compare.stages import Stage
        stage = Stage("k", "slow", ("slow", "{{out}}/text", {str(gate)!r}, {str(runs)!r}), "text")
        Runner(Path({str(runner.root)!r}), 1, 1, print).run([stage], "first")
    """)
    first = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while not runs.exists():
        assert first.poll() is None
        time.sleep(0.02)
    opener = threading.Timer(0.5, gate.touch)
    opener.start()
    runner.run([stage], "second")
    assert text(runner, stage) == "made"
    assert runs.read_text() == "run "
    assert first.wait() == 0


def test_sigterm_ends_the_jobs_and_leaves_no_mark(worker, runner, tmp_path):
    (tmp_path / "endless.py").write_text(
        "import os, pathlib, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\ntime.sleep(600)"
    )
    pid = tmp_path / "pid"
    stage = Stage("k", "endless", ("endless", str(pid)))
    script = textwrap.dedent(f"""
        from pathlib import Path
        from dexndm_ros.training.compare.runner import Runner
        from dexndm_ros.training.compare.stages import Stage
        Runner(Path({str(runner.root)!r}), 1, 1, print).run([Stage("k", "endless", ("endless", {str(pid)!r}))], "x")
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while not (pid.exists() and pid.read_text()):
        assert parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait() != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert runner.folder(stage).mark() == {}


def test_a_mark_that_was_cut_off_is_none(worker, runner):
    stage = job(worker, "one", "a")
    runner.run([stage], "test")
    (runner.folder(stage).path / "stage.json").write_text(json.dumps({"kind": "join"})[:5])
    assert not runner.folder(stage).done


def test_the_same_work_under_two_names_is_done_in_both_folders(worker, runner):
    """A copy of the nominal world's file under another name: each reads what lies in its own folder."""
    first, copy = job(worker, "nominal", "a"), job(worker, "copy", "a")
    assert first.fingerprint == copy.fingerprint
    last = job(worker, "last", Made(first, "text"), Made(copy, "text"))
    runner.run([last], "test")
    assert text(runner, last) == "a+a"
