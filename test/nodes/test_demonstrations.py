# SPDX-License-Identifier: Apache-2.0
"""A demonstration from the operator's button to a row of a dataset, through the real nodes of the system teleop."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import ControllerState, EpisodeRecorded, PolicyStep, RecorderStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.bags.open import open_bag
from dexndm_ros.bringup import BringupError, system
from dexndm_ros.datasets.config import ConvertConfig, Limits
from dexndm_ros.datasets.convert import ConvertOptions
from dexndm_ros.datasets.convert import convert as make
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.demonstration_features import DEMONSTRATION_FEATURES
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.nodes._recorder_topics import parse_topics
from dexndm_ros.nodes.episode_recorder import FINISHED_QOS
from dexndm_ros.paths import share_dir
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import ServoRig
from dexndm_ros.teleop.bulb import READY_RAD
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.recording import SampleWriter
from support.converting import convert
from support.lerobot import PYTHON, read_with_lerobot
from support.operator import Operator, controller
from support.ros import Graph, Inbox, NodeProcess, node_spec
from support.tiny_policy import write_tiny_policy

pytestmark = pytest.mark.ros

FAST = {"open_s": 0.1, "place_s": 0.05, "close_s": 0.2, "settle_s": 0.2}
MOVED_M = 0.05
_PRESS_S = 0.5
"""Long enough to be seen by a process that a busy machine keeps from running."""
PATIENT = Limits(
    max_age_s=5.0, state_gap_s=5.0, max_invalid_share=1.0, min_steps=10, max_passed_over=1000
)
CONFIG = ConvertConfig(demonstrations=True, limits=PATIENT)
"""On a busy machine states are late, and nothing here is about how late."""


class Session:
    """An operator's samples in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._operator, self._writer = Operator(left=controller()), SampleWriter(path)

    def frames(self, seconds: float, right=(), left=(), grip=0.0, step_m: float = 0.0) -> None:
        """Hold these buttons and go on forward, for so long."""
        operator = self._operator
        operator.right = replace(operator.right, buttons=frozenset(right), squeeze=grip)
        operator.left = replace(operator.left, buttons=frozenset(left))
        for _ in range(round(seconds * 90)):
            operator.move((step_m, 0.0, 0.0))
            self._writer.write(operator.frame())
            self.count += 1

    def close(self) -> None:
        """It is whole."""
        self._writer.close()


def a_kept_and_a_discarded_one(path: Path) -> Session:
    """One demonstration that is kept: 5 cm forward while X turns the object; and one that is discarded."""
    session = Session(path)
    session.frames(0.5)
    session.frames(_PRESS_S, right="A")
    session.frames(0.4)
    session.frames(0.4, left="X", grip=1.0)
    session.frames(1.5, left="X", grip=1.0, step_m=MOVED_M / 135)
    session.frames(0.7, left="X", grip=1.0)
    session.frames(0.8)
    session.frames(_PRESS_S, right="A")
    session.frames(1.0)
    session.frames(_PRESS_S, right="A")
    session.frames(0.6)
    session.frames(_PRESS_S + 0.6, right="B")
    session.frames(1.0)
    session.close()
    return session


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


def test_without_a_recorder_the_operator_is_told_and_all_else_goes_on(tmp_path) -> None:
    session = Session(tmp_path / "session.jsonl")
    for _ in range(60):
        session.frames(_PRESS_S)
        session.frames(_PRESS_S, right="A")
    session.close()
    quest = node_spec("quest_bridge", source="recording", recording=str(session.path))
    with Graph() as graph:
        hands = graph.listen(ControllerState, "teleop/controllers")
        words = graph.listen(DiagnosticArray, "/diagnostics")
        with NodeProcess(quest, tmp_path) as node:
            graph.until(
                lambda: any(
                    "no recorder is running" in text for text in told_of_demonstrations(words)
                ),
                "the words",
            )
            count = len(hands)
            graph.until(lambda: len(hands) > count, "the operator to go on")
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


def whole(bag: str) -> bool:
    """Whether all of the session is in it: on a machine that is too busy the policy or the arm may miss a part."""
    found = convert_bag(Path(bag), CONFIG).episodes
    if len(found) != 1 or found[0].verdict == "drop":
        return False
    columns = found[0].columns
    engaged, turns = columns["observation.engaged"] == 1, columns["observation.axis"][:, 2] == 1
    x_m = columns["action.arm.pose"][:, 0]
    return bool(engaged.any() and turns.any() and np.nanmax(x_m) - np.nanmin(x_m) > 0.8 * MOVED_M)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """A folder of demonstrations, recorded by the system that a user starts."""
    folder = tmp_path_factory.mktemp("session")
    session = a_kept_and_a_discarded_one(folder / "session.jsonl")
    policy = write_tiny_policy(folder / "policy.onnx", bias=np.full(16, 0.2))
    specs = system(
        "teleop",
        {
            "source": "recording", "recording": session.path, "wait": True, "task": "turn the bulb",
            "demonstrations": folder / "bags", "policy": policy, "sim": True, "port": folder / "port", "rate": 50,
        },
    )  # fmt: skip
    with Graph() as graph, contextlib.ExitStack() as stack:
        steps = graph.listen(PolicyStep, "policy/step")
        poses = graph.listen(PoseStamped, "arm/measured_pose")
        hands = graph.listen(ControllerState, "teleop/controllers")
        finished = graph.listen(EpisodeRecorded, "recorder/finished", FINISHED_QOS)
        recorder = graph.listen(RecorderStatus, "recorder/status")
        stack.enter_context(ServoRig(JointPlant(), folder / "port"))
        arm, nodes = Arm(graph), {}
        for spec in specs:
            if spec.name == "virtual_arm":  # its physics would have this machine's cores to itself
                continue
            quick = FAST if spec.name == "rotation_policy" else {}
            room = {"min_free_gb": 0.0} if spec.name == "episode_recorder" else {}
            spec = replace(spec, parameters={**spec.parameters, **quick, **room})
            nodes[spec.name] = stack.enter_context(NodeProcess(spec, folder / "logs"))
        graph.until(lambda: len(steps), "the policy")
        graph.until(lambda: len(poses), "the arm")
        graph.until(lambda: len(recorder) and recorder.last.ready, "the recorder")
        for _ in range(5):  # a machine that is too busy is late for a step of it
            ended = play(graph, session.count, hands, finished)
            if [message.complete for message in ended] == [True, False] and whole(ended[0].path):
                break
        assert [message.complete for message in ended] == [True, False], ended
        assert whole(ended[0].path), ended
        assert arm.told
        assert "discarded by the operator" in finished.messages[-1].reason
        kept = finished.messages[-2].episode
        custom = open_bag(Path(finished.messages[-2].path)).custom_data
        assert (custom["kind"], custom["task"]) == ("demonstration", "turn the bulb")
        graph.until(
            lambda: f"demonstrations: kept {kept}" in nodes["quest_bridge"].log, "the words"
        )
        assert f"demonstrations: recording {kept}" in nodes["quest_bridge"].log
    return folder / "bags", kept


@pytest.fixture(scope="module")
def dataset(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "bulb"
    options = ConvertOptions(
        words=(str(bags[0] / bags[1]),), dataset=out, config=CONFIG, jobs=1, report=False
    )
    assert make(options, Progress(io.StringIO()), print) in (0, 1)
    return out


def rows(dataset) -> dict[str, np.ndarray]:
    table = pyarrow.dataset.dataset(dataset / "data").to_table()
    return {name: np.array(table.column(name).to_pylist()) for name in table.column_names}


def test_the_rows_tell_what_operator_arm_and_hand_did(dataset) -> None:
    found = rows(dataset)
    grip, x = (
        found["observation.controllers.analog"][:, 3],
        found["observation.controllers.buttons"][:, 2],
    )
    engaged, up = found["observation.engaged"] == 1, found["action.axis"][:, 2] == 1
    assert set(np.unique(grip)) == {0.0, 1.0} and set(np.unique(x)) == {0.0, 1.0}
    assert (grip[engaged] == 1.0).mean() > 0.7 and (
        x[up] == 1.0
    ).mean() > 0.7  # told a little later
    assert not found["action.axis"][
        :, :2
    ].any()  # known in every row: the last choice stands in the bag
    assert np.isfinite(found["observation.engaged"]).all()
    forward = found["action.arm.pose"]
    assert 0.8 * MOVED_M < np.ptp(forward[:, 0]) < 2 * MOVED_M
    assert np.ptp(forward[:, 1:3], axis=0).max() < 0.02
    assert np.nanmax(found["action.arm.target"][:, 0]) > forward[0, 0]
    np.testing.assert_allclose(found["observation.arm.pose"][-1], forward[-1], atol=0.01)
    for name in found:
        if name.endswith("age_s"):
            known = found[name][np.isfinite(found[name])]
            assert len(known) and (known >= 0).all(), name


def test_the_arm_s_joints_and_its_pose_are_of_one_arm(dataset) -> None:
    """In the last row it is at rest."""
    found, chain = rows(dataset), ArmChain(load_profile("virtual").tool.pose())
    pose = chain.pose(found["observation.arm.joints"][-1])
    np.testing.assert_allclose(pose.position_m, found["observation.arm.pose"][-1, :3], atol=1e-4)


def test_the_hand_s_columns_are_matched_by_number_as_ever(dataset) -> None:
    found = rows(dataset)
    valid = found["valid"]
    assert valid.any() and (found["observation.seq"][valid] >= 0).all()
    assert (np.diff(found["action.seq"]) >= 1).all()
    assert np.isfinite(found["observation.state"][valid]).all()


def test_what_was_discarded_is_put_aside_and_not_taken(bags, tmp_path) -> None:
    status, said = convert(bags[0], "--demonstrations", "--out", tmp_path / "all", "--dry-run")
    kept = [path for path in bags[0].iterdir() if path.is_dir() and path.suffix != ".partial"]
    assert status == 0 and f"{len(kept)} bags" in said, said
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
