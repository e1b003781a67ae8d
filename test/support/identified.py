# SPDX-License-Identifier: Apache-2.0
"""Run folder of a real identification at its smallest."""

from __future__ import annotations

import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from dexndm_ros.training.sysid.cli import main

OFFSET_RAD = 0.06
TWIN = f"""
name: bent
physics: fast
object: {{kind: cylinder, radius_m: 0.034, half_height_m: 0.030, mass_kg: 0.05, friction: 1.0}}
gap: {{target_offset_rad: {OFFSET_RAD}}}
"""
"""A hand that stands off every target."""
WORDS = {
    "parameters": "offset", "wrist": "palm_down", "probes": "2", "clips": "2", "clip-s": "1.5", "held-out": "0.5",
    "seeds": "1", "population": "6", "generations": "12", "rounds": "1", "physics": "fast", "threads": "1",
}  # fmt: skip


def identified(folder: Path) -> Path:
    """The run of ``TWIN``'s offsets, copied to ``folder / "sysid"``; the twin's file beside it, ``bent.yaml``."""
    shutil.copytree(_run().name, folder, dirs_exist_ok=True)
    return folder / "sysid"


@lru_cache(maxsize=1)
def _run() -> tempfile.TemporaryDirectory[str]:
    kept = tempfile.TemporaryDirectory()  # goes with the interpreter
    folder = Path(kept.name)
    (folder / "bent.yaml").write_text(TWIN, encoding="utf-8")
    words = [word for key, value in WORDS.items() for word in (f"--{key}", value)]
    twin = str(folder / "bent.yaml")
    assert main(["fit", "--twin", twin, "--out", str(folder / "sysid"), *words]) == 0
    return kept
