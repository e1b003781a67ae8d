# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that no other test run on this machine uses."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path


def free_domain() -> int:
    """A ROS graph of its own for each test process: two runs on one machine never hear each other, nor a robot nearby.

    A lock, held until this process ends, keeps the domain for it. 1..100 is the part of the domain IDs that stays clear
    of Linux's ephemeral ports.
    """
    first = os.getpid() % 100
    for number in range(100):
        domain = 1 + (first + number) % 100
        name = Path(tempfile.gettempdir()) / f"dexndm_test_domain_{os.getuid()}_{domain}.lock"
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
        else:
            return domain
    raise RuntimeError("100 test runs on this machine at once: every ROS domain is taken")
