# SPDX-License-Identifier: Apache-2.0
"""The replay in a real graph: virtual hand, driver and recorder are processes of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandCommand, HandState, ReplayStatus, ReplayStep
from geometry_msgs.msg import Quaternion, QuaternionStamped
from std_srvs.srv import Trigger

from dexndm_ros.bringup import system
from dexndm_ros.nodes._qos import control_publisher
from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.processes import Processes
from dexndm_ros.replay.ledger import Ledger
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import NoiseConfig, executed, noise
from dexndm_ros.replay.verify import verify
from dexndm_ros.respawn import RespawnRule
from support.ros import Graph, NodeProcess, node_spec

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SPEED = 2
CAMPAIGN = {
    "name": "small",
    "orientation": "palm_down",
    "library": "waves:sine:5",
    "count": 2,
    "hand_load": "free",
    "disk": {"pause_gb": 0.001, "resume_gb": 0.002},
    "recovery": {"in_a_row": 1000, "budget": 100000},  # a busy machine is no reason to give up
}


class Box:
    """The processes of a campaign, started again when they die, and what they say."""

    def __init__(self, graph: Graph, folder: Path, **changes: object) -> None:
        self.graph, self.folder = graph, folder
        self.out = folder / "out"
        file = folder / "small.yaml"
        file.write_text(yaml.safe_dump(CAMPAIGN | changes))
        arguments = {
            "campaign": str(file), "out": str(self.out), "speed": str(SPEED), "dashboard": "false",
            "port": str(folder / "hand"), "sim": "true",
        }  # fmt: skip
        self.specs = {spec.name: spec for spec in system("chaos_box", arguments)}
        self.stack = contextlib.ExitStack()
        self.steps = graph.listen(ReplayStep, "replay/step", 1000)
        self.status = graph.listen(ReplayStatus, "replay/status", 10)
        self.states = graph.listen(HandState, "hand/state", 1000)

    def start(self, *names: str) -> None:
        specs = [self.specs[name] for name in names] or list(self.specs.values())
        rule = RespawnRule(delay_s=0.1)
        self.processes = Processes(specs, self.folder / "logs", respawn=rule)
        self.stack.enter_context(self.processes)

    def kill(self, name: str) -> None:
        self.processes.kill(name)
        self.until(lambda: self.processes.respawns[name], f"another {name}")

    def until(self, condition: Callable[[], object], what: str) -> None:
        def look() -> object:
            ended = [end.reason for end in self.processes.poll() if end.critical]
            assert not ended, ended
            return condition()

        # A busy machine may need longer for a campaign than for a message.
        for _ in range(3):
            with contextlib.suppress(AssertionError):
                return self.graph.until(look, what)
        return self.graph.until(look, f"{what}; {self.status.messages[-1:]}")

    def until_state(self, state: int, reason: str = "") -> ReplayStatus:
        self.until(
            lambda: (
                len(self.status) > 0
                and self.status.last.state == state
                and reason in self.status.last.reason
            ),
            f"state {state} {reason!r}",
        )
        return self.status.last

    def more_steps(self, count: int) -> None:
        wanted = len(self.steps) + count
        self.until(lambda: len(self.steps) >= wanted, f"{count} more steps")

    def call(self, name: str) -> Trigger.Response:
        return self.graph.call(Trigger, f"replay/{name}")


@contextlib.contextmanager
def box(folder: Path, **changes: object) -> Iterator[Box]:
    with Graph() as graph:
        whole = Box(graph, folder, **changes)
        with whole.stack:
            yield whole


def test_a_campaign_pauses_resumes_and_ends_with_every_target_proved(tmp_path: Path) -> None:
    with box(tmp_path) as whole:
        whole.start()
        whole.more_steps(100)
        assert whole.call("pause").success
        whole.until_state(ReplayStatus.STATE_PAUSED, "replay/resume")
        states = whole.states
        whole.until(lambda: states.last.mode == HandState.MODE_RELAXED, "torque off while paused")
        assert not whole.call("pause").success
        assert whole.call("resume").success
        done = whole.until_state(ReplayStatus.STATE_DONE)
        assert (done.done, done.rejected, done.total) == (2, 0, 2)
        assert 0.0 < done.duty_cycle < 1.0
        whole.until(lambda: states.last.mode == HandState.MODE_RELAXED, "torque off at the end")
    report = verify(whole.out)
    assert report.agrees, report.problems
    assert report.bags == 2 and report.interrupted >= 1


def test_a_replay_and_a_recorder_that_are_killed_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with box(tmp_path) as whole:
        whole.start()
        whole.more_steps(100)
        for name in ("chaos_box_replay", "episode_recorder", "leap_hand_driver"):
            whole.kill(name)
            whole.more_steps(100)
        whole.until_state(ReplayStatus.STATE_DONE)
    report = verify(whole.out)
    assert report.agrees, report.problems
    assert report.bags == 2 and report.interrupted >= 3
    with Ledger.read_only(whole.out / "campaign.sqlite") as ledger:
        assert all(a.reason for a in ledger.attempts() if a.state == "interrupted")


def test_nothing_moves_without_a_recorder(tmp_path: Path) -> None:
    with box(tmp_path) as whole:
        whole.start("virtual_leap_hand", "leap_hand_driver", "chaos_box_replay")
        whole.until_state(ReplayStatus.STATE_IDLE, "episode_recorder")
        whole.until(lambda: len(whole.states) > 50, "states")
        assert all(m.mode == HandState.MODE_RELAXED for m in whole.states.messages)
        assert len(whole.steps) == 0


def test_another_commander_or_another_wrist_stops_it(tmp_path: Path) -> None:
    with box(tmp_path) as whole:
        whole.start()
        whole.more_steps(20)
        wrist, q = QuaternionStamped(), parse_wrist("palm_up").tolist()
        wrist.quaternion = Quaternion(x=q[0], y=q[1], z=q[2], w=q[3])
        publisher = whole.graph.publisher(QuaternionStamped, "wrist/orientation", 1)

        def refused() -> bool:
            publisher.publish(wrist)
            return "degrees" in whole.status.last.reason

        whole.until(refused, "a refusal")
        assert whole.status.last.state == ReplayStatus.STATE_FAULT
        whole.graph.publisher(HandCommand, "hand/command", control_publisher(20.0))
        whole.until_state(ReplayStatus.STATE_FAULT, "test_node commands this hand too")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"count": 0}, "count"),
        ({"library": "nowhere.parquet"}, "nowhere.parquet"),
        ({"noise": {"probability": 2}}, "probability"),
        ({"ordre": 1}, "ordre"),
    ],
)
def test_an_impossible_campaign_is_refused_before_anything_moves(
    tmp_path: Path, changes: dict, text: str
) -> None:
    with Graph() as graph:
        file = tmp_path / "bad.yaml"
        file.write_text(yaml.safe_dump(CAMPAIGN | changes))
        spec = node_spec("chaos_box_replay", campaign=str(file), directory=str(tmp_path / "out"))
        commands = graph.listen(HandCommand, "hand/command")
        with NodeProcess(spec, tmp_path) as process:
            assert process.wait() == 2
            assert text in process.log
            assert "Traceback" not in process.log
        assert len(commands) == 0
    assert not (tmp_path / "out").exists()


def test_two_campaigns_in_one_folder_are_refused(tmp_path: Path) -> None:
    with box(tmp_path) as whole:
        whole.start("chaos_box_replay")
        whole.until_state(ReplayStatus.STATE_IDLE)
        with NodeProcess(whole.specs["chaos_box_replay"], tmp_path / "second") as second:
            assert second.wait() != 0
            assert "in use by process" in second.log


def test_targets_recorded_are_those_of_library_and_seed(tmp_path: Path) -> None:
    """What a step says is what anybody can compute again."""
    with box(tmp_path, count=1) as whole:
        whole.start()
        whole.more_steps(50)
        source = open_source("waves:sine:5", seed=0)
        for message in whole.steps.messages:
            clean = source.trajectory(message.trajectory).targets_rad
            added = noise(NoiseConfig(), message.seed)
            target = executed(clean, added)[message.step]
            assert np.array_equal(message.target, target)
            assert np.array_equal(message.clean_target, clean[message.step])
            assert np.array_equal(message.noise, added[message.step])
