# SPDX-License-Identifier: Apache-2.0
"""The residual job on joints whose answer is known: servos that follow at a known rate, off by a known offset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.policy.controller import OnnxPolicy, load_policy
from dexndm_ros.policy.observation import ObservationHistory
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.dynamics.networks import DynamicsNet
from dexndm_ros.training.residual.config import (
    LOSSES,
    GateConfig,
    ResidualConfig,
    SelectConfig,
)
from dexndm_ros.training.residual.data import open_segments
from dexndm_ros.training.residual.errors import ResidualError
from dexndm_ros.training.residual.gate import judge
from dexndm_ros.training.residual.losses import motion_errors
from dexndm_ros.training.residual.network import ResidualNet, weaken
from dexndm_ros.training.residual.select import select
from dexndm_ros.training.residual.train import train_residual
from support.datasets import write_rows_only
from support.tiny_policy import leap_seat, residual_spec, write_tiny_policy

RATE = 0.4
WINDOW = 10
OFFSET = torch.linspace(-0.03, 0.03, 16)
WRIST, AXIS = (0.5, 0.5, 0.5, -0.5), (0.0, 0.0, 1.0)


def servo(offset: torch.Tensor | float = 0.0, rate: float = RATE, late: int = 0) -> DynamicsModel:
    """q' = q + rate (a + offset - q), with the target of ``late`` ticks ago."""
    net = DynamicsNet(NetworkConfig(window=WINDOW, layers=0))
    with torch.no_grad():
        weight, bias = net.mlp.weights[0], net.mlp.biases[0]
        weight.zero_()
        weight[:, -1 - late, 0] = rate
        # A late target's distance is from the angle of then: add what the joint has moved since.
        weight[:, WINDOW - late : WINDOW, 0] = -rate
        bias.copy_((rate * torch.as_tensor(offset).expand(16)).reshape(bias.shape))
    return DynamicsModel(net)


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory) -> str:
    """Rollouts of a base policy that wanders, in a hand without offset."""
    made = []
    for number in range(12):
        rng = np.random.default_rng(number)
        columns = empty_columns(80)
        a = 0.5 + np.cumsum(rng.normal(0.0, 0.02, (80, 16)), axis=0)
        q = np.full((80, 16), 0.5)
        for k in range(79):
            q[k + 1] = q[k] + RATE * (a[k] - q[k])
        columns["observation.state"][...] = q
        columns["action"][...] = columns["action.clean"][...] = a
        columns["action.residual"][...] = 0.0
        columns["observation.wrist"][...] = WRIST
        columns["observation.axis"][...] = AXIS
        columns["valid"][...] = True
        made.append(Episode(f"r-{number}", "try", columns, {"trajectory": number}))
    return str(write_rows_only(tmp_path_factory.mktemp("rollouts") / "set", [made]))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {
        "hand": servo(OFFSET),
        "other": servo(OFFSET, 0.3),
        "nominal": servo(),
        "late": servo(0.0, RATE, 1),
    }
    for name, model in made.items():
        model.save(folder / f"{name}.pt")
    return {name: str(folder / f"{name}.pt") for name in made}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return str(write_tiny_policy(tmp_path_factory.mktemp("base") / "base.onnx"))


def job(out: Path, rollouts: str, models: dict[str, str], base: str, **changes) -> ResidualConfig:
    given = {
        "losses": ("paired",), "width": 16, "layers": 1, "epochs": 20, "segments": 8, "learning_rate": 1e-2,
        "smoothness": 0.0, "size": 0.0, "threads": 1, "nominal": (models["nominal"],), "dynamics": (models["hand"],),
    } | changes  # fmt: skip
    return ResidualConfig(out=str(out), data=(rollouts,), base=base, **given)


def told(out: Path) -> dict:
    return json.loads((out / "metrics.json").read_text())


def test_the_network_is_fed_what_the_policy_feeds_it(rollouts) -> None:
    stretch = open_segments([rollouts], 24, 0).take(torch.arange(3))
    inputs = stretch.inputs()
    assert inputs.shape == (3, 14, 343)
    history = ObservationHistory()
    for k in range(1, 24):
        history.push(stretch.q[1, k], stretch.a[1, k - 1])
        if k >= 10:
            observation = history.observation(WRIST, AXIS)
            np.testing.assert_array_equal(inputs[1, k - 10, :327], observation)
            np.testing.assert_array_equal(inputs[1, k - 10, 327:], stretch.a[1, k])


@pytest.mark.parametrize("name", LOSSES)
def test_no_error_is_left_where_the_residual_undoes_the_offset(rollouts, name) -> None:
    stretch = open_segments([rollouts], 32, 0).take(torch.arange(4))
    undone = (-OFFSET).expand(4, 22, 16)
    errors, variance = motion_errors(LOSSES[name], stretch, undone, [servo(OFFSET)], [servo()])
    assert float(errors.max()) < (1e-6 if LOSSES[name].alone else 1e-10)  # which begins uncorrected
    assert float(variance.max()) == 0.0
    left, _ = motion_errors(LOSSES[name], stretch, 0 * undone, [servo(OFFSET)], [servo()])
    assert (left.mean((0, 1))[OFFSET.abs() > 0.01] > 1e-6).all()


def test_only_the_whole_window_corrects_targets_of_the_past(rollouts) -> None:
    stretch = open_segments([rollouts], 32, 0).take(torch.arange(4))
    late = servo(0.0, RATE, 1)  # listens to the target before the newest one
    for name, heard in (("paired", False), ("window_paired", True), ("steps", True)):
        residual = torch.full((4, 22, 16), 0.01, requires_grad=True)
        errors, _ = motion_errors(LOSSES[name], stretch, residual, [late], [servo()])
        errors.sum().backward()
        assert (residual.grad.abs().max() > 0) == heard, name


def test_an_ensemble_tells_where_its_members_differ(rollouts) -> None:
    stretch = open_segments([rollouts], 32, 0).take(torch.arange(4))
    pair = [servo(OFFSET), servo(OFFSET, 0.3)]
    errors, variance = motion_errors(
        LOSSES["paired"], stretch, torch.zeros(4, 22, 16), pair, [servo()]
    )
    assert errors.shape == (2, 4 * 21, 16)
    a, q = stretch.a[:, 10:31], stretch.q[:, 10:31]
    moves = torch.stack([RATE * (a + OFFSET - q), 0.3 * (a + OFFSET - q)])
    expected = moves.var(0, correction=0).flatten(0, 1)
    torch.testing.assert_close(variance, expected, rtol=1e-3, atol=1e-9)


@settings(max_examples=30)
@given(
    st.floats(1e-3, 0.3),
    st.integers(0, 2**31),
    st.floats(-100.0, 100.0),
    st.sampled_from(["targets", "joint", "hand"]),
)
def test_whatever_it_sees_the_network_stays_in_its_bound(bound, seed, size, structure) -> None:
    torch.manual_seed(seed)
    net = ResidualNet(bound, 8, 1, structure)
    x = size * torch.randn(5, 343)
    assert net(x).abs().max().item() == 0.0  # as it begins
    torch.nn.init.normal_(net.weights[-1], std=10.0)
    assert net(x).abs().max().item() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("structure", ["joint", "targets"])
def test_a_joints_network_sees_that_joint_alone(rollouts, structure) -> None:
    x = open_segments([rollouts], 24, 0).take(torch.arange(2)).inputs().flatten(0, 1)
    net = ResidualNet(0.05, 8, 1, structure)
    net.fit_normaliser(x)
    torch.nn.init.normal_(net.weights[-1])
    for joint in (0, 7, 15):
        other = x.clone()
        mine = torch.arange(320) % 16 == joint
        # Not all alike: differences of angles or targets do not see what moves them together.
        other[:, :320][:, mine] += 0.01 * torch.rand(20)
        other[:, 327 + joint] += 0.01
        changed = (net(other) != net(x)).any(0)
        assert changed.nonzero().flatten().tolist() == [joint]
    other = x.clone()
    angles = torch.arange(320) % 32 < 16
    other[:, :320][:, angles] += 0.01
    assert torch.equal(net(other), net(x)) == (structure == "targets")


def test_it_learns_the_offset_and_the_file_runs_it_beside_its_base(
    tmp_path, rollouts, models, base
) -> None:
    file = train_residual(job(tmp_path, rollouts, models, base, losses=("paired", "window_paired")))
    metrics = told(tmp_path)
    assert metrics["chosen"] == "paired"
    for row in metrics["losses"].values():
        np.testing.assert_allclose(row["mean_mrad_by_joint"], 1e3 * OFFSET.abs(), atol=4.0)
        np.testing.assert_allclose(row["response_by_joint"], RATE, atol=1e-5)
        assert row["refused"] == ""
    policy = load_policy(base, leap_seat(), file)
    policy.reset(np.full(16, 0.5), np.full(16, 0.5))
    action = policy.step(np.full(16, 0.5), WRIST, AXIS)
    assert (np.sign(action.residual) == -np.sign(OFFSET.numpy())).all()
    np.testing.assert_allclose(action.target, action.base + action.residual, atol=1e-9)
    model = open_model(file)
    inputs = open_segments([rollouts], 24, 0).take(torch.arange(4)).inputs().flatten(0, 1)
    np.testing.assert_allclose(model.run(inputs.numpy()).mean(0), -OFFSET, atol=4e-3)
    spec = model.spec
    assert spec.residual_bound_rad == 0.1
    assert "loss paired" in spec.trained_on


def test_a_weakened_file_keeps_the_mean_and_a_share_of_the_rest(
    tmp_path, rollouts, models, base
) -> None:
    train_residual(job(tmp_path, rollouts, models, base, epochs=2))
    x = open_segments([rollouts], 40, 0).take(torch.arange(4)).inputs().flatten(0, 1).numpy()
    whole = open_model(tmp_path / "paired.onnx").run(x)
    centre = torch.linspace(-0.02, 0.02, 16)
    for share in (0.0, 0.25, 1.0):
        weaken(tmp_path / "paired.onnx", tmp_path / "weak.onnx", centre, share)
        expected = centre.numpy() + share * (whole - centre.numpy())
        np.testing.assert_allclose(open_model(tmp_path / "weak.onnx").run(x), expected, atol=1e-6)


def test_where_the_newest_target_moves_nothing_it_is_refused_and_the_base_runs_alone(
    tmp_path, rollouts, models, base
) -> None:
    config = job(tmp_path, rollouts, models, base, dynamics=(models["late"],), epochs=2)
    file = train_residual(config)
    metrics = told(tmp_path)
    assert metrics["chosen"] == "none"
    assert "hardly moves the hand" in metrics["refused"]
    assert "hardly moves the hand" in open_model(file).spec.refused
    policy = load_policy(base, leap_seat(), file)
    policy.reset(np.full(16, 0.5), np.full(16, 0.5))
    assert not policy.step(np.full(16, 0.5), WRIST, AXIS).residual.any()
    # No loss is trusted to have handled it where no rollouts can show that it has.
    train_residual(replace(config, out=str(tmp_path / "steps"), losses=("steps", "last")))
    assert "hardly moves the hand" in told(tmp_path / "steps")["refused"]
    # Within several ticks the late target does move the joint.
    stretch = open_segments([rollouts], 40, 0).take(torch.arange(4))
    still = torch.zeros(4, 30, 16)
    assert judge(GateConfig(), 4, stretch, still, [servo(0.0, RATE, 1)], 0.05).refused == ""


def test_a_residual_at_its_bound_is_refused(rollouts) -> None:
    stretch = open_segments([rollouts], 32, 0).take(torch.arange(4))
    full = torch.full((4, 22, 16), 0.05)
    gate, bound = GateConfig(), 0.05
    assert "at its bound" in judge(gate, 1, stretch, full, [servo()], bound).refused
    half = torch.where(torch.arange(16) < 8, full, 0.0)  # exactly the most that is allowed
    verdict = judge(gate, 1, stretch, half, [servo()], bound)
    assert verdict.refused == ""
    assert verdict.at_bound == (1.0,) * 8 + (0.0,) * 8


def test_a_run_goes_on_where_it_stopped_and_refuses_other_settings(
    tmp_path, rollouts, models, base
) -> None:
    whole = job(tmp_path / "whole", rollouts, models, base, epochs=4)
    train_residual(whole)
    state = torch.load(tmp_path / "whole" / "paired.pt", weights_only=True)
    # A run that was cut off after two of its four epochs.
    parts = replace(whole, out=str(tmp_path / "parts"))
    from dexndm_ros.training.residual import train as module

    saved, seen = module._save, []

    def stop(file, key, net, optimiser, epoch, row) -> None:
        saved(file, key, net, optimiser, epoch, row)
        seen.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    module._save = stop
    try:
        with pytest.raises(KeyboardInterrupt):
            train_residual(parts)
        train_residual(parts)
    finally:
        module._save = saved
    assert seen == [1, 2, 3, 4]
    again = torch.load(tmp_path / "parts" / "paired.pt", weights_only=True)
    for name, value in state["net"].items():
        torch.testing.assert_close(again["net"][name], value, rtol=0, atol=0)
    with pytest.raises(ResidualError, match="other settings"):
        train_residual(replace(parts, bound_rad=0.2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "data is empty"),
        ({"dynamics": ()}, "dynamics is empty"),
        ({"nominal": ()}, "nominal world's dynamics"),
        ({"losses": ("best",)}, "losses is best"),
        ({"bound_rad": 0.0}, "bound_rad is 0.0"),
        ({"bound_rad": 0.6}, "may have more than"),
        ({"segment": 20}, "segment is 20"),
        ({"segment": 38, "losses": ("steps_window",)}, "need 39 ticks"),
        ({"select": SelectConfig(strengths=(1.5,))}, "select.strengths is"),
        ({"epochs": 0}, "epochs is 0"),
        ({"dynamics": ("nowhere",)}, "nowhere does not exist"),
        ({"select": SelectConfig(world="twin", episodes=0)}, "select.episodes is 0"),
    ],
)
def test_settings_that_cannot_be_used_are_told(
    tmp_path, rollouts, models, base, changes, message
) -> None:
    with pytest.raises(ResidualError, match=message):
        train_residual(replace(job(tmp_path, rollouts, models, base), **changes))


def test_other_rollouts_or_models_in_the_same_places_are_noticed(
    tmp_path, rollouts, models, base
) -> None:
    model = tmp_path / "model.pt"
    servo(OFFSET).save(model)
    config = job(tmp_path / "run", rollouts, models, base, dynamics=(str(model),), epochs=1)
    train_residual(config)
    servo(0.5 * OFFSET).save(model)
    with pytest.raises(ResidualError, match="other settings, data or models"):
        train_residual(config)


def test_the_choice_by_rollouts_is_what_is_written(tmp_path, rollouts, models) -> None:
    # What was learned from these made-up joints can only harm the real hand, so nothing beats the base alone.
    config = job(
        tmp_path, rollouts, models, "cylinder_z", epochs=2, bound_rad=0.2, learning_rate=0.1,
        select=SelectConfig("nominal", (1.0, 0.0), "palm_up", episodes=4, physics="fast"),
    )  # fmt: skip
    file = train_residual(config)
    metrics = told(tmp_path)
    assert set(metrics["selection"]["rows"]) == {"none", "paired", "paired x0"}
    best = metrics["selection"]["best"]
    assert f"loss {best} through" in open_model(file).spec.trained_on
    helped = metrics["selection"]["rows"][best]["rotation_rad"]
    alone = metrics["selection"]["rows"]["none"]["rotation_rad"]
    assert (metrics["chosen"] == best) == (helped >= 1.02 * alone)
    assert (open_model(file).spec.refused == "") == (metrics["chosen"] == best)


def test_the_command_tells_in_one_sentence(tmp_path, rollouts, models, capsys) -> None:
    words = ["residual", "--data", rollouts, "--dynamics", models["hand"], "--out", str(tmp_path)]
    assert train(words) == 1
    assert "give --nominal RUN" in capsys.readouterr().err


def test_what_helps_is_chosen_and_what_harms_is_not(tmp_path) -> None:
    # The shipped policy in a hand whose every target is off by a known amount, which one residual undoes.
    world = tmp_path / "off.yaml"
    world.write_text(
        "name: wrongly_set\nobject: {kind: cylinder}\ngap: {target_offset_rad: 0.05}\n",
        encoding="utf-8",
    )
    files = {}
    for name, sign in (("good", -1.0), ("bad", 1.0)):
        files[name] = write_tiny_policy(
            tmp_path / f"{name}.onnx", bias=np.full(16, sign * 0.05), spec=residual_spec(0.06)
        )
    config = SelectConfig(world=str(world), wrist="palm_up", episodes=6, physics="fast")
    files |= {f"bad_{k}": files["bad"] for k in range(3)}  # more than come to the second round
    found = select(config, "cylinder_z", files, 0, 1)
    rows = found["rows"]
    assert found["chosen"] == "good"
    assert [rows[name]["episodes"] for name in ("good", "none", "bad_2")] == [6, 6, 1]
    assert rows["good"]["rotation_rad"] > rows["none"]["rotation_rad"] > rows["bad"]["rotation_rad"]
    assert select(config, "cylinder_z", {"bad": files["bad"]}, 0, 1)["chosen"] == "none"


def test_rollouts_that_were_corrected_already_are_refused(tmp_path, models, base) -> None:
    columns = empty_columns(40)
    for name in ("observation.state", "action.clean", "observation.wrist", "observation.axis"):
        columns[name][...] = 0.5
    columns["action.residual"][...] = 0.01
    columns["valid"][...] = True
    folder = write_rows_only(tmp_path / "set", [[Episode("r", "try", columns, {"trajectory": 0})]])
    with pytest.raises(ResidualError, match="with a residual already"):
        train_residual(job(tmp_path / "run", str(folder), models, base))


def test_an_unlearned_policy_file_is_the_base_itself(tmp_path, rollouts, models, base) -> None:
    file = train_residual(job(tmp_path, rollouts, models, base, learning_rate=1e-12, epochs=1))
    policy = load_policy(base, leap_seat(), file)
    assert isinstance(policy, OnnxPolicy)
    policy.reset(np.full(16, 0.5), np.full(16, 0.5))
    np.testing.assert_allclose(policy.step(np.full(16, 0.5), WRIST, AXIS).residual, 0.0, atol=1e-7)
