# SPDX-License-Identifier: Apache-2.0
"""What every test process needs before the first test is collected."""

import os
import signal
from pathlib import Path

import pytest

from dexndm_ros.middleware import PROFILES, settle
from support.domain import free_domain

os.environ["ROS_DOMAIN_ID"] = str(free_domain())
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path.cwd() / ".hypothesis"))

# A run in the background (`make test &`, nohup, some CI runners) inherits an ignored SIGINT, and every program that the
# tests start would inherit it in turn and not be interrupted.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: examples are counted, never timed. The same examples in every run, so that
# what fails is what was changed; --hypothesis-profile explore looks for new ones.
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("house", settings.get_profile("explore"), derandomize=True)
settings.load_profile("house")

for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", PROFILES):
    os.environ.pop(name, None)  # a test's graph is this machine's, whatever the shell has
settle(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes on a shared machine: once more before such a test has failed. The summary tells of reruns."""
    for item in items:
        if item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.flaky(reruns=1))
