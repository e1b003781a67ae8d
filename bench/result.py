# SPDX-License-Identifier: Apache-2.0
"""What a bench returns, how it is shown and how it is kept."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Check", "Options", "Result", "SkippedError", "machine", "quantiles"]

_PACKAGES = (
    "dynamixel-sdk", "mcap", "mujoco", "mujoco-warp", "numpy", "onnxruntime", "pyarrow", "pyserial", "ros-rclpy",
    "rosbags", "scipy", "torch", "warp-lang", "zstandard",
)  # fmt: skip


class SkippedError(Exception):
    """This machine lacks what a bench measures; the message says what."""


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        cycles: bus cycles a program.
        seconds: length of what runs for a while.
        minutes: length of the loop timing and of the campaign at real pace.
        hours: simulated, of a campaign's day.
        speed: of a campaign's day, simulated seconds in a second.
        rate: bus cycles a simulated second.
        episodes: of the closed loop.
        runs: inferences a network.
        hands: environments side by side.
        trajectories: of the night that is converted, or episodes that windows are taken from.
        threads: physics threads.
        messages: published to the recorder.
        factor: how many times the real rate.
        seed: of everything drawn.
        world: world file or name.
        policy: policy name or file.
        axis: rotation axis, palm frame.
        wrist: palm orientation; empty = the world's.
        realtime: SCHED_FIFO for driver and policy in the loop timing.
        quick: only see whether everything runs; nothing is kept.
    """

    cycles: int = 4000
    seconds: float = 20.0
    minutes: float = 1.0
    hours: float = 24.0
    speed: float = 2.0
    rate: float = 100.0
    episodes: int = 20
    runs: int = 300
    hands: int = 256
    trajectories: int = 1440
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    messages: int = 1_000_000
    factor: float = 10.0
    seed: int = 0
    world: str = "nominal"
    policy: str = "cylinder_z"
    axis: str = "+z"
    wrist: str = ""
    realtime: bool = False
    quick: bool = False


@dataclass(frozen=True)
class Check:
    """A number we hold.

    Attributes:
        what: in words.
        value: as measured.
        limit: what it is compared with.
        at_most: the value must not be above the limit; else not below.
    """

    what: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether it holds; NaN does not."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        word = "met" if self.met else "NOT MET"
        return f"{word}: {self.what}: {_cell(self.value)} ({sign} {_cell(self.limit)})"


@dataclass(frozen=True)
class Result:
    """A table measured in one run.

    Attributes:
        title: what the table shows.
        columns: headings.
        rows: a name, then numbers.
        checks: numbers we hold, from the same run.
        notes: what a reader must know.
        settings: counts, seeds and whatever else decides the numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """As text."""
        cells = [list(map(str, self.columns)), *([_cell(c) for c in row] for row in self.rows)]
        widths = [max(len(row[k]) for row in cells) for k in range(len(self.columns))]
        lines = [self.title]
        for number, row in enumerate(cells):
            first, *rest = (c.rjust(w) if k else c.ljust(w) for k, (c, w) in
                            enumerate(zip(row, widths, strict=True)))  # fmt: skip
            lines.append("  ".join([first, *rest]).rstrip())
            if number == 0:
                lines.append("  ".join("-" * w for w in widths))
        lines += [f"note: {note}" for note in self.notes]
        lines += [str(check) for check in self.checks]
        return "\n".join(lines)

    def write(self, path: Path, name: str, options: Options, wall_s: float) -> None:
        """Keep it as JSON, with the machine it was measured on."""
        data = {
            "bench": name,
            **asdict(self),
            "checks": [asdict(check) | {"met": check.met} for check in self.checks],
            "options": asdict(options),
            "wall_s": round(wall_s, 1),
            "machine": machine(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_plain(data), indent=2) + "\n", encoding="utf-8")


def quantiles(values: Any, *fractions: float) -> list[float]:
    """Quantiles of some values; NaN where there are none."""
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return [math.nan] * len(fractions)
    return [float(q) for q in np.quantile(array, fractions)]


def machine() -> dict[str, Any]:
    """Where and with what it was measured, and how busy the machine was."""
    from dexndm_ros.training.progress import commit_id

    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit_id(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = 3 if abs(value) < 10 else 1
        return f"{value:.{digits}f}"
    return f"{value:.2e}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
