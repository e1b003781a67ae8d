# SPDX-License-Identifier: Apache-2.0
"""Dynamics job: what each joint does next, from the last W angles and targets (paper, sections 3.3 and B.5).

    dexndm train dynamics --data rollouts --out runs/sim                        # pretrain on simulated rollouts
    dexndm train dynamics --data night --init runs/sim --test task --out runs/joint      # tune on collected data
    torchrun --nproc_per_node=2 -m dexndm_ros.cli train dynamics --data night --out runs/joint

``--network.structure finger`` and ``hand`` train the baselines on the same windows in the same order.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from dexndm_ros.training.dynamics.baselines import (
    Statistics,
    arx_network,
    measure_statistics,
    start_from_arx,
)
from dexndm_ros.training.dynamics.config import (
    GROUPS,
    DynamicsConfig,
    check_config,
    networks_of,
    resolve_network,
)
from dexndm_ros.training.dynamics.data import Windows, open_windows
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.fit import Phase, Stopped, set_precision
from dexndm_ros.training.dynamics.model import MODEL_FILE, DynamicsModel
from dexndm_ros.training.dynamics.networks import DynamicsNet
from dexndm_ros.training.dynamics.processes import Processes
from dexndm_ros.training.dynamics.report import finish_report
from dexndm_ros.training.progress import Progress, commit_id
from dexndm_ros.training.runlog import RunLog
from dexndm_ros.training.stopping import asked_to_stop

__all__ = ["ARX_FILE", "train_dynamics"]

ARX_FILE = "arx.pt"
_CHECKPOINT = "checkpoint.pt"
_FREE = ("out", "test", "epochs", "device", "kernel", "keep", "threads")
"""Settings that may differ when a run goes on."""
_FIELDS = ["step", "phase", "epoch", "loss", "val_loss", "val_rms_mrad", "seconds"]


def train_dynamics(config: DynamicsConfig) -> Path:
    """Train, or go on where the folder's checkpoint ends; then measure everything.

    Returns:
        ``<out>/dynamics.pt``.

    Raises:
        DynamicsError: settings, data or a checkpoint that cannot be used, or a number that is not finite.
        DatasetError: no dataset.
    """
    check_config(config)
    init = DynamicsModel.load(config.init) if config.init else None
    if init is not None:
        config = replace(config, network=resolve_network(config.network, init.config, config.init))
    processes = Processes(config.device, config.threads)
    try:
        with asked_to_stop() as stop:
            return _Run(config, init, processes).go(stop)
    finally:
        processes.close()


class _Run:
    """One run, in one process of it."""

    def __init__(
        self, config: DynamicsConfig, init: DynamicsModel | None, processes: Processes
    ) -> None:
        self.config, self.init, self.processes = config, init, processes
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        set_precision(config.precision, processes.device)
        length = config.network.window + 1
        self.train: Windows = open_windows(
            config.data, length, processes.device, "train", config.seed, config.trajectories, config.keep
        )  # fmt: skip
        self.validation = open_windows(
            config.data, length, processes.device, "val", keep=config.keep, beside=self.train
        )
        self.tests = {
            name: open_windows([name], length, processes.device, keep=config.keep)
            for name in config.test
        }
        self.rows: list[dict[str, Any]] = []
        self.log: RunLog | None = None

    def go(self, stop: Any) -> Path:
        state = self._checkpoint()
        self.statistics = self._statistics(state)
        self._begin(state)
        torch.manual_seed(self.config.seed)
        net = DynamicsNet(self.config.network, shared=self._shared_epochs() > 0)
        start_from_arx(net, self.statistics)
        if self.init is not None:
            net = self._from_init(net)
        steps = len(self.train) * (self._shared_epochs() + self.config.epochs)
        bar = Progress(steps, "dynamics") if self.processes.first else None
        try:
            if net.shared:
                shared = self._phase("shared", net, self._shared_epochs(), state)
                if state is None or state["phase"]["name"] == "shared":
                    self._run(shared, bar, stop, 0)
                shared.best.restore(shared.net)
                net = shared.net.unshared()
            main = self._phase("main", net, self.config.epochs, state)
            self._run(main, bar, stop, self._shared_epochs() * len(self.train))
            main.best.restore(main.net)
        except Stopped:
            raise DynamicsError(
                f"stopped as asked; the same command goes on from {self.out / _CHECKPOINT}"
            ) from None
        finally:
            if bar is not None:
                bar.close()
            if self.log is not None:
                self.log.close()
        return self._finish(main)

    def _shared_epochs(self) -> int:
        alone = GROUPS[self.config.network.structure] == 1
        return 0 if alone or self.init is not None else self.config.warm_start_epochs

    def _statistics(self, state: dict[str, Any] | None) -> Statistics:
        if state is not None:
            return Statistics(*state["statistics"])
        kept = self.init.net if self.init is not None and not self.config.init_joints else None
        return measure_statistics(self.train, fixed=kept)

    def _from_init(self, net: DynamicsNet) -> DynamicsNet:
        """The networks of another run; for other joints with the mean and spread of ours."""
        assert self.init is not None
        net.load_state_dict(self.init.net.state_dict())
        if self.config.init_joints:
            order = torch.tensor(networks_of(self.config.init_joints, net.groups))
            with torch.no_grad():
                for p in net.parameters():
                    p.copy_(p[order].clone())
            self.statistics.apply(net)
        return net

    def _phase(
        self, name: str, net: DynamicsNet, epochs: int, state: dict[str, Any] | None
    ) -> Phase:
        net.to(self.processes.device)
        on_gpu = self.processes.device.type == "cuda"
        net.mlp.batched = on_gpu if self.config.kernel == "auto" else self.config.kernel == "batched"  # fmt: skip
        if not on_gpu and not net.shared and net.groups >= self.processes.threads:
            net.mlp.threads = self.processes.threads
            torch.set_num_threads(1)
        self.processes.same(net)
        rate = self.config.tune_learning_rate if self.init is not None else self.config.learning_rate  # fmt: skip
        phase = Phase(
            name, net, self.config, self.train, self.validation, self.processes, epochs, rate
        )
        if state is not None and state["phase"]["name"] == name:
            phase.load(state["phase"])
        return phase

    def _run(self, phase: Phase, bar: Progress | None, stop: Any, before: int) -> None:
        def save() -> None:
            if self.processes.first:
                self._save(phase)

        def show(seen: int, figures: str) -> None:
            if bar is not None:
                last = self.rows[-1]
                bar.update(before + seen, f"{figures}, validation {last['val_rms_mrad']:.2f} mrad")

        phase.run(save, show, stop, self._tell, self.out / "not_finite.pt")

    def _tell(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.log is not None:
            self.log.write({"step": len(self.rows) - 1, **row})

    def _settings(self) -> dict[str, Any]:
        settings = {name: value for name, value in asdict(self.config).items() if name not in _FREE}
        plain: dict[str, Any] = json.loads(json.dumps(settings))
        return plain

    def _save(self, phase: Phase) -> None:
        partial = self.out / f"{_CHECKPOINT}.part"
        torch.save(
            {
                "settings": self._settings(),
                "windows": len(self.train),
                "statistics": dataclasses.astuple(self.statistics),
                "phase": phase.state(),
                "rows": self.rows,
            },
            partial,
        )
        partial.replace(self.out / _CHECKPOINT)

    def _checkpoint(self) -> dict[str, Any] | None:
        path = self.out / _CHECKPOINT
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        ours = self._settings()
        for name, value in state["settings"].items():
            if ours.get(name) != value:
                raise DynamicsError(
                    f"{self.out} holds a run with {name} {value}, and now it is {ours.get(name)}: give another --out, "
                    "or the same settings to go on"
                )
        if state["windows"] != len(self.train):
            raise DynamicsError(
                f"{self.out} was trained on {state['windows']} windows of {', '.join(self.config.data)}, which now has "
                f"{len(self.train)}: give another --out, and --init {self.out} to begin with what was learned"
            )
        self.rows = state["rows"]
        return state

    def _begin(self, state: dict[str, Any] | None) -> None:
        if not self.processes.first:
            return
        record = asdict(self.config) | {"commit": commit_id()}
        (self.out / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        # Rows that were written after the checkpoint come again.
        with (self.out / "log.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, _FIELDS)
            table.writeheader()
            table.writerows({"step": k, **row} for k, row in enumerate(self.rows))
        self.log = RunLog(self.out, _FIELDS)

    def _finish(self, main: Phase) -> Path:
        config = self.config
        facts = {
            "seed": config.seed,
            "commit": commit_id(),
            "data": list(config.data),
            "init": config.init,
            "trajectories": config.trajectories,
            "best_epoch": main.best.epoch.tolist(),
        }
        model = DynamicsModel(main.net, facts, main.net.mlp.batched)
        arx = arx_network(self.statistics, config.network.window).to(self.processes.device)
        sets = {"validation": self.validation, **self.tests}
        errors = finish_report(self.out, config, facts, self.rows, model, arx, sets, self.processes)
        path = self.out / MODEL_FILE
        if self.processes.first:
            DynamicsModel(arx, facts).save(self.out / ARX_FILE)
            model.facts["rms_mrad"] = errors
            model.save(path)
        self.processes.wait()
        return path
