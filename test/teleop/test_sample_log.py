# SPDX-License-Identifier: Apache-2.0
"""Disks that refuse and disks that stand still, as a loop meets them."""

import resource
import threading

import pytest

from dexndm_ros.teleop.recording import SampleWriter, read_samples
from dexndm_ros.teleop.sample_log import SampleLog, free_path
from support.operator import Operator


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.jsonl"


class SlowDisk(SampleWriter):
    """Stands still until it is let go; tells when it was reached."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.reached, self.go = threading.Event(), threading.Event()

    def write(self, sample) -> None:
        self.reached.set()
        self.go.wait()
        super().write(sample)


def test_all_that_was_given_is_in_the_file(path) -> None:
    operator, log = Operator(), SampleLog(SampleWriter(path))
    told = [operator.frame() for _ in range(300)]
    for sample in told:
        log.put(sample)
    log.close()
    log.close()
    assert log.words == ""
    assert list(read_samples(path)) == told


def test_a_disk_that_stands_still_holds_nobody_up_and_costs_samples(path) -> None:
    operator, disk = Operator(), SlowDisk(path)
    log = SampleLog(disk, most=10)
    told = [operator.frame() for _ in range(30)]
    log.put(told[0])
    assert disk.reached.wait(60.0)
    for sample in told[1:]:
        log.put(sample)
    assert log.words == "the disk is too slow: 19 samples are missing in the recording"
    disk.go.set()
    log.close()
    assert list(read_samples(path)) == told[:11]


def test_a_disk_that_never_answers_does_not_keep_the_program_from_ending(path) -> None:
    disk = SlowDisk(path)
    log = SampleLog(disk, most=1)
    for _ in range(3):
        log.put(Operator().frame())
    log.close()
    disk.go.set()


def test_a_disk_that_is_full_ends_the_file_in_words(path) -> None:
    """A limit of the system's on the size of files stands for the disk: the same error at the same place."""
    operator, log = Operator(), SampleLog(SampleWriter(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        for _ in range(300):
            log.put(operator.frame())
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    written = len(list(read_samples(path)))
    assert 0 < written < 300
    assert log.words == f"the recording ended after {written} samples: File too large"
    log.put(operator.frame())
    log.close()


def test_a_name_that_is_taken_is_counted_on(path) -> None:
    assert free_path(path) == path
    for name in ("session.jsonl", "session-2.jsonl"):
        path.with_name(name).touch()
    assert free_path(path) == path.with_name("session-3.jsonl")
