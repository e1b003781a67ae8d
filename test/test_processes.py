# SPDX-License-Identifier: Apache-2.0
"""Process supervision: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dexndm_ros.bringup import ProcessSpec
from dexndm_ros.processes import Ended, Processes, StopTimes
from dexndm_ros.respawn import RespawnRule

PATIENCE_S = 30.0

# Programs as a node might behave; each says "up" when its signal handlers stand.
OBEDIENT = """
import time
print("up", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("torque off", flush=True)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
FAILING = """
import sys
print("[ERROR] [1.0] [node]: port /dev/x is missing; plug the hand in", flush=True)
print("[ERROR] second", flush=True)
sys.exit(3)
"""
WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
print("up", flush=True)
time.sleep(600)
"""


# It fails until its third life; each life tells its number.
THIRD_TIME_LUCKY = """
import sys, time
from pathlib import Path
lives = Path(sys.argv[1])
life = len(lives.read_text()) + 1 if lives.exists() else 1
lives.write_text("x" * life)
print("life", life, flush=True)
if life < 3:
    sys.exit(5)
print("up", flush=True)
time.sleep(600)
"""


def spec(name: str, critical: bool = True, respawn: bool = False) -> ProcessSpec:
    return ProcessSpec(name, "unused", "unused", critical=critical, respawn=respawn)


def system(directory: Path, programs: dict[str, str], **options: object) -> Processes:
    return Processes(
        [spec(name) for name in programs],
        directory,
        command=lambda s: [sys.executable, "-c", programs[s.name]],
        **options,  # type: ignore[arg-type]
    )


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.02)


def wait_for_line(log: Path, text: str) -> str:
    wait_for(lambda: log.exists() and text in log.read_text(), f"{text!r} in {log.name}")
    return log.read_text()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_stop_interrupts_in_reverse_order_and_captures_the_output(tmp_path: Path) -> None:
    with system(tmp_path, {"hand": OBEDIENT, "driver": OBEDIENT}) as running:
        for log in running.logs.values():
            wait_for_line(log, "up")
        ended = running.stop()
    assert [e.name for e in ended] == ["driver", "hand"]
    assert [e.code for e in ended] == [0, 0]
    assert "torque off" in (tmp_path / "driver.log").read_text()


def test_a_process_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    with system(tmp_path, {"s": STUBBORN}, stop_times=StopTimes(0.2, 0.2)) as running:
        wait_for_line(running.logs["s"], "up")
        pid = running.pids["s"]
        (ended,) = running.stop()
    assert ended.code == -signal.SIGKILL
    assert not alive(pid)


def test_grandchildren_do_not_survive(tmp_path: Path) -> None:
    with system(tmp_path, {"p": WITH_CHILD}, stop_times=StopTimes(5.0, 1.0)) as running:
        text = wait_for_line(running.logs["p"], "up")
        child = int(text.split()[1])
        assert alive(child)
    wait_for(lambda: not alive(child), "the grandchild's end")


def test_first_error_line_is_forwarded_once_and_is_the_reason(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    with system(tmp_path, {"n": FAILING}, on_error=lambda *words: said.append(words)) as running:
        (ended,) = running.wait(PATIENCE_S)
    assert len(said) == 1
    assert said[0][0] == "n"
    assert "plug the hand in" in said[0][1]
    assert ended.code == 3
    assert "plug the hand in" in ended.reason
    assert ended.critical


def test_a_silent_death_says_how(tmp_path: Path) -> None:
    with system(
        tmp_path, {"n": "import os,signal; os.kill(os.getpid(), signal.SIGKILL)"}
    ) as running:
        (ended,) = running.wait(PATIENCE_S)
    assert "SIGKILL" in ended.reason


def test_a_traceback_is_an_error_line(tmp_path: Path) -> None:
    with system(tmp_path, {"n": "raise ValueError('sixteen joints wanted')"}) as running:
        (ended,) = running.wait(PATIENCE_S)
    assert "sixteen joints wanted" in ended.reason


def test_an_exception_in_the_body_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), system(tmp_path, {"a": OBEDIENT}) as running:
        pid = running.pids["a"]
        _ = 1 / 0
    assert not alive(pid)


def test_a_program_that_cannot_start_stops_those_before_it(tmp_path: Path) -> None:
    commands = {"a": [sys.executable, "-c", OBEDIENT], "b": [str(tmp_path / "missing")]}
    running = Processes([spec("a"), spec("b")], tmp_path, command=lambda s: commands[s.name])
    with pytest.raises(FileNotFoundError), running:
        pass
    assert running.pids == {}


def test_only_the_main_thread_may_start(tmp_path: Path) -> None:
    running = system(tmp_path, {"a": OBEDIENT})
    errors: list[BaseException] = []

    def start() -> None:
        try:
            running.start()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(errors) == 1


def respawning(directory: Path, rule: RespawnRule, **programs: str) -> Processes:
    return Processes(
        [spec(name, respawn=True) for name in programs],
        directory,
        command=lambda s: [sys.executable, "-c", programs[s.name], str(directory / "lives")],
        respawn=rule,
    )


def ends_until_given_up(running: Processes) -> list[Ended]:
    ends: list[Ended] = []
    while not ends or ends[-1].respawn_in_s is not None:
        found = running.wait(PATIENCE_S)
        assert found, "nothing ended"
        ends += found
    return ends


def test_a_process_that_ends_is_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    with respawning(tmp_path, RespawnRule(delay_s=0.0), p=THIRD_TIME_LUCKY) as running:
        ends = [*running.wait(PATIENCE_S), *running.wait(PATIENCE_S)]
        wait_for(lambda: running.poll() == [] and running.pids, "the third life")
        log = wait_for_line(tmp_path / "p.log", "up")
        assert running.respawns == {"p": 2}
        pid = running.pids["p"]
        (last,) = running.stop()
    assert [(e.code, e.critical, e.respawns) for e in ends] == [(5, False, 0), (5, False, 1)]
    assert [line for line in log.splitlines() if line != "up"] == ["life 1", "life 2", "life 3"]
    assert ends[0].reason == "p ended with status 5: life 1"
    assert last.respawns == 2
    assert not alive(pid)


def test_a_process_that_never_heals_is_given_up_and_ends_the_system(tmp_path: Path) -> None:
    with respawning(tmp_path, RespawnRule(delay_s=0.0, budget=3), n=FAILING) as running:
        ends = ends_until_given_up(running)
        assert running.pids == {}
        assert running.wait(PATIENCE_S) == []
    assert [e.critical for e in ends] == [False, False, False, True]
    assert [e.respawns for e in ends] == [0, 1, 2, 3]
    assert "plug the hand in" in ends[-1].reason
    assert "started again 3 times and is given up" in ends[-1].reason


def test_a_process_that_refuses_its_arguments_is_not_started_again(tmp_path: Path) -> None:
    with respawning(tmp_path, RespawnRule(), n="raise SystemExit(2)") as running:
        (ended,) = running.wait(PATIENCE_S)
    assert ended.critical and ended.respawn_in_s is None


def test_one_killed_comes_back_and_the_stop_order_stays(tmp_path: Path) -> None:
    programs = {"hand": OBEDIENT, "driver": OBEDIENT}
    with respawning(tmp_path, RespawnRule(delay_s=0.0), **programs) as running:
        for log in running.logs.values():
            wait_for_line(log, "up")
        old = running.pids["hand"]
        os.kill(old, signal.SIGKILL)
        (ended,) = running.wait(PATIENCE_S)
        wait_for(lambda: running.poll() == [] and "hand" in running.pids, "the new hand")
        wait_for(lambda: running.logs["hand"].read_text().count("up") == 2, "its signal handlers")
        assert running.pids["hand"] != old
        order = [e.name for e in running.stop()]
    assert ended.code == -signal.SIGKILL and not ended.critical
    assert order == ["driver", "hand"]


def test_one_that_hangs_can_be_killed_and_comes_back(tmp_path: Path) -> None:
    with respawning(tmp_path, RespawnRule(delay_s=0.0), s=STUBBORN) as running:
        wait_for_line(running.logs["s"], "up")
        os.kill(running.pids["s"], signal.SIGSTOP)
        running.kill("s")
        (ended,) = running.wait(PATIENCE_S)
        assert ended.code == -signal.SIGKILL and not ended.critical
        wait_for(lambda: running.poll() == [] and running.pids, "its next life")
        os.kill(running.pids["s"], signal.SIGKILL)


def test_stop_cancels_a_start_that_is_due(tmp_path: Path) -> None:
    with respawning(tmp_path, RespawnRule(delay_s=600.0, delay_max_s=600.0), n=FAILING) as running:
        (ended,) = running.wait(PATIENCE_S)
        assert ended.respawn_in_s == 600.0
        assert running.stop() == []
        assert running.wait() == []  # or it would wait forever


def test_a_new_start_that_fails_counts_like_an_end(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", "raise SystemExit(5)"]]
    running = Processes(
        [spec("a", respawn=True)],
        tmp_path,
        command=lambda s: commands.pop() if commands else [str(tmp_path / "missing")],
        respawn=RespawnRule(delay_s=0.0, budget=2),
    )
    with running:
        ends = ends_until_given_up(running)
    assert [e.code for e in ends] == [5, 127, 127]
    assert "could not be started" in ends[-1].reason and ends[-1].critical


def test_only_the_main_thread_may_start_again(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def poll() -> None:
        try:
            running.wait(PATIENCE_S)
            running.poll()
        except RuntimeError as error:
            errors.append(error)

    with respawning(tmp_path, RespawnRule(delay_s=0.0), n=FAILING) as running:
        thread = threading.Thread(target=poll)
        thread.start()
        thread.join()
        assert running.pids == {}
    assert len(errors) == 1


PARENT = """
import sys, time
from pathlib import Path
from test_processes import system, OBEDIENT
with system(Path(sys.argv[1]), {"hand": OBEDIENT, "driver": OBEDIENT}) as running:
    print(*running.pids.values(), flush=True)
    while True:
        time.sleep(0.1)
"""


RESPAWNING_PARENT = """
import os, signal, sys, time
from pathlib import Path
from test_processes import PATIENCE_S, RespawnRule, respawning, OBEDIENT
programs = {"hand": OBEDIENT, "driver": OBEDIENT}
with respawning(Path(sys.argv[1]), RespawnRule(delay_s=0.0), **programs) as running:
    for pid in running.pids.values():
        os.kill(pid, signal.SIGKILL)
    while sum(running.respawns.values()) < 2 or len(running.pids) < 2:
        running.poll()
    print(*running.pids.values(), flush=True)
    while True:
        time.sleep(0.1)
"""


@pytest.mark.parametrize("program", [PARENT, RESPAWNING_PARENT], ids=["first", "second"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_survives_the_end_of_the_parent(
    tmp_path: Path, number: signal.Signals, program: str
) -> None:
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'test'}{os.pathsep}"
        + os.environ.get("PYTHONPATH", "")
    }
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 2
        for name in ("hand", "driver"):
            wait_for_line(tmp_path / f"{name}.log", "up")
        parent.send_signal(number)
        parent.wait(PATIENCE_S)
        wait_for(lambda: not any(alive(child) for child in children), "the end of the children")
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


def test_a_signal_whose_exception_got_lost_ends_it_at_the_next_look(tmp_path: Path) -> None:
    """In the callback of an import, Python drops the exception that the signal's handler raises."""
    with pytest.raises(SystemExit) as ended, system(tmp_path, {"a": OBEDIENT}) as processes:
        wait_for_line(processes.logs["a"], "up")
        pid = processes.pids["a"]
        with suppress(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        processes.poll()
    assert ended.value.code == 143
    assert not alive(pid)
