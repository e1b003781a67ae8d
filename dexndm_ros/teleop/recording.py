# SPDX-License-Identifier: Apache-2.0
"""A session written to a file, a sample a line (JSON), and played back as a source; also one that was gzipped."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

from dexndm_ros.teleop.errors import RecordingError
from dexndm_ros.teleop.frames import is_pose
from dexndm_ros.teleop.sample import BUTTONS, Hand, Head, Sample, Side
from dexndm_ros.teleop.slot import Slot

__all__ = ["RecordingSource", "SampleWriter", "read_samples"]

_FORMAT = {"format": "dexndm teleop samples", "version": 1}
_Part = TypeVar("_Part", Hand, Head)


class SampleWriter:
    """Writes samples as they come; what was written stays readable if the program dies.

    Raises:
        RecordingError: the file exists, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("x", encoding="utf-8", buffering=1)
        except FileExistsError:
            raise RecordingError(f"{path} exists: remove it, or name another file") from None
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from error
        self._last: tuple[int, float] | None = None
        self._file.write(json.dumps(_FORMAT) + "\n")

    def write(self, sample: Sample) -> None:
        """Append a sample; the same one again is not written twice."""
        key = (sample.seq, sample.arrived_s)
        if key != self._last:
            self._last = key
            told = asdict(sample)
            if sample.delay_s is None:  # a file without delays is as it was before there were any
                del told["delay_s"]
            self._file.write(json.dumps(told, default=sorted) + "\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file after an error, with what it has."""
        with contextlib.suppress(OSError):  # it tries once more to write what it still holds
            self._file.close()


def read_samples(path: Path) -> Iterator[Sample]:
    """Samples of a file, in order. A last line that was cut (the program died) is left out.

    Raises:
        RecordingError: the file is not there, not of this format, or a line is broken.
    """
    try:
        with _opened(path) as file:
            _check_format(path, file.readline())
            for number, line in enumerate(file, 2):
                if not line.endswith("\n"):
                    return
                try:
                    yield _sample(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise RecordingError(
                        f"{path}, line {number} is not a sample: {error}"
                    ) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} cannot be read: {error}") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


class RecordingSource:
    """Plays a file back: each sample arrives as long after the first as it did.

    Args:
        path: the recording.
        clock: our monotonic clock.
        speed: how many times faster than it was recorded; capture times keep their own pace.

    Raises:
        RecordingError: the file cannot be played.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, speed: float = 1.0
    ) -> None:
        if not 0.0 < speed < math.inf:
            raise RecordingError(f"speed must be finite and > 0, got {speed}")
        self._samples = tuple(read_samples(path))
        if not self._samples:
            raise RecordingError(f"{path} holds no sample")
        self._clock = clock
        self._speed = speed
        self._start_s: float | None = None
        self._next = 0
        self._slot = Slot()

    @property
    def done(self) -> bool:
        """The last sample was given out."""
        return self._next == len(self._samples)

    def start(self) -> None:
        """Begin to play, from the first sample."""
        self._start_s, self._next, self._slot = self._clock(), 0, Slot()

    def stop(self) -> None:
        """End: no sample comes any more."""
        self._start_s = None

    def latest(self) -> Sample | None:
        """The newest sample that is due."""
        if self._start_s is not None:
            first_s, now_s = self._samples[0].arrived_s, self._clock()
            while not self.done:
                sample = self._samples[self._next]
                due_s = self._start_s + (sample.arrived_s - first_s) / self._speed
                if due_s > now_s:
                    break
                self._slot.put(replace(sample, arrived_s=due_s, source="recording"))
                self._next += 1
        return self._slot.take()

    def counts(self) -> Mapping[str, int]:
        """How many were played."""
        return {"accepted": self._next}

    def pulse(self, hand: Side, strength: float, ms: float) -> None:
        """Nothing: there is nobody to feel it."""


def _check_format(path: Path, line: str) -> None:
    try:
        told: Any = json.loads(line)
    except ValueError:
        told = None
    if told != _FORMAT:
        raise RecordingError(
            f"{path} is not a recording of this program: its first line is not {_FORMAT}"
        )


def _sample(told: dict[str, Any]) -> Sample:
    right, left, head = told["right"], told["left"], told["head"]
    delay_s = told.get("delay_s")  # older recordings have none
    return Sample(
        seq=int(told["seq"]),
        captured_s=_finite(told["captured_s"]),
        arrived_s=_finite(told["arrived_s"]),
        source=str(told["source"]),
        visible=bool(told["visible"]),
        recentred=bool(told["recentred"]),
        right=_hand(right, "right") if right else None,
        left=_hand(left, "left") if left else None,
        head=_head(head) if head else None,
        delay_s=None if delay_s is None else _finite(delay_s),
    )


def _hand(told: dict[str, Any], side: Side) -> Hand:
    x, y = map(_finite, told["stick"])
    pressed = frozenset(told["buttons"])
    if not pressed <= BUTTONS[side]:
        raise ValueError(f"{side} buttons {sorted(pressed - BUTTONS[side])} are not known")
    hand = Hand(
        tuple(map(_finite, told["position_m"])),  # type: ignore[arg-type]  # its length is checked below
        tuple(map(_finite, told["rotation_xyzw"])),  # type: ignore[arg-type]
        tracked=bool(told["tracked"]),
        emulated=bool(told["emulated"]),
        trigger=_finite(told["trigger"]),
        squeeze=_finite(told["squeeze"]),
        buttons=pressed,
        stick=(x, y),
    )
    return _checked(hand)


def _head(told: dict[str, Any]) -> Head:
    position_m, rotation_xyzw = told["position_m"], told["rotation_xyzw"]
    return _checked(Head(tuple(position_m), tuple(rotation_xyzw)))


def _checked(part: _Part) -> _Part:
    if len(part.position_m) != 3 or not is_pose(part):
        raise ValueError(f"{part.position_m}, {part.rotation_xyzw} is not a pose")
    return part


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number
