# SPDX-License-Identifier: Apache-2.0
"""Disks that are soon full."""

import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A folder with 256 kB of room."""
    yield from _mounted(tmp_path / "disk", "256k")


@pytest.fixture
def modest_disk(tmp_path):
    """A folder with 2 MB of room."""
    yield from _mounted(tmp_path / "disk", "2m")


def _mounted(place, size):
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root with the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
