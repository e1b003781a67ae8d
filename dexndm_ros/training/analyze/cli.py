# SPDX-License-Identifier: Apache-2.0
"""``dexndm analyze``: a report about datasets, as the paper looks at its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import tyro

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.policy.spec import PolicySpecError
from dexndm_ros.training.analyze.config import AnalyzeConfig, AnalyzeError
from dexndm_ros.training.progress import Progress

__all__ = ["main"]

_REFUSED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse.

    Returns:
        0 done; 2 refused.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # On shared cores spinning OpenMP threads cost a factor of ten; it is read when scikit-learn loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from dexndm_ros.training.analyze.job import analyze, steps_of

    try:
        config = tyro.cli(AnalyzeConfig, args=words, prog="dexndm analyze")
        bar = Progress(steps_of(config), "analyze")
        done = 0

        def tick(what: str) -> None:
            nonlocal done
            done += 1
            bar.update(done, what)

        try:
            page = analyze(config, tick)
        finally:
            bar.close()
    except (AnalyzeError, DatasetError, PolicySpecError) as error:
        print(f"dexndm analyze: {error}", file=sys.stderr)
        return _REFUSED
    print(page)
    return 0
