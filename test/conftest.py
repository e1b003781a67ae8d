# SPDX-License-Identifier: Apache-2.0
"""What every test process needs before the first test is collected."""

import fcntl
import os
import signal
import tempfile
from pathlib import Path


def _free_domain() -> int:
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


os.environ["ROS_DOMAIN_ID"] = str(_free_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path.cwd() / ".hypothesis"))

# A run in the background (`make test &`, nohup, some CI runners) inherits an ignored SIGINT, and every program that the
# tests start would inherit it in turn and not be interrupted.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: examples are counted, never timed.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")
