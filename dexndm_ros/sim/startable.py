# SPDX-License-Identifier: Apache-2.0
"""What has threads or processes of its own: it starts with a ``with`` block and ends with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Startable"]


class Startable(ABC):
    """Starts once, closes for good; a context manager does both."""

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and give back what was taken."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
