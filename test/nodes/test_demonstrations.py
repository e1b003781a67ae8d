# SPDX-License-Identifier: Apache-2.0
"""A demonstration from the operator's button to a row of a dataset, through the real nodes of the system teleop."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from builtin_interfaces.msg import Time
from dexndm_msgs.msg import ControllerState, EpisodeRecorded, PolicyStep, RecorderStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.bags.open import open_bag
from dexndm_ros.bringup import BringupError, system
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.demonstration_features import DEMONSTRATION_FEATURES
from dexndm_ros.nodes._quest_output import pose_stamped
from dexndm_ros.nodes._recorder_topics import parse_topics
from dexndm_ros.nodes.episode_recorder import FINISHED_QOS
from dexndm_ros.paths import share_dir
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import ServoRig
from dexndm_ros.teleop.bulb import READY_RAD
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES, BASE_FRAME
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.recording import SampleWriter
from support.converting import convert, provenance
from support.lerobot import PYTHON, read_with_lerobot
from support.operator import Operator, controller
from support.ros import Graph, Inbox, NodeProcess, node_spec
from support.tiny_policy import write_tiny_policy

pytestmark = pytest.mark.ros

FAST = {"open_s": 0.1, "place_s": 0.05, "close_s": 0.2, "settle_s": 0.2}
MOVED_M = 0.05
ARM = pose_stamped(Pose.of([0.5, 0.0, 0.4], [1.0, 0.0, 0.0, 0.0]), BASE_FRAME, Time())


def write_session(path) -> int:
    """One demonstration that is kept: 5 cm forward while X turns the object; and one that is discarded.

    Returns:
        How many samples it has.
    """
    operator, writer = Operator(left=controller()), SampleWriter(path)
    count = 0

    def frames(seconds: float, right=(), left=(), step_m: float = 0.0) -> None:
        nonlocal count
        operator.right = replace(operator.right, buttons=frozenset(right))
        operator.left = replace(operator.left, buttons=frozenset(left))
        for _ in range(round(seconds * 90)):
            operator.move((step_m, 0.0, 0.0))
            writer.write(operator.frame())
            count += 1

    frames(1.0)
    frames(0.1, right="A")
    frames(0.5)
    operator.squeeze(1.0)
    frames(0.5, left="X")
    frames(1.0, left="X", step_m=MOVED_M / 90)
    frames(1.0, left="X")
    operator.squeeze(0.0)
    frames(1.0)
    frames(0.1, right="A")
    frames(1.5)
    frames(0.1, right="A")
    frames(0.7)
    frames(0.8, right="B")
    frames(1.0)
    writer.close()
    return count


def told_of_demonstrations(diagnostics: Inbox) -> set[str]:
    """What quest_bridge said of them on /diagnostics."""
    return {
        value.value
        for message in list(diagnostics.messages)
        for status in message.status
        if status.name.startswith("quest_bridge")
        for value in status.values
        if value.key == "demonstration"
    }


def play(graph: Graph, samples: int, hands: Inbox, finished: Inbox) -> list[EpisodeRecorded]:
    """Play the session to its end; how its recordings ended."""
    while not graph.call(Trigger, "teleop/play").success:  # the arm may not be moved yet
        graph.until(lambda: True, "")
    begin, told = len(hands), len(finished)
    graph.until(lambda: any(hand.seq == samples for hand in hands.messages[begin:]), "its end")
    return finished.messages[told:]


def test_the_buttons_reach_the_recorder_and_its_words_the_operator(tmp_path) -> None:
    """With an arm that only says where it is, and no hand."""
    samples = write_session(tmp_path / "session.jsonl")
    quest = node_spec(
        "quest_bridge", source="recording", recording=str(tmp_path / "session.jsonl"), wait=True, stale_s=1.0,
        **{"demonstration.task": "turn the bulb"},
    )  # fmt: skip
    recorder = node_spec(
        "episode_recorder", directory=str(tmp_path / "bags"), min_free_gb=0.0,
        topics=["teleop/controllers dexndm_msgs/msg/ControllerState required"],
    )  # fmt: skip
    with Graph() as graph, NodeProcess(quest, tmp_path), NodeProcess(recorder, tmp_path):
        hands = graph.listen(ControllerState, "teleop/controllers")
        finished = graph.listen(EpisodeRecorded, "recorder/finished", FINISHED_QOS)
        words = graph.listen(DiagnosticArray, "/diagnostics")
        status = graph.listen(RecorderStatus, "recorder/status")
        here = graph.publisher(PoseStamped, "arm/measured_pose")
        graph.node.create_timer(0.02, lambda: here.publish(ARM))
        graph.until(lambda: len(status) and status.last.ready, "the recorder")
        for _ in range(3):
            ended = play(graph, samples, hands, finished)
            if [message.complete for message in ended] == [True, False]:
                break
        assert [message.complete for message in ended] == [True, False]
        assert ended[0].messages > 20 and "discarded by the operator" in ended[1].reason
        kept = ended[0].episode
        graph.until(lambda: f"kept {kept}" in told_of_demonstrations(words), "the words")
        custom = open_bag(Path(ended[0].path)).custom_data
        assert (custom["kind"], custom["task"]) == ("demonstration", "turn the bulb")


def test_without_a_recorder_the_operator_is_told_and_all_else_goes_on(tmp_path) -> None:
    samples = write_session(tmp_path / "session.jsonl")
    quest = node_spec("quest_bridge", source="recording", recording=str(tmp_path / "session.jsonl"))
    with Graph() as graph:
        hands = graph.listen(ControllerState, "teleop/controllers")
        words = graph.listen(DiagnosticArray, "/diagnostics")
        with NodeProcess(quest, tmp_path) as node:
            graph.until(lambda: any(h.seq == samples for h in hands.messages), "its end")
            graph.until(
                lambda: any(
                    "no recorder is running" in text for text in told_of_demonstrations(words)
                ),
                "the words",
            )
            assert node.stop() == 0


class Arm:
    """Goes where it is told at once, and tells its joints a hundred times a second."""

    def __init__(self, graph: Graph) -> None:
        self.told = 0
        self._state = JointState(name=list(ARM_JOINT_NAMES), position=READY_RAD)
        self._graph = graph
        self._publisher = graph.publisher(JointState, "virtual_arm/joint_states", 1)
        graph.node.create_subscription(
            JointTrajectory, "virtual_arm/joint_trajectory", self._follow, 1
        )
        self._timer = graph.node.create_timer(0.01, self._tell)

    def _follow(self, message: JointTrajectory) -> None:
        self.told += 1
        self._state.position = message.points[-1].positions

    def _tell(self) -> None:
        self._state.header.stamp = self._graph.node.get_clock().now().to_msg()
        self._publisher.publish(self._state)


def usable(bag: str) -> bool:
    """Whether the converter takes it: nothing was starved while it was recorded."""
    (episode,) = convert_bag(Path(bag), ConvertConfig(demonstrations=True)).episodes or [None]
    return episode is not None and episode.verdict != "drop"


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """A folder of demonstrations, recorded by the system that a user starts."""
    folder = tmp_path_factory.mktemp("session")
    samples = write_session(folder / "session.jsonl")
    policy = write_tiny_policy(folder / "policy.onnx", bias=np.full(16, 0.2))
    specs = system(
        "teleop",
        {
            "source": "recording", "recording": folder / "session.jsonl", "wait": True, "task": "turn the bulb",
            "demonstrations": folder / "bags", "policy": policy, "sim": True, "port": folder / "port", "rate": 50,
        },
    )  # fmt: skip
    with Graph() as graph, contextlib.ExitStack() as stack:
        steps = graph.listen(PolicyStep, "policy/step")
        poses = graph.listen(PoseStamped, "arm/measured_pose")
        hands = graph.listen(ControllerState, "teleop/controllers")
        finished = graph.listen(EpisodeRecorded, "recorder/finished", FINISHED_QOS)
        recorder = graph.listen(RecorderStatus, "recorder/status")
        words = graph.listen(DiagnosticArray, "/diagnostics")
        stack.enter_context(ServoRig(JointPlant(), folder / "port"))
        arm = Arm(graph)
        for spec in specs:
            if spec.name == "virtual_arm":  # its physics would have this machine's cores to itself
                continue
            quick = FAST if spec.name == "rotation_policy" else {}
            room = {"min_free_gb": 0.0} if spec.name == "episode_recorder" else {}
            spec = replace(spec, parameters={**spec.parameters, **quick, **room})
            stack.enter_context(NodeProcess(spec, folder / "logs"))
        graph.until(lambda: len(steps), "the policy")
        graph.until(lambda: len(poses), "the arm")
        graph.until(lambda: len(hands) or len(words), "the operator's side")
        graph.until(lambda: len(recorder) and recorder.last.ready, "the recorder")
        for _ in range(5):  # a machine that is too busy is late for a step of it
            ended = play(graph, samples, hands, finished)
            if [message.complete for message in ended] == [True, False] and usable(ended[0].path):
                break
        assert [message.complete for message in ended] == [True, False], ended
        assert usable(ended[0].path), ended
        assert arm.told
        assert "discarded by the operator" in finished.messages[-1].reason
        said = told_of_demonstrations(words)
        kept = finished.messages[-2].episode
        assert f"recording {kept}" in said and f"kept {kept}" in said, said
    return folder / "bags", kept


@pytest.fixture(scope="module")
def dataset(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "bulb"
    status, said = convert(bags[0] / bags[1], "--demonstrations", "--out", out)
    assert status in (0, 1), said  # a busy machine is late now and then, and that is told
    assert provenance(out)["totals"]["episodes"] == 1, said
    return out


def rows(dataset) -> dict[str, np.ndarray]:
    table = pyarrow.dataset.dataset(dataset / "data").to_table()
    return {name: np.array(table.column(name).to_pylist()) for name in table.column_names}


def test_the_rows_tell_what_operator_arm_and_hand_did(dataset) -> None:
    found = rows(dataset)
    assert found["valid"].mean() > 0.9
    grip = found["observation.controllers.analog"][:, 3]
    engaged, x = found["observation.engaged"] == 1, found["observation.controllers.buttons"][:, 2]
    assert set(np.unique(grip)) == {0.0, 1.0} and engaged.any() and not engaged.all()
    assert (grip[engaged] == 1.0).mean() > 0.9
    up = found["action.axis"][:, 2] == 1.0
    assert up.any() and (x[up] == 1.0).mean() > 0.9
    turns = found["observation.axis"][:, 2] == 1.0
    assert turns.any() and up[turns].mean() > 0.8

    at = np.flatnonzero(engaged)
    hand_m = found["observation.controllers.right"][at, 0]
    for name in ("action.arm.pose", "observation.arm.pose"):
        moved_m = found[name][-1, 0] - found[name][at[0], 0]
        assert moved_m == pytest.approx(hand_m[-1] - hand_m[0], abs=0.01), name
    assert hand_m[-1] - hand_m[0] > 0.5 * MOVED_M
    assert np.isfinite(found["action.arm.target"][at[2:]]).all()
    for name in ("observation.arm.age_s", "action.arm.age_s", "observation.controllers.age_s"):
        known = found[name][found["valid"]]
        assert (known >= 0).all() and np.median(known) < 0.05, name


def test_the_arm_s_joints_and_its_pose_are_of_one_arm(dataset) -> None:
    found, chain = rows(dataset), ArmChain(load_profile("virtual").tool.pose())
    still = np.linalg.norm(np.gradient(found["observation.arm.pose"][:, :3], axis=0), axis=1) < 1e-4
    assert still.sum() > 5
    for row in np.flatnonzero(still):
        pose = chain.pose(found["observation.arm.joints"][row])
        np.testing.assert_allclose(
            pose.position_m, found["observation.arm.pose"][row, :3], atol=1e-3
        )


def test_the_hand_s_columns_are_matched_by_number_as_ever(dataset) -> None:
    found = rows(dataset)
    valid = found["valid"]
    assert (found["observation.seq"][valid] >= 0).all()
    assert (np.diff(found["action.seq"]) >= 1).all()
    assert np.isfinite(found["observation.state"][valid]).all()


def test_what_was_discarded_is_put_aside_and_not_taken(bags, tmp_path) -> None:
    status, said = convert(bags[0], "--demonstrations", "--out", tmp_path / "all", "--dry-run")
    assert status == 0 and "1 bags" in said
    assert "put aside" in said, said


@pytest.mark.skipif(
    not PYTHON.exists(), reason="the LeRobot reader is not set up: `make setup-lerobot` (280 MB)"
)
def test_lerobot_reads_it(dataset, tmp_path) -> None:
    program = read_with_lerobot(dataset, tmp_path / "cache", episode=0)
    assert program["task"] == "turn the bulb" and program["robot"] == "fr3_leap_hand"
    assert {each.name for each in DEMONSTRATION_FEATURES} < set(program["keys"])


def test_the_topics_of_the_file_are_those_that_the_converter_reads() -> None:
    import yaml

    text = (share_dir() / "config" / "demonstrations.yaml").read_text()
    lines = yaml.safe_load(text)["/**/episode_recorder"]["ros__parameters"]["topics"]
    specs = {spec.name: spec for spec in parse_topics(lines)}
    assert {name for name, spec in specs.items() if spec.required} == {
        "hand/state", "policy/step", "teleop/controllers",
    }  # fmt: skip
    for topic in ("teleop/status", "arm/target_pose", "arm/measured_pose", "arm/commanded_pose", "rotation/command",
                  "virtual_arm/joint_states", "franka/joint_states", "hand/command"):  # fmt: skip
        assert topic in specs


def test_a_demonstration_without_a_hand_is_refused() -> None:
    with pytest.raises(BringupError, match="arm and hand"):
        system("teleop", {"arm": "crisp", "hand": False, "demonstrations": "/tmp/x"})
