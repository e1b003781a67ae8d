# SPDX-License-Identifier: Apache-2.0
"""What every test process needs before the first test is collected."""

import os
import signal
from pathlib import Path

from support.domain import free_domain

os.environ["ROS_DOMAIN_ID"] = str(free_domain())
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
