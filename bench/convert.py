# SPDX-License-Identifier: Apache-2.0
"""A night of bags to a dataset, beside what reading them costs anyway.

On one core: every message deserialised by ``rosbags``; the files' chunks decompressed and nothing more; our
``convert_bag``; and the whole of ``dexndm convert --jobs 1``. Then, on all cores, a tenth of the night and the night:
ten times the input is to take ten times the time and the same memory. The bags are in the page cache each time.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zstandard
from rosbags.highlevel import AnyReader

from bench.night_bags import NightConfig, write_bag
from bench.process_tree import Used, run_measured
from bench.result import Check, Options, Result
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag

_STATE_HZ = 200.0
_NIGHT = 1440
_PART = 10
"""The tenth of the night that is converted too."""
_SAMPLE = 48
"""Bags that are read by each program on one core."""
_ROUNDS = 2
_TIMES_ROSBAGS, _SHARE_OF_ZSTD = 5.0, 0.4
_NIGHT_S, _NIGHT_MB = 300.0, 1000.0
_MAGIC_BYTES, _CHUNK, _CHUNK_HEAD = 8, 0x06, struct.Struct("<QQQII")


@dataclass(frozen=True)
class _Night:
    """Bags, and how much is in them."""

    bags: tuple[Path, ...]
    file_bytes: int
    message_bytes: int
    steps: int

    def part(self, count: int) -> _Night:
        """The first so many."""
        share = count / len(self.bags)
        bags = self.bags[:count]
        file_bytes = sum(_file(bag).stat().st_size for bag in bags)
        return _Night(
            bags, file_bytes, round(self.message_bytes * share), round(self.steps * share)
        )


def run(options: Options) -> Result:
    """Measure."""
    count = options.trajectories
    with tempfile.TemporaryDirectory(prefix="dexndm_convert_") as place:
        folder = Path(place)
        night = _make(folder / "bags", count, options)
        rows, rates = _one_core(night, min(_SAMPLE, count), folder)
        whole, checks = _all_cores(night, folder, options)
    rosbags, zstd, own = rates["rosbags"], rates["zstd"], rates["convert"]
    return Result(
        title=f"{count} trajectories with states at {_STATE_HZ:g} Hz: {night.file_bytes / 1e9:.2f} GB of bags, "
        f"{night.message_bytes / 1e9:.2f} GB of messages",
        columns=("program", "bags", "cores", "wall s", "CPU s", "files MB/s", "messages MB/s", "steps/s", "peak MB"),
        rows=rows + whole,
        checks=[
            Check("of convert, one core, to rosbags", own / rosbags, _TIMES_ROSBAGS, at_most=False),
            Check("of convert, one core, to bare decompression", own / zstd, _SHARE_OF_ZSTD, at_most=False),
            *checks,
        ],
        notes=[
            "rosbags: AnyReader, every message deserialised; zstd: chunks decompressed, no checksum, nothing read",
            "convert on one core is measured on the CPU time of all its processes, less what no bags cost",
            "peak: resident memory of all processes together, shared pages counted in each, every 50 ms",
        ],
        settings={"trajectories": count, "state_hz": _STATE_HZ, "sample": _SAMPLE, "rounds": _ROUNDS,
                  "seed": options.seed},
    )  # fmt: skip


def _make(folder: Path, count: int, options: Options) -> _Night:
    """Write the bags, by all cores."""
    config = NightConfig(trajectories=count, state_hz=_STATE_HZ, seed=options.seed)
    with ProcessPoolExecutor(options.threads) as pool:
        bags = tuple(pool.map(partial(_bag, folder, config), range(count), chunksize=4))
    # All bags of a night are alike: messages are counted in the first ones.
    sample = bags[: min(8, count)]
    messages = sum(_message_bytes(bag) for bag in sample) * count // len(sample)
    return _Night(
        bags, sum(_file(bag).stat().st_size for bag in bags), messages, count * config.steps
    )


def _bag(folder: Path, config: NightConfig, entry: int) -> Path:
    return write_bag(folder, config, entry).path


def _one_core(
    night: _Night, count: int, folder: Path
) -> tuple[list[Sequence[object]], dict[str, float]]:
    """What each program makes of some bags, a second and core: table rows, and steps a second."""
    some = night.part(count)
    programs: dict[str, Callable[[Path], object]] = {
        "rosbags": _deserialise,
        "zstd": _decompress,
        "convert_bag": partial(convert_bag, config=ConvertConfig()),
    }
    names = {
        "rosbags": "rosbags, every message",
        "zstd": "bare zstd",
        "convert_bag": "convert_bag alone",
    }
    rows, rates = [], {}
    for name, program in programs.items():
        for bag in some.bags[:2]:
            program(bag)
        best = min(
            (_timed(program, some.bags) for _ in range(_ROUNDS)), key=lambda used: used.wall_s
        )
        rows.append(_row(names[name], some, 1, best))
        rates[name] = some.steps / best.wall_s
    every = _convert(night, folder, 1)
    empty = _convert(night.part(1), folder, 1)
    rows.append(_row("dexndm convert --jobs 1", night, 1, every))
    fixed_s = empty.cpu_s - 1 / rates["convert_bag"] * some.steps / len(some.bags)
    rates["convert"] = night.steps / max(every.cpu_s - max(fixed_s, 0.0), 1e-9)
    return rows, rates


def _all_cores(
    night: _Night, folder: Path, options: Options
) -> tuple[list[Sequence[object]], list[Check]]:
    """A tenth of the night, and the night."""
    part = night.part(max(1, len(night.bags) // _PART))
    rows: list[Sequence[object]] = []
    found = []
    for each in (part, night):
        used = _convert(each, folder, options.threads)
        found.append(used)
        rows.append(_row("dexndm convert", each, options.threads, used))
    small, large = found
    times = len(night.bags) / len(part.bags)
    checks = [
        Check(f"s for {len(night.bags)} trajectories, {options.threads} cores", large.wall_s,
              _NIGHT_S * len(night.bags) / _NIGHT),
        Check("MB of memory, all processes", large.peak_mb, _NIGHT_MB),
        Check(f"of its time to that of 1/{times:g} of it", large.wall_s / small.wall_s, 1.1 * times),
        Check(f"of its memory to that of 1/{times:g} of it", large.peak_mb / small.peak_mb, 1.25),
    ]  # fmt: skip
    return rows, checks


def _convert(night: _Night, folder: Path, jobs: int) -> Used:
    """``dexndm convert`` as a person runs it."""
    dataset, listed = folder / "dataset", folder / "some"
    shutil.rmtree(dataset, ignore_errors=True)
    shutil.rmtree(listed, ignore_errors=True)
    listed.mkdir()
    for bag in night.bags:
        (listed / bag.name).symlink_to(bag)
    return run_measured(
        ["convert", str(listed), "--out", str(dataset), "--jobs", str(jobs)], allowed=(0, 1)
    )


def _row(name: str, night: _Night, cores: int, used: Used) -> Sequence[object]:
    wall_s = used.wall_s
    return (
        name, len(night.bags), cores, wall_s, used.cpu_s, night.file_bytes / wall_s / 1e6,
        night.message_bytes / wall_s / 1e6, night.steps / wall_s, used.peak_mb,
    )  # fmt: skip


def _timed(program: Callable[[Path], object], bags: Sequence[Path]) -> Used:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for bag in bags:
        program(bag)
    return Used(time.perf_counter() - wall_s, time.process_time() - cpu_s, float("nan"))


def _file(bag: Path) -> Path:
    return next(bag.glob("*.mcap"))


def _message_bytes(bag: Path) -> int:
    """Of CDR, without the records around it."""
    with AnyReader([bag]) as reader:
        return sum(len(data) for _, _, data in reader.messages())


def _deserialise(bag: Path) -> int:
    count = 0
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            count += 1
    return count


def _decompress(bag: Path) -> int:
    """The chunks of a file, one after the other."""
    data = memoryview(_file(bag).read_bytes())
    unzip = zstandard.ZstdDecompressor()
    at, size = _MAGIC_BYTES, 0
    while at + 9 <= len(data):
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        if opcode == _CHUNK:
            head = at + 9
            _, _, whole, _, name = _CHUNK_HEAD.unpack_from(data, head)
            body = head + _CHUNK_HEAD.size + name
            packed = int.from_bytes(data[body : body + 8], "little")
            size += len(unzip.decompress(data[body + 8 : body + 8 + packed], max_output_size=whole))
        at += 9 + length
    return size
