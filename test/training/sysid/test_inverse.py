# SPDX-License-Identifier: Apache-2.0
"""The inverse compensation: its equation, its file, and a free hand that it makes move like the nominal one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import OnnxPolicy, load_policy
from dexndm_ros.policy.observation import ObservationHistory
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.policy.spec import Seat
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.hand_model import HandPhysics
from dexndm_ros.sim.worlds import ObjectConfig, ServoConfig, World
from dexndm_ros.training.sysid.cli import main as sysid
from dexndm_ros.training.sysid.inverse import InverseCompensation, Servos, write_inverse

STILL = np.array([0.0, 0.0, 0.0, 1.0])
AXIS = np.array([0.0, 0.0, 1.0])


def inputs(q: np.ndarray, sent: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What a residual sees (1, 343) after angles (T, 16) with targets in force (T, 16), and a base target (16,)."""
    history = ObservationHistory()
    history.reset(q[0], sent[0])
    for angles, before in zip(q, sent, strict=True):
        history.push(angles, before)
    return np.concatenate([history.observation(STILL, AXIS), target]).astype(np.float32)[None]


def corrections(net: InverseCompensation, *history: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(inputs(*history))).numpy()[0].astype(np.float64)


def torques_of(world: World, target, q, qd, direction) -> np.ndarray:
    """Torque of a world's servos and friction at a joint that moves in a direction, written on its own."""
    wide = lambda value: np.broadcast_to(np.asarray(value, dtype=float), 16)  # noqa: E731
    kp, kd = world.servo.gains().kp_nm_rad, world.servo.gains().kd_nms_rad
    friction = wide(world.hand.friction_loss_nm) + wide(world.gap.friction_loss_nm)
    in_force = target - wide(world.gap.backlash_rad) / 2 * direction
    in_force = in_force + wide(world.gap.target_offset_rad)
    damping = kd + wide(world.hand.joint_damping_nms_rad)
    return kp * (in_force - q) - damping * qd - friction * direction


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Hands without delay."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    spread = draw(st.floats(0.0, 1.0))
    scale = lambda: tuple(np.exp(rng.normal(0.0, spread, 16)))  # noqa: E731
    return World(
        servo=ServoConfig(kp_scale=scale(), kd_scale=scale(), p_gain=draw(st.floats(300, 1500))),
        hand=HandPhysics(
            friction_loss_nm=draw(st.floats(0, 0.05)),
            joint_damping_nms_rad=draw(st.floats(0, 0.05)),
        ),
        gap=GapConfig(
            target_offset_rad=tuple(rng.normal(0.0, 0.03, 16)),
            backlash_rad=draw(st.floats(0, 0.05)),
            friction_loss_nm=draw(st.floats(0, 0.05)),
        ),
    )


@given(worlds(), worlds(), st.integers(0, 2**32 - 1))
def test_the_identified_servo_gives_the_torque_of_the_nominal_one(
    identified: World, nominal: World, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    q, sent = rng.normal(0.5, 0.05, (10, 16)), rng.normal(0.6, 0.05, (10, 16))
    target = sent[-1] + rng.choice([-1, 1], 16) * rng.uniform(0.03, 0.04, 16)  # tanh is 1 there
    net = InverseCompensation(Servos.of(identified), Servos.of(nominal), bound_rad=1000.0)
    corrected = target + corrections(net, q, sent, target)
    # Where the joint is in the coming 50 ms, and how fast: as it moved, or as the unloaded nominal servo would.
    moved = q[-1] - q[-2]
    kp, kd = Servos.of(nominal).kp, Servos.of(nominal).kd
    direction = np.sign(target - sent[-1])
    goal = target + np.asarray(nominal.gap.target_offset_rad)
    goal = goal - np.asarray(nominal.gap.backlash_rad) / 2 * direction
    instants = (np.arange(1000) + 0.5)[:, None] / 1000 * 0.05
    free = (goal + (q[-1] - goal) * np.exp(-instants * kp / kd)).mean(axis=0)
    end = goal + (q[-1] - goal) * np.exp(-0.05 * kp / kd)
    share = net.share.numpy().astype(np.float64)
    middle = share * (q[-1] + moved / 2) + (1 - share) * free
    speed = (share * moved + (1 - share) * (end - q[-1])) / 0.05
    np.testing.assert_allclose(
        torques_of(identified, corrected, middle, speed, direction),
        torques_of(nominal, target, middle, speed, direction),
        atol=1e-4 * float(Servos.of(identified).kp.max() + kp.max()),
    )


@given(st.integers(0, 2**32 - 1))
def test_a_corrected_joint_comes_to_rest_where_its_target_is(seed: int) -> None:
    """No gains in the range of an identification make it swing; servos without inertia, solved exactly."""
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.uniform(np.log(0.2), np.log(5.0), (2, 16)))
    world = World(servo=ServoConfig(kp_scale=tuple(scales[0]), kd_scale=tuple(scales[1])))
    servos = Servos.of(world)
    net = InverseCompensation(servos, Servos.of(World()), bound_rad=10.0)
    target = np.zeros(16)
    q = [rng.normal(0.0, 0.2, 16)] * 10
    for _ in range(60):
        sent = target + corrections(net, np.array(q[-10:]), np.zeros((10, 16)), target)
        q.append(sent + (q[-1] - sent) * np.exp(-0.05 * servos.kp / servos.kd))
    assert np.abs(q[-1]).max() < 0.01


@given(st.integers(0, 2**32 - 1))
def test_a_nominal_hand_is_left_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for world in (World(), World.load("twin")):
        net = InverseCompensation(Servos.of(world), Servos.of(world), bound_rad=0.3)
        history = rng.normal(0.0, 1.0, (21, 16))
        np.testing.assert_array_equal(
            corrections(net, history[:10], history[10:20], history[20]), 0
        )


def test_a_delay_is_answered_by_the_targets_rate() -> None:
    late = World(gap=GapConfig(delay_s=0.02))
    net = InverseCompensation(Servos.of(late), Servos.of(World()), bound_rad=0.3)
    sent, target = np.zeros((10, 16)), np.linspace(-0.04, 0.04, 16)
    np.testing.assert_allclose(corrections(net, sent, sent, target), 0.4 * target, atol=1e-7)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inverse") / "new" / "inverse.onnx"
    assert sysid(["inverse", "--world", "gains_wide", "--out", str(out)]) == 0
    return out


def test_the_file_is_a_residual_that_runs_with_the_shipped_policy(wide: Path) -> None:
    model = open_model(wide)
    assert (model.spec.kind, model.spec.residual_bound_rad) == ("residual", 0.3)
    assert "gains_wide" in model.spec.trained_on
    seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist())
    policy = load_policy(policy_path("cylinder_z"), seat, wide)
    assert isinstance(policy, OnnxPolicy)
    pose = np.array(policy.spec.default_pose_rad)
    policy.reset(pose, pose)
    action = policy.step(pose - 0.1, STILL, AXIS)
    assert np.abs(action.residual).max() > 0.01
    assert np.abs(action.residual).max() <= 0.3


def test_a_far_target_is_corrected_up_to_the_bound(tmp_path: Path) -> None:
    file = write_inverse("gains_wide", tmp_path / "small.onnx", bound_rad=0.05)
    rest = np.zeros((10, 16))
    answer = open_model(file).run(inputs(rest, rest, np.full(16, 1.0)))
    assert np.abs(answer).max() == pytest.approx(0.05)


def test_settings_that_cannot_be_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.onnx")
    assert sysid(["inverse", "--world", "nowhere", "--out", out]) == 2
    assert "nowhere" in capsys.readouterr().err
    for bound in ("0", "0.51"):
        assert sysid(["inverse", "--world", "gains", "--out", out, "--bound-rad", bound]) == 2
        assert f"bound-rad is {bound}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def motion(world: World, targets: np.ndarray, residual: Path | None = None) -> np.ndarray:
    """Angles (T, N, 16) of free hands under targets (N, T, 16), with encoders as a servo has them."""
    free = dataclasses.replace(world, object=ObjectConfig(kind="none"))
    count, steps = targets.shape[:2]
    batch = HandBatch([free] * count, threads=1)
    batch.set_state(np.arange(count), targets[:, 0], target=targets[:, 0])
    history = ObservationHistory(count)
    history.reset(batch.q, targets[:, 0])
    model = open_model(residual) if residual else None
    before, tick, seen = targets[:, 0], 2 * np.pi / 4096, []
    for step in range(steps):
        target = targets[:, step]
        history.push(np.round(batch.q / tick) * tick, before)
        sent = target
        if model is not None:
            joined = np.concatenate(
                [
                    history.observation(np.tile(STILL, (count, 1)), np.tile(AXIS, (count, 1))),
                    target,
                ],
                1,
            )
            sent = target + model.run(joined.astype(np.float32))
        batch.step(sent)
        before = target
        seen.append(batch.q.copy())
    return np.array(seen)


@pytest.mark.parametrize(
    ("world", "share"), [("gains", 0.4), ("gains_wide", 0.4), ("unmodelled", 0.4), ("twin", 0.3)]
)
def test_a_free_hand_moves_like_the_nominal_one(world: str, share: float, tmp_path: Path) -> None:
    library = TrajectoryLibrary.open("cylinder_z")
    chosen = [library.trajectory(int(k)).targets_rad[:100] for k in library.ids("palm_up")[:3]]
    targets = np.array(chosen, dtype=np.float64)
    nominal = motion(World(), targets)
    direct = motion(World.load(world), targets)
    inverse = motion(World.load(world), targets, write_inverse(world, tmp_path / "inverse.onnx"))

    def error(angles: np.ndarray) -> float:
        return float(np.sqrt(np.mean((angles - nominal) ** 2)))

    assert error(inverse) < share * error(direct)
