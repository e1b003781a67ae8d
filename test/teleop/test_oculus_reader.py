# SPDX-License-Identifier: Apache-2.0
"""A real adb process, that of ``support.oculus_app``."""

import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.errors import SourceError
from dexndm_ros.teleop.oculus_reader import AdbConfig, OculusReader
from dexndm_ros.teleop.pose import Pose
from support.oculus_app import app_line, make_adb

HERE = Pose(np.array([0.1, -0.2, -0.3]), Rotation.identity())


def line(number: int) -> str:
    return app_line(HERE, HERE, squeeze=number / 100, stamp=f"11-21 02:45:{number:02d}.000")


def wait(true: Callable[[], bool], at_most_s: float = 30.0) -> None:
    end_s = time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.005)


@pytest.fixture
def reader(tmp_path):
    readers = []

    def make(lines, then="sleep", **other):
        adb = make_adb(tmp_path, lines, then)
        readers.append(OculusReader(AdbConfig(adb=str(adb), restart_s=0.01, **other)))
        readers[-1].start()
        return readers[-1]

    yield make
    for made in readers:
        made.stop()


def calls(folder) -> list[list[str]]:
    return [call.split() for call in (folder / "calls").read_text().splitlines()]


def test_lines_become_samples_and_the_newest_is_given(reader, tmp_path) -> None:
    before_s = time.monotonic()
    source = reader([line(k) for k in range(10)], serial="2G0YC1ZF8")
    wait(lambda: source.counts()["accepted"] == 10)
    sample = source.latest()
    assert (sample.seq, sample.right.squeeze, sample.left.squeeze) == (9, 0.09, 0.0)
    assert before_s <= sample.arrived_s <= time.monotonic()
    assert source.latest() is sample
    commands = [call[1:] for call in calls(tmp_path)]
    assert commands[0] == ["version"]
    assert commands[1][:5] == ["-s", "2G0YC1ZF8", "shell", "am", "start"]
    assert commands[2][2:] == ["logcat", "-v", "threadtime", "-T", "1", "-s", "wE9ryARX:I"]


def test_garbage_between_them_is_counted_and_does_no_harm(reader) -> None:
    source = reader(
        [
            "--------- beginning of main\n",
            line(1),
            "\udcff\udcfe\x00 wE9ryARX\n",
            "11-21 02:45:18.123  4321  4345 I wE9ryARX: r:1 2\n",
            "x" * 100_000 + "\n",
            line(2),
            "11-21 02:45:18.123  4321  4345 I wE9ryARX: r:1 0 0",  # cut off in the middle
        ],
        start_app=False,
    )
    wait(lambda: source.counts()["accepted"] == 2)
    assert source.latest().right.squeeze == 0.02
    wait(lambda: source.counts().get("malformed") == 2)
    assert source.counts()["cut"] == 1
    assert "beginning of main" in source.words


def test_an_adb_that_ends_is_started_again(reader, tmp_path) -> None:
    source = reader([line(3)], then="exit", start_app=False)
    wait(lambda: source.counts()["adb started"] >= 3)
    wait(lambda: source.counts()["accepted"] >= 2)
    assert source.latest().seq >= 1


def test_stopping_ends_adb_and_may_be_done_twice(reader, tmp_path) -> None:
    source = reader([line(1)], start_app=False)
    wait(lambda: source.counts()["accepted"] == 1)
    source.stop()
    source.stop()
    for pid, *_ in calls(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_it_says_what_adb_says(reader) -> None:
    source = reader(["error: device unauthorized.\n"], start_app=False)
    wait(lambda: source.words == "error: device unauthorized.")
    assert source.latest() is None


def test_without_adb_it_says_what_to_install(tmp_path) -> None:
    source = OculusReader(AdbConfig(adb=str(tmp_path / "no-adb")))
    with pytest.raises(SourceError, match="install it"):
        source.start()
    source.stop()


def test_a_pulse_is_nothing(reader) -> None:
    reader([]).pulse("right", 1.0, 100.0)
