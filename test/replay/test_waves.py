# SPDX-License-Identifier: Apache-2.0
"""Base waves: the paper's shapes, the same for a seed, fit to be replayed, and clear of self-collision."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.guard import Accepted, Guard
from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, SIDE_JOINTS, UPPER_RAD
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.noise import NoiseConfig, clean_step_limit_rad
from dexndm_ros.replay.trajectory import CLEAN_STEP_LIMIT_RAD, LibraryError, check_targets
from dexndm_ros.replay.waves import MIDDLE_RAD, WAVE_JOINTS, BaseWaves
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import ObjectConfig, World

TIME_S = np.arange(400) / 20.0


def moved(targets: np.ndarray) -> list[int]:
    """Joints that leave the middle of their range."""
    return np.flatnonzero(np.abs(targets - MIDDLE_RAD.astype(np.float32)).max(axis=0) > 0).tolist()


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**63 - 1),
    name=st.integers(0, 3999),
    limit=st.sampled_from([CLEAN_STEP_LIMIT_RAD, clean_step_limit_rad(NoiseConfig(0.0))]),
)
def test_every_wave_may_be_replayed_moves_one_joint_and_is_the_same_again(seed, name, limit):
    first, second = (BaseWaves(seed, None, limit).trajectory(name) for _ in range(2))
    assert first.targets_rad.tobytes() == second.targets_rad.tobytes()
    check_targets(first.targets_rad[None], ["wave"], limit)
    (joint,) = moved(first.targets_rad)
    assert joint in WAVE_JOINTS
    kind = "sine" if name < 2000 else "square" if name < 3000 else "noise"
    assert first.source == f"waves/{kind}/{JOINT_NAMES[joint]}"
    assert (first.id, first.wrist, first.axis) == (name, "any", (0.0, 0.0, 0.0))


def test_sines_have_the_papers_amplitudes_and_frequencies():
    waves = BaseWaves(1, {"sine": 300})
    sizes, omegas = [], []
    for name in waves.ids("palm_up"):
        targets = waves.trajectory(int(name)).targets_rad
        wave = targets[:, moved(targets)[0]] - MIDDLE_RAD[moved(targets)[0]]
        # A sine obeys w'' = -(2 omega)^2 w; central differences of it shrink that by a known factor.
        bend = (wave[2:] + wave[:-2]) / 2
        turn = np.arccos(np.clip((bend @ wave[1:-1]) / (wave[1:-1] @ wave[1:-1]), -1, 1)) * 20
        omegas.append(turn / 2)
        sizes.append(np.abs(np.linalg.lstsq(np.sin(turn * TIME_S)[:, None], wave)[0])[0])
    for values, low, high in ((sizes, 0.5, 1.0), (omegas, 0.2, 0.5)):
        assert low - 0.01 < min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) < high + 0.01
        # 300 draws: five deviations of the mean of a uniform distribution.
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.084 * (high - low))


@given(seed=st.integers(0, 10**6))
def test_squares_stand_at_two_levels_and_run_between_them_at_the_step_limit(seed):
    targets = BaseWaves(seed, {"square": 1}, 0.15).trajectory(0).targets_rad
    wave = targets[:, moved(targets)[0]]
    steps = np.abs(np.diff(wave))
    standing = wave[1:][steps == 0]
    levels = np.unique(standing)
    assert len(levels) == 2
    assert 1.0 <= np.ptp(levels) <= 2.0
    assert levels.mean() == pytest.approx(MIDDLE_RAD[moved(targets)[0]], abs=1e-6)
    assert steps.max() == pytest.approx(0.15, abs=1e-6)
    # Half a turn takes 3.1 to 7.9 s, an edge less than 0.7 s: the levels are held nearly all the time.
    assert np.mean(steps == 0) > 0.75


def test_noisy_squares_carry_noise_of_a_hundredth_on_their_levels():
    left = []
    for seed in range(30):
        targets = BaseWaves(seed, {"noise": 1}).trajectory(0).targets_rad
        wave = targets[:, moved(targets)[0]]
        # Noise of neighbours differs by sqrt(2) sigma; the edges lie at the step limit, far above.
        steps = np.diff(wave)
        left.append(steps[np.abs(steps) < CLEAN_STEP_LIMIT_RAD - 1e-4])
    assert np.concatenate(left).std() == pytest.approx(0.01 * np.sqrt(2), rel=0.05)


def test_all_wave_joints_come_up_and_no_side_joint():
    waves = BaseWaves(3, {"square": 400})
    joints = {moved(waves.trajectory(name).targets_rad)[0] for name in range(400)}
    assert joints == set(WAVE_JOINTS)
    assert not joints & set(SIDE_JOINTS)


@pytest.mark.parametrize("joint", range(16), ids=JOINT_NAMES)
def test_the_joints_that_waves_leave_out_are_those_that_touch_another_link(joint):
    """In our hand model: the largest wave of each joint, the others in the middle of their ranges."""
    bare = dataclasses.replace(World(), object=ObjectConfig(kind="none"))
    model = build_model(bare)
    data = mujoco.MjData(model)
    slots = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
    touches = False
    for angle in np.linspace(-1.0, 1.0, 81):
        pose = MIDDLE_RAD.copy()
        pose[joint] = np.clip(pose[joint] + angle, LOWER_RAD[joint], UPPER_RAD[joint])
        data.qpos[slots] = pose
        mujoco.mj_forward(model, data)
        touches |= data.ncon > 0
    assert touches == (joint not in WAVE_JOINTS)


def test_a_guard_lets_every_wave_pass_unlimited():
    for name in (0, 2000, 3000):
        targets = BaseWaves(9).trajectory(name).targets_rad
        guard = Guard()
        guard.enable(targets[0])
        now_s = 100.0
        for step, target in enumerate([targets[0], *targets]):
            assert guard.accept(target, step, "test", now_s) == Accepted(clipped=False)
            assert not guard.tick(target, now_s).limited
            now_s += 0.05
        assert guard.limited_commands == 0


def test_counts_wrists_and_ids():
    waves = BaseWaves.parse("waves:square:2,sine:3", seed=1)
    assert waves.counts == {"sine": 3, "square": 2, "noise": 0}
    assert waves.wrists == tuple(WRISTS)
    assert waves.ids("base_down").tolist() == [0, 1, 2, 3, 4]
    assert "square" in waves.trajectory(3).source
    paper = BaseWaves.parse("waves")
    assert paper.counts == {"sine": 2000, "square": 1000, "noise": 1000}
    assert BaseWaves.parse("waves:sine:2000,square:1000,noise:1000").sha256 == paper.sha256
    for wrong in (-1, 5):
        with pytest.raises(LibraryError, match=rf"no trajectory {wrong}; ids are 0 to 4"):
            waves.trajectory(wrong)
    with pytest.raises(LibraryError, match="wrist 'sideways' is none of palm_up"):
        waves.ids("sideways")


def test_the_fingerprint_tells_apart_what_gives_other_targets():
    prints = {
        waves.sha256
        for waves in (
            BaseWaves(0),
            BaseWaves(1),
            BaseWaves(0, {"sine": 5}),
            BaseWaves(0, None, 0.15),
        )
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("waves:", "names no base waves"),
        ("waves:sine", "names no base waves"),
        ("waves:sine:-3", "names no base waves"),
        ("waves:sine:3,", "names no base waves"),
        ("waves:sine:3,sine:4", "names no base waves"),
        ("waves:sine:3;square:4", "names no base waves"),
        ("waves:saw:3", r"saw:3; kinds are sine, square, noise"),
        ("waves:sine:0", "0 trajectories are asked for"),
        ("waves:sine:999999,noise:2", "1000001 trajectories are asked for"),
    ],
)
def test_texts_that_name_no_waves_are_refused(text, message):
    with pytest.raises(LibraryError, match=message):
        BaseWaves.parse(text)


@given(text=st.text(alphabet="waves:,0123456789 sinequar", max_size=30))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        waves = BaseWaves.parse(text)
    except LibraryError:
        return
    assert len(waves) > 0


def test_a_seed_out_of_range_is_refused():
    with pytest.raises(LibraryError, match="seed must be from 0"):
        BaseWaves(-1)
