# SPDX-License-Identifier: Apache-2.0
"""What the middleware is told before it starts: stay on this machine, and share no memory.

The shared memory of Fast DDS (2.14, Jazzy's) does not outlive a kill -9: a process that dies inside a shared queue can
leave others deaf or spinning, also after it was started again (Fast-DDS issues 2398, 5053, 5469). Processes that are
killed and come back are our everyday, and our messages are below 2 kB, so UDP it is. rmw_fastrtps adds shared memory by
itself where ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is LOCALHOST, so ours comes from a profile (config/fastdds.xml) instead.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import MutableMapping

from dexndm_ros.paths import share_dir

__all__ = ["PROFILES", "avoid_shared_memory", "settle"]

PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Where Fast DDS 2 looks for a file of profiles (its manual, "Environment variables")."""

_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
_THEIR_OWN = (_RANGE, "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS", PROFILES)
_FAST_DDS = ("", "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")


def avoid_shared_memory(environment: MutableMapping[str, str]) -> None:
    """Let Fast DDS's own transports be UDP alone, unless the environment says otherwise."""
    environment.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")


def settle(environment: MutableMapping[str, str]) -> None:
    """Talk to this machine only, by UDP. What the environment says of range, peers or profiles stands."""
    avoid_shared_memory(environment)
    chosen = any(environment.get(name) for name in _THEIR_OWN)
    if not chosen and environment.get("RMW_IMPLEMENTATION", "") in _FAST_DDS:
        environment[_RANGE] = "SYSTEM_DEFAULT"
        environment[PROFILES] = str(share_dir() / "config" / "fastdds.xml")
    elif not environment.get(_RANGE):
        environment[_RANGE] = "LOCALHOST"


if __name__ == "__main__":  # for scripts/env.sh: what a shell is to export
    settled = dict(os.environ)
    settle(settled)
    for name in sorted(settled.keys() - os.environ.keys()):
        print(f"export {name}={shlex.quote(settled[name])}")
