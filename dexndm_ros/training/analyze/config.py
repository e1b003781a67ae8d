# SPDX-License-Identifier: Apache-2.0
"""Settings of ``dexndm analyze``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AnalyzeConfig", "AnalyzeError"]

_MOST_WINDOWS = 1_000_000


class AnalyzeError(RuntimeError):
    """Settings or data that cannot be analysed; the message says what to do about it."""


@dataclass(frozen=True, kw_only=True)
class AnalyzeConfig:
    """One report about datasets.

    Attributes:
        data: dataset that a model would be trained on, such as replays in the Chaos Box.
        out: folder of the report.
        other: dataset that it would be used on, such as rollouts of the task; none = what compares two is left out.
        residual: residual policy file, or a dataset whose rollouts carry a correction; none = no corrections.
        free: dataset of a hand without object, from which virtual torques follow; none = no virtual torques.
        window: ticks of a history, W of the paper.
        windows: drawn from each half of each dataset, for linear models and polynomials.
        compared: of these, so many are compared with each other (nearest neighbours, classifiers).
        shown: windows of each dataset in a t-SNE picture.
        degree: highest degree of the polynomials.
        seed: of everything that is drawn.
    """

    data: Path
    out: Path = Path("runs/analysis")
    other: Path | None = None
    residual: Path | None = None
    free: Path | None = None
    window: int = 10
    windows: int = 20_000
    compared: int = 3_000
    shown: int = 300
    degree: int = 7
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            AnalyzeError: naming the setting and what is allowed.
        """
        ranges = {
            "window": (3, 1000),
            "windows": (50, _MOST_WINDOWS),
            "compared": (50, 20_000),
            "shown": (50, 5_000),
            "degree": (1, self.window - 2),
            "seed": (0, 2**32 - 1),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise AnalyzeError(f"{name} must be from {least} to {most}, got {value}")
