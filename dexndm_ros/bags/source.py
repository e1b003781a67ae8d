# SPDX-License-Identifier: Apache-2.0
"""Bytes of a storage file: the whole of a small one, a moving window of a large one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SMALL_BYTES", "Source"]

SMALL_BYTES = 64 * 1024 * 1024
"""A file up to this size is read in one go."""
_WINDOW_BYTES = 8 * 1024 * 1024
_PEEK_BYTES = 64 * 1024


class Source:
    """Random reads that are cheap when they go forward.

    ``view`` holds the bytes from ``base`` on; :meth:`need` moves it. Views taken earlier stay valid. No file is kept
    open between two reads.

    Args:
        path: of the file.
        peek: only its two ends will be read.
        keep: an object that must live as long as the file is needed (a temporary folder).

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, peek: bool = False, keep: object = None) -> None:
        self.path, self._keep = path, keep
        self.size = path.stat().st_size
        self.base = 0
        self.view = memoryview(b"")
        self._window = _PEEK_BYTES if peek else _WINDOW_BYTES
        if self.size <= SMALL_BYTES and not peek:
            self.need(0, self.size)

    @property
    def whole(self) -> bool:
        """Whether all of the file lies in ``view``."""
        return self.base == 0 and len(self.view) == self.size

    def need(self, begin: int, end: int) -> None:
        """Make ``view`` cover these bytes, as far as the file has them."""
        end = min(end, self.size)
        if begin >= self.base and end <= self.base + len(self.view):
            return
        length = max(end - begin, min(self._window, self.size - begin))
        parts: list[bytes] = []
        left = length
        with self.path.open("rb", buffering=0) as file:
            file.seek(begin)
            while left:
                part = file.read(left)
                if not part:
                    self.size = begin + length - left  # the file became shorter while it was read
                    break
                parts.append(part)
                left -= len(part)
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        self.base, self.view = begin, memoryview(block)

    def at(self, begin: int, length: int) -> memoryview:
        """Bytes from an offset on; fewer at the end of the file, none behind it."""
        start = begin - self.base
        if start >= 0 and start + length <= len(self.view):
            return self.view[start : start + length]
        self.need(begin, begin + length)
        return self.view[max(0, begin - self.base) : max(0, begin - self.base + length)]
