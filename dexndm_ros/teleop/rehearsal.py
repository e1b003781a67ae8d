# SPDX-License-Identifier: Apache-2.0
"""An operator written down step by step, as the samples that a headset would have told.

``python -m dexndm_ros.teleop.rehearsal FILE`` makes the session that ``dexndm teleop`` plays; it is the same each time.
"""

from __future__ import annotations

import argparse
import gzip
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.errors import RecordingError
from dexndm_ros.teleop.recording import SampleWriter
from dexndm_ros.teleop.sample import BUTTONS, Hand, Sample, Vector

__all__ = ["FRAME_S", "Step", "main", "rehearse", "write_session"]

FRAME_S = 1.0 / 72.0
"""A Quest 3's slowest rate."""
_RIGHT_M, _LEFT_M = np.array([0.35, -0.20, 1.05]), (0.30, 0.20, 1.05)
_TREMOR_M, _TREMOR_HZ = 0.0003, (7.3, 8.9, 9.7)
_DIGITS = 6


@dataclass(frozen=True)
class Step:
    """What both hands do for a while.

    Attributes:
        seconds: how long.
        grip: the right grip is held.
        button: of the left hand, held meanwhile; empty = none.
        by_m: the right hand's way in this time, operator frame, begun and ended at rest.
        by_rad: its turn, a rotation vector in the operator frame.
    """

    seconds: float
    grip: bool = False
    button: str = ""
    by_m: Vector = (0.0, 0.0, 0.0)
    by_rad: Vector = field(default=(0.0, 0.0, 0.0))

    def __post_init__(self) -> None:
        """Refuse what no hand could do."""
        if not 0.0 < self.seconds < math.inf:
            raise ValueError(f"a step lasts more than 0 s, got {self.seconds}")
        if self.button and self.button not in BUTTONS["left"]:
            raise ValueError(f"the left hand has no button {self.button!r}")


def rehearse(steps: Iterable[Step]) -> Iterator[Sample]:
    """The samples of an operator who does the steps, one after the other."""
    place_m, turn, count = _RIGHT_M, Rotation.identity(), 0
    for step in steps:
        frames = max(1, round(step.seconds / FRAME_S))
        way_m, angle = np.array(step.by_m), np.array(step.by_rad)
        for k in range(1, frames + 1):
            part = _smooth(k / frames)
            here_m = place_m + part * way_m + _tremor_m(count * FRAME_S)
            yield _sample(count, here_m, Rotation.from_rotvec(part * angle) * turn, step)
            count += 1
        place_m, turn = place_m + way_m, Rotation.from_rotvec(angle) * turn


def _smooth(part: float) -> float:
    """From 0 to 1 with the least jerk."""
    return part**3 * (10.0 - 15.0 * part + 6.0 * part**2)


def _tremor_m(at_s: float) -> np.ndarray:
    """No hand is still."""
    return _TREMOR_M * np.sin(math.tau * at_s * np.array(_TREMOR_HZ))


def _sample(count: int, place_m: np.ndarray, turn: Rotation, step: Step) -> Sample:
    x, y, z = (round(float(part), _DIGITS) for part in place_m)
    a, b, c, w = (round(float(part), _DIGITS) for part in turn.as_quat())
    at_s = round(count * FRAME_S, _DIGITS)
    right = Hand((x, y, z), (a, b, c, w), squeeze=1.0 if step.grip else 0.0)
    pressed = frozenset({step.button} if step.button else set())
    left = Hand(_LEFT_M, (0.0, 0.0, 0.0, 1.0), buttons=pressed)
    return Sample(count + 1, at_s, at_s, "recording", right=right, left=left)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the session of :mod:`dexndm_ros.teleop.bulb`."""
    from dexndm_ros.teleop.bulb import OPERATOR

    parser = argparse.ArgumentParser(
        prog="python -m dexndm_ros.teleop.rehearsal", description=__doc__
    )
    parser.add_argument("file", type=Path, help="to write, compressed, such as session.jsonl.gz")
    write_session(parser.parse_args(argv).file, OPERATOR)
    return 0


def write_session(path: Path, steps: Iterable[Step]) -> None:
    """Write the samples of an operator, gzipped, the same bytes each time.

    Raises:
        RecordingError: nothing can be written there.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "session.jsonl"
        writer = SampleWriter(plain)
        for sample in rehearse(steps):
            writer.write(sample)
        writer.close()
        packed = gzip.compress(plain.read_bytes(), mtime=0)
    try:
        path.write_bytes(packed)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    raise SystemExit(main())
