# SPDX-License-Identifier: Apache-2.0
"""rosbag2's own compression: whole files, or every message by itself (zstd)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import zstandard

from dexndm_ros.bags.types import BagError, Damage, RawBatch

__all__ = ["decompress_file", "inflate"]

_BLOCK_BYTES = 1024 * 1024
_MAX_MESSAGE_BYTES = 1 << 30
_MAGIC = b"\x28\xb5\x2f\xfd"

Report = Callable[[Damage], None]


def decompress_file(path: Path, report: Report) -> tuple[Path, object]:
    """Write a ``.zstd`` file's content into a temporary folder, as far as it is whole.

    Returns:
        Where it is, and an object with which it goes.

    Raises:
        BagError: there is no room for it.
        OSError: it cannot be read.
    """
    keep = tempfile.TemporaryDirectory(prefix="dexndm_bag_")
    plain = Path(keep.name) / path.name.removesuffix(".zstd")
    reason, between = "", True
    with path.open("rb") as packed:
        try:
            with plain.open("wb") as out:
                decoder = zstandard.ZstdDecompressor().decompressobj()
                while block := packed.read(_BLOCK_BYTES):
                    while block:
                        out.write(decoder.decompress(block))
                        block, between = decoder.unused_data, decoder.eof
                        if between:
                            decoder = zstandard.ZstdDecompressor().decompressobj()
        except zstandard.ZstdError as error:
            reason = f"its compression is damaged ({error})"
        except OSError as error:
            raise BagError(
                f"{path.name} cannot be decompressed in {tempfile.gettempdir()}: {error.strerror}; "
                "make room, or set TMPDIR to a folder that has some"
            ) from error
        left = path.stat().st_size - packed.tell()
    if not reason and not between:
        reason = "it ends before its end"
    if reason:
        size = plain.stat().st_size
        report(Damage(path.name, "compression", left, f"{reason}: its first {size} bytes are read"))
    return plain, keep


def inflate(found: Mapping[str, RawBatch], file: str, report: Report) -> dict[str, RawBatch]:
    """Messages that were compressed one by one, decompressed; a stretch without such messages as it is."""
    if not any(_packed(batch) for batch in found.values() if len(batch.begin)):
        return dict(found)
    order = sorted(
        (int(begin), topic, row)
        for topic, batch in found.items()
        for row, begin in enumerate(batch.begin.tolist())
    )
    decoder = zstandard.ZstdDecompressor()
    parts: list[bytes] = []
    begins = {topic: np.full(len(batch.begin), -1, np.int64) for topic, batch in found.items()}
    sizes = {topic: np.zeros(len(batch.begin), np.int64) for topic, batch in found.items()}
    at = wrong = lost = 0
    for _, topic, row in order:
        data = found[topic].data(row)
        if data[:4] == _MAGIC:
            try:
                data = decoder.decompress(data, max_output_size=_MAX_MESSAGE_BYTES)
            except (zstandard.ZstdError, MemoryError):
                wrong, lost = wrong + 1, lost + len(data)
                continue
        parts.append(data)
        begins[topic][row], sizes[topic][row] = at, len(data)
        at += len(data)
    if wrong:
        text = f"{wrong} messages whose own compression is damaged"
        report(Damage(file, "compression", lost, text))
    buffer = np.frombuffer(b"".join(parts), np.uint8)
    plain = {}
    for topic, batch in found.items():
        good = begins[topic] >= 0
        plain[topic] = RawBatch(
            topic, batch.type, batch.log_ns[good], batch.publish_ns[good], batch.sequence[good],
            begins[topic][good], sizes[topic][good], buffer,
        )  # fmt: skip
    return plain


def _packed(batch: RawBatch) -> bool:
    """Whether the first message begins as zstd does; CDR begins with 0."""
    begin, size = int(batch.begin[0]), int(batch.size[0])
    return size >= len(_MAGIC) and batch.buffer[begin : begin + len(_MAGIC)].tobytes() == _MAGIC
