# SPDX-License-Identifier: Apache-2.0
"""This machine only, and nothing shared that a killed node could leave broken."""

import signal
from pathlib import Path

import pytest

from dexndm_ros.middleware import PROFILES, settle

RANGE, TRANSPORTS = "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS"


def settled(**environment):
    settle(environment)
    return environment


def test_by_default_a_profile_keeps_fast_dds_on_the_loopback_interface():
    environment = settled()
    assert environment[RANGE] == "SYSTEM_DEFAULT"
    assert "<address>127.0.0.1</address>" in Path(environment[PROFILES]).read_text()
    assert settled(**environment) == environment


@pytest.mark.parametrize(
    "own",
    [{RANGE: "SUBNET"}, {"ROS_STATIC_PEERS": "10.0.0.7"}, {PROFILES: "/mine.xml"}],
)
def test_a_choice_of_the_users_stands(own):
    environment = settled(**own)
    assert environment.items() >= own.items()
    assert environment[RANGE] == own.get(RANGE, "LOCALHOST")
    assert settled(**{TRANSPORTS: "DEFAULT"})[TRANSPORTS] == "DEFAULT"


def test_another_middleware_is_kept_on_this_machine_by_its_own_means():
    environment = settled(RMW_IMPLEMENTATION="rmw_cyclonedds_cpp")
    assert environment[RANGE] == "LOCALHOST"
    assert PROFILES not in environment


@pytest.mark.ros
def test_a_node_shares_no_memory_listens_on_loopback_and_is_there_again_after_a_kill(tmp_path):
    from dexndm_msgs.srv import RecordEpisode

    from support.ros import Graph, NodeProcess, node_spec

    spec = node_spec("episode_recorder", directory=str(tmp_path / "bags"), min_free_gb=0.0)
    request = RecordEpisode.Request(action=RecordEpisode.Request.DISCARD, episode="none")
    with Graph() as graph:
        for number in range(2):
            with NodeProcess(spec, tmp_path / str(number)) as process:
                assert not graph.call(RecordEpisode, "recorder/record", request).success
                assert "/dev/shm/fastrtps" not in Path(f"/proc/{process.pid}/maps").read_text()
                assert udp_addresses(process.pid) == {"127.0.0.1"}
                process.signal(signal.SIGKILL)
                process.wait()


def udp_addresses(pid):
    """Local addresses of a process's UDP sockets."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {str(link)[8:-1] for link in links if str(link).startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    words = [row[1].split(":")[0] for row in rows if row[9] in inodes]
    return {".".join(str(byte) for byte in reversed(bytes.fromhex(word))) for word in words}
