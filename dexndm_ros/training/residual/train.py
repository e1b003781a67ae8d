# SPDX-License-Identifier: Apache-2.0
r"""Residual job: a correction for each loss, judged by the gate, chosen by rollouts, written as policy files.

dexndm train residual --data data/rollouts --dynamics runs/dynamics/joint --nominal runs/dynamics/nominal \
        --select.world twin --out runs/residual
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dexndm_ros.paths import policy_path
from dexndm_ros.policy.onnx_file import fingerprint, open_model
from dexndm_ros.policy.spec import PolicySpec, write_spec
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.export import export_onnx, verify_export
from dexndm_ros.training.progress import Progress, commit_id
from dexndm_ros.training.residual.config import LOSSES, Loss, ResidualConfig, check_config
from dexndm_ros.training.residual.data import Segments, Stretch, checksum, open_segments
from dexndm_ros.training.residual.errors import ResidualError
from dexndm_ros.training.residual.gate import Verdict, judge
from dexndm_ros.training.residual.losses import least_ticks, motion_errors
from dexndm_ros.training.residual.network import ResidualNet, weaken
from dexndm_ros.training.residual.report import plot_residuals, table
from dexndm_ros.training.residual.select import NO_RESIDUAL, select
from dexndm_ros.training.runlog import RunLog

__all__ = ["train_residual"]

_SAMPLE = 512
"""Stretches that the gate looks at and the normaliser is fitted to."""
_FIELDS = ["step", "loss_name", "epoch", "loss", "rms_mrad", "mean_mrad", "at_bound", "seconds"]


def train_residual(config: ResidualConfig) -> Path:
    """Train every loss (or go on after the last finished epoch), judge, choose, write.

    Returns:
        ``<out>/residual.onnx``, the chosen one. Where the gate refuses it, or nothing beats the base policy alone, the
        file says so and a node that loads it runs the base alone.

    Raises:
        ResidualError: settings, data or models that cannot be used, or a loss that is not finite.
        DatasetError: no dataset.
    """
    check_config(config)
    return _Run(config).go()


@dataclass
class _Trained:
    """What came out for one loss."""

    net: ResidualNet
    row: dict[str, float]
    verdict: Verdict
    centre: Tensor


class _Run:
    def __init__(self, config: ResidualConfig) -> None:
        self.config = config
        self.out = Path(config.out)
        try:
            self.models = [DynamicsModel.load(each) for each in config.dynamics]
            self.nominal = [DynamicsModel.load(each) for each in config.nominal]
        except DynamicsError as error:
            raise ResidualError(str(error)) from error
        windows = {model.window for model in (*self.models, *self.nominal)}
        if len(windows) > 1:
            raise ResidualError(
                f"the dynamics models have windows of {sorted(windows)} ticks; train them alike"
            )
        needed = max(least_ticks(LOSSES[name], self.models[0].window) for name in config.losses)
        if config.segment < needed:
            raise ResidualError(
                f"segment is {config.segment}; these losses need {needed} ticks or more"
            )
        self.base = open_model(policy_path(config.base))
        self.segments: Segments = open_segments(config.data, config.segment, config.seed)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.torch_threads)

    def go(self) -> Path:
        settings = asdict(self.config) | {"commit": commit_id()}
        (self.out / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        log = RunLog(self.out, _FIELDS)
        bar = Progress(
            len(self.config.losses) * self.config.epochs * len(self.segments), "residual"
        )
        trained = {}
        for number, name in enumerate(self.config.losses):
            done = number * self.config.epochs * len(self.segments)
            trained[name] = self._train(name, LOSSES[name], log, bar, done)
        bar.close()
        log.close()
        files = {name: self._export(name, made) for name, made in trained.items()}
        name, strength, why, selection = self._choose(files, trained)
        partial = self.out / "residual.onnx.new"
        weaken(files[name], partial, trained[name].centre, strength)
        write_spec(partial, self._spec(_candidate(name, strength), why))
        partial.replace(self.out / "residual.onnx")
        self._tell(trained, _candidate(name, strength), why, selection)
        return self.out / "residual.onnx"

    def _train(self, name: str, loss: Loss, log: RunLog, bar: Progress, done: int) -> _Trained:
        config = self.config
        torch.manual_seed(config.seed)
        net = ResidualNet(config.bound_rad, config.width, config.layers, config.structure)
        sample = self.segments.sample(_SAMPLE)
        net.fit_normaliser(sample.inputs().flatten(0, 1))
        optimiser = torch.optim.Adam(net.parameters(), config.learning_rate)
        file, key = self.out / f"{name}.pt", self._key(name)
        state = _load(file, key)
        first, row = 0, {}
        if state is not None:
            net.load_state_dict(state["net"])
            optimiser.load_state_dict(state["optimiser"])
            first, row = state["epoch"], state["row"]
        batches = math.ceil(len(self.segments) / config.segments)
        for epoch in range(first, config.epochs):
            begin, sums = time.monotonic(), torch.zeros(3)
            for number, stretch in enumerate(self.segments.batches(config.segments, epoch)):
                passed = (epoch * batches + number) / (config.epochs * batches)
                optimiser.param_groups[0]["lr"] = (
                    config.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))
                )
                residual = _residual(net, stretch)
                errors, variance = motion_errors(loss, stretch, residual, self.models, self.nominal)
                total = errors.mean() + config.disagreement * variance.mean() + self._size(residual)
                if not torch.isfinite(total):
                    raise ResidualError(
                        f"the loss {name} is not finite in epoch {epoch + 1}; lower --learning-rate"
                    )
                optimiser.zero_grad()
                total.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                with torch.no_grad():
                    sums += torch.stack([total, self._rms(errors), residual.abs().mean()])
                bar.update(
                    done + epoch * len(self.segments) + min((number + 1) * config.segments, len(self.segments)),
                    f"{name}, loss {total.item():.4f}",
                )  # fmt: skip
            row = {
                "loss": float(sums[0]) / batches,
                "rms_mrad": 1e3 * float(sums[1]) / batches,
                "mean_mrad": 1e3 * float(sums[2]) / batches,
                "seconds": round(time.monotonic() - begin, 1),
            }
            step = (done + (epoch + 1) * len(self.segments)) // config.segments
            log.write({"step": step, "loss_name": name, "epoch": epoch + 1, **row})
            _save(file, key, net, optimiser, epoch + 1, row)
        net.eval()
        with torch.inference_mode():
            residual = _residual(net, sample)
        # What is felt late is trusted where rollouts will show whether it helps.
        steps = loss.steps if config.select.world else 1
        verdict = judge(config.gate, steps, sample, residual, self.models, config.bound_rad)
        return _Trained(net, row, verdict, residual.mean((0, 1)))

    def _key(self, name: str) -> str:
        """What a checkpoint must agree in: settings, rollouts, models and base."""
        free = {"out", "losses", "select", "gate", "threads"}
        settings = {key: value for key, value in asdict(self.config).items() if key not in free}
        models = [
            checksum(*model.net.state_dict().values()) for model in (*self.models, *self.nominal)
        ]
        base = fingerprint(self.base.path)
        return json.dumps([name, settings, models, base, self.segments.checksum()])

    def _size(self, residual: Tensor) -> Tensor:
        scaled = residual / self.config.bound_rad
        change = (scaled[:, 1:] - scaled[:, :-1]).square().mean()
        return self.config.smoothness * change + self.config.size * scaled.square().mean()

    def _rms(self, errors: Tensor) -> Tensor:
        """Root mean square error, rad."""
        spread = self.models[0].net.spread[1]
        return (errors * spread.square()).mean().sqrt()

    def _export(self, name: str, made: _Trained) -> Path:
        path = self.out / f"{name}.onnx"
        partial = path.with_name(path.name + ".new")
        export_onnx(made.net, partial, "residual")
        probe = self.segments.sample(32).inputs().flatten(0, 1)
        verify_export(made.net, partial, probe.numpy())
        write_spec(partial, self._spec(name, made.verdict.refused))
        partial.replace(path)
        return path

    def _spec(self, name: str, refused: str) -> PolicySpec:
        base, config = self.base.spec, self.config
        return PolicySpec(
            kind="residual",
            joint_names=base.joint_names,
            lower_rad=base.lower_rad,
            upper_rad=base.upper_rad,
            default_pose_rad=base.default_pose_rad,
            history_length=base.history_length,
            action_scale_rad=base.action_scale_rad,
            rate_hz=base.rate_hz,
            residual_bound_rad=config.bound_rad,
            trained_on=(
                f"loss {name} through {', '.join(_told(model) for model in self.models)}, rollouts "
                f"{', '.join(Path(each).name for each in config.data)}, for base {config.base} "
                f"(sha256 {fingerprint(self.base.path)[:12]})"
            ),
            commit=commit_id(),
            axes=base.axes,
            wrists=base.wrists,
            refused=refused,
            base_sha256=fingerprint(self.base.path),
        )

    def _choose(
        self, files: dict[str, Path], trained: dict[str, _Trained]
    ) -> tuple[str, float, str, dict[str, Any]]:
        """Loss, share of what varies, why it is refused, and the rollouts."""
        allowed = [name for name, made in trained.items() if not made.verdict.refused]
        if not allowed or not self.config.select.world:
            first = self.config.losses[0]
            return first, 1.0, trained[first].verdict.refused, {}
        candidates = {
            _candidate(name, strength): (name, strength)
            for name in allowed
            for strength in self.config.select.strengths
        }
        with tempfile.TemporaryDirectory() as folder:
            tried = {}
            for number, (label, (name, strength)) in enumerate(candidates.items()):
                tried[label] = Path(folder) / f"{number}.onnx"
                weaken(files[name], tried[label], trained[name].centre, strength)
            wanted, threads = self.config.select, self.config.torch_threads
            selection = select(wanted, self.config.base, tried, self.config.seed, threads)
        name, strength = candidates[selection["best"]]
        why = self._no_gain(selection) if selection["chosen"] == NO_RESIDUAL else ""
        return name, strength, why, selection

    def _tell(
        self, trained: dict[str, _Trained], chosen: str, why: str, selection: dict[str, Any]
    ) -> None:
        metrics = {
            "losses": {each: _told_of(made) for each, made in trained.items()},
            "chosen": NO_RESIDUAL if why else chosen,
            "refused": why,
            "selection": selection,
            "bound_rad": self.config.bound_rad,
        }
        part = self.out / "metrics.json.part"
        part.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        part.replace(self.out / "metrics.json")
        plot_residuals(self.out / "curves.png", metrics)
        print(table(metrics))

    def _no_gain(self, selection: dict[str, Any]) -> str:
        rows, best = selection["rows"], selection["best"]
        return (
            f"in rollouts in {selection['world']} the base policy alone turned "
            f"{rows[NO_RESIDUAL]['rotation_rad']:.1f} rad, and with the best residual ({best}) "
            f"{rows[best]['rotation_rad']:.1f} rad"
        )


def _residual(net: ResidualNet, stretch: Stretch) -> Tensor:
    """In every tick that the network sees, (B, S - 10, 16) rad."""
    inputs = stretch.inputs()
    return net(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])


def _candidate(name: str, strength: float) -> str:
    """What a loss with a share of what varies is called."""
    return name if strength == 1.0 else f"{name} x{strength:g}"


def _told(model: DynamicsModel) -> str:
    data = ", ".join(Path(each).name for each in model.facts.get("data", ())) or "unknown data"
    return f"{model.config.structure} dynamics of {data}"


def _told_of(made: _Trained) -> dict[str, Any]:
    """Of one loss; means over the joints, and each joint's."""
    verdict = made.verdict
    by_joint = {
        "response": verdict.response,
        "at_bound": verdict.at_bound,
        "mean_mrad": verdict.mean_mrad,
    }
    means = {name: sum(values) / len(values) for name, values in by_joint.items()}
    lists = {f"{name}_by_joint": list(values) for name, values in by_joint.items()}
    return made.row | means | lists | {"refused": verdict.refused}


def _save(
    file: Path,
    key: str,
    net: ResidualNet,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    row: dict[str, float],
) -> None:
    partial = file.with_name(file.name + ".part")
    state = {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "epoch": epoch,
        "row": row,
    }
    torch.save({"key": key, **state}, partial)
    partial.replace(file)


def _load(file: Path, key: str) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    state: dict[str, Any] = torch.load(file, weights_only=True)
    if state["key"] != key:
        raise ResidualError(
            f"{file} is of a run with other settings, data or models; give another --out, or remove {file.parent}"
        )
    return state
