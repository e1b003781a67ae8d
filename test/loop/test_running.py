# SPDX-License-Identifier: Apache-2.0
"""Steps in real processes: `dexndm rollouts` and `dexndm convert` at their smallest."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dexndm_ros.loop.errors import LoopError, StepFailedError
from dexndm_ros.loop.records import Records, claim
from dexndm_ros.loop.running import clock, heading, run_steps, time_left_s
from dexndm_ros.loop.settings import Settings
from dexndm_ros.loop.stages import Step


def replay(out: Path, name: str, *, needs: tuple[str, ...] = (), **changes: str) -> Step:
    """One episode of a hand without load: two seconds."""
    words = ["rollouts", "replay", "--out", str(out / name), "--episodes", "1", "--no-report"]
    for key, value in {"jobs": "1", **changes}.items():
        words += [f"--{key}", value]
    makes = out / name / "meta" / "info.json"
    return Step(name, 1, f"makes {name}", (tuple(words),), makes, needs)


def urdf(out: Path, name: str, *more: str, needs: tuple[str, ...] = ()) -> Step:
    """A step of a moment, whose result is what it prints."""
    makes = out / "logs" / f"{name}.log"
    return Step(name, 1, f"makes {name}", (("urdf", *more),), makes, needs)


def run(steps: list[Step], out: Path) -> list[str]:
    said: list[str] = []
    run_steps(steps, Records(out / "done"), out / "logs", said.append, lambda _: False)
    return said


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    steps = [urdf(tmp_path, "a"), urdf(tmp_path, "b", needs=("a",))]
    assert len(run(steps, tmp_path)) == 2
    records = Records(tmp_path / "done")
    before = [records.get(step.name) for step in steps]
    assert run(steps, tmp_path) == []
    assert [records.get(step.name) for step in steps] == before


def test_a_result_that_was_removed_is_made_again_and_what_read_it_too(tmp_path: Path) -> None:
    steps = [urdf(tmp_path, "a"), urdf(tmp_path, "b", needs=("a",)), urdf(tmp_path, "c")]
    run(steps, tmp_path)
    once = [step.makes.read_text(encoding="utf-8") for step in steps]
    steps[0].makes.unlink()
    assert [line.split(": makes ")[1] for line in run(steps, tmp_path)] == ["a", "b"]
    # The old result of b is gone, or its log would hold two.
    assert [step.makes.read_text(encoding="utf-8") for step in steps] == once


def test_another_command_is_another_step(tmp_path: Path) -> None:
    run([urdf(tmp_path, "a")], tmp_path)
    assert len(run([urdf(tmp_path, "a", "--help")], tmp_path)) == 1


def test_a_result_in_part_is_made_again_but_what_a_hand_did_is_never_removed(
    tmp_path: Path,
) -> None:
    step = replay(tmp_path, "a")
    run([step], tmp_path)
    shutil.rmtree(tmp_path / "a" / "meta")
    run([step], tmp_path)
    assert step.makes.is_file()
    bag = tmp_path / "chaos_box" / "bags" / "e000000_a1"
    bag.mkdir(parents=True)
    words = ("collect", "--out", str(tmp_path / "chaos_box"))
    collect = Step("collect", 2, "collects", (words,), tmp_path / "chaos_box" / "campaign.sqlite")
    records = Records(tmp_path / "done")
    records.finish(collect, words, 1.0)
    assert not records.is_done(collect)
    records.forget(collect)
    assert bag.is_dir()


def test_a_senseless_step_is_left_out(tmp_path: Path) -> None:
    step = replay(tmp_path, "a")
    run_steps(
        [step], Records(tmp_path / "done"), tmp_path / "logs", print, lambda each: each is step
    )
    assert not step.makes.exists()


def test_a_failed_step_tells_what_the_job_said_and_where_to_read(tmp_path: Path) -> None:
    step = replay(tmp_path, "a", world="nowhere")
    with pytest.raises(StepFailedError) as error:
        run([step, urdf(tmp_path, "b")], tmp_path)
    text = str(error.value)
    assert "stage 1, rollouts" in text and "no world 'nowhere'" in text
    assert str(tmp_path / "logs" / "a.log") in text and "same command again" in text
    assert not (tmp_path / "logs" / "b.log").exists()


def test_where_one_command_fails_the_next_goes_on(tmp_path: Path) -> None:
    good = urdf(tmp_path, "a")
    step = replace(good, commands=(("no-such-command",), *good.commands))
    said = run([step], tmp_path)
    assert said[-1].endswith("it goes on with: dexndm urdf")
    record = Records(tmp_path / "done").get("a")
    assert record is not None and record.words == ("urdf",)
    assert run([step], tmp_path) == []


def test_a_status_that_means_done_with_warnings_is_done(tmp_path: Path) -> None:
    step = replace(urdf(tmp_path, "a"), commands=(("no-such-command",),))
    with pytest.raises(StepFailedError):
        run([step], tmp_path)
    run([replace(step, done=(0, 2))], tmp_path)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {test!r})
from test_running import replay, run
out = Path({out!r})
step = replay(out, "a", episodes="8", block="1")
print(len(run([step], out)), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_a_step_its_process_ends_and_the_next_run_goes_on(
    tmp_path: Path, number: int
) -> None:
    """The job keeps the blocks that were done; the record appears only when it has ended well."""
    code = CHILD.format(test=str(Path(__file__).parent), out=str(tmp_path))
    loop = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    parts = tmp_path / ".a.building" / "parts"
    wait_for(lambda: len(list(parts.glob("*.arrow"))) >= 2)
    others = others_of(loop.pid)
    assert others
    os.kill(loop.pid, number)
    loop.wait(60)
    wait_for(lambda: not any(alive(pid) for pid in others))
    records = Records(tmp_path / "done")
    assert records.get("a") is None
    step = replay(tmp_path, "a", episodes="8", block="1")
    run([step], tmp_path)
    assert records.is_done(step)
    log = (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")
    done = re.search(r"(\d+) of 8 blocks were done before", log)
    assert done and 2 <= int(done[1]) < 8


def test_a_terminal_sees_what_the_job_shows_and_a_file_does_not(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_running import run, urdf
out = Path({str(tmp_path)!r})
run([urdf(out, sys.argv[1])], out)
"""
    quiet = subprocess.run([sys.executable, "-c", code, "b"], capture_output=True, check=True)
    assert not quiet.stderr
    loop = subprocess.Popen([sys.executable, "-c", code, "a"], stderr=terminal)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(
        OSError
    ):  # the terminal's end, when the last one that writes to it has ended
        while more := os.read(master, 65536):
            seen += more
    os.close(master)
    assert loop.wait(60) == 0
    shown = seen.decode().replace("\r\n", "\n")
    assert shown == (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")
    assert "<robot" in shown


def test_the_time_to_go_follows_the_pace_of_this_machine(tmp_path: Path) -> None:
    steps = [replace(urdf(tmp_path, name), about_s=100.0) for name in ("a", "b", "c")]
    assert time_left_s(steps, steps, {}) == 300.0
    assert time_left_s(steps, steps[1:], {"a": 250.0}) == 500.0
    records = Records(tmp_path / "done")
    assert "0%, 5 min to go | stage 1 of 7, rollouts: makes a" in heading(
        steps[0], steps, records, {}
    )
    assert clock(89.0) == "89 s" and clock(600.0) == "10 min"


def test_a_folder_belongs_to_its_settings(tmp_path: Path) -> None:
    ours = Settings(tmp_path / "loop", "twin")
    claim(ours)
    claim(ours)
    for other in (replace(ours, seed=2), replace(ours, size="tiny"), replace(ours, world="gains")):
        with pytest.raises(LoopError, match="give another --out"):
            claim(other)


def test_a_world_file_that_has_changed_is_another_world(tmp_path: Path) -> None:
    world = tmp_path / "mine.yaml"
    world.write_text("name: mine\n", encoding="utf-8")
    ours = Settings(tmp_path / "loop", str(world))
    claim(ours)
    world.write_text("name: mine\nservo: {kp_scale: 0.8}\n", encoding="utf-8")
    with pytest.raises(LoopError, match="world_sha256"):
        claim(ours)


def wait_for(condition, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def others_of(session: int) -> list[int]:
    """Processes of a session but its leader: children, and theirs."""
    done = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in done.stdout.split() if int(word) != session]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
