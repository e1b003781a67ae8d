# SPDX-License-Identifier: Apache-2.0
"""Locks: one holder at a time, named to the second, and gone with the holder's process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dexndm_ros.replay.lock import CampaignLock, FileLock, LockedError, hand_lock

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from dexndm_ros.replay.lock import CampaignLock
lock = CampaignLock(Path(sys.argv[1]), "campaign night-1")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_holds_it(tmp_path, holder):
    with pytest.raises(LockedError, match=rf"process {holder.pid} \(campaign night-1\)") as error:
        CampaignLock(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_the_holder_s_death_opens_it(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with CampaignLock(tmp_path):
        pass


def test_a_lock_is_released_and_taken_again(tmp_path):
    first = CampaignLock(tmp_path)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        CampaignLock(tmp_path)
    first.release()
    first.release()
    with CampaignLock(tmp_path):
        pass


def test_children_do_not_inherit_it(tmp_path):
    with CampaignLock(tmp_path):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        with CampaignLock(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_two_names_of_one_port_are_one_hand(tmp_path):
    port = tmp_path / "ttyUSB0"
    port.touch()
    link = tmp_path / "by-id"
    link.symlink_to(port)
    with hand_lock(str(port), "campaign night-1"):
        with pytest.raises(LockedError, match="night-1"):
            hand_lock(str(link))
        with hand_lock(str(tmp_path / "ttyUSB1")):
            pass


def test_hands_of_two_domains_are_two_hands(tmp_path):
    with hand_lock(f"{tmp_path.name} domain 1"), hand_lock(f"{tmp_path.name} domain 2"):
        pass


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "none" / "x.lock", "x")
