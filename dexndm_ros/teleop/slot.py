# SPDX-License-Identifier: Apache-2.0
"""The newest sample, handed from a source's thread to whoever asks."""

from __future__ import annotations

import threading
from dataclasses import replace

from dexndm_ros.teleop.sample import Sample

__all__ = ["Slot"]


class Slot:
    """Holds one sample. What a sample that nobody took warned of, the next one warns of too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sample: Sample | None = None
        self._taken = True

    def put(self, sample: Sample) -> None:
        """Replace the sample."""
        with self._lock:
            before = self._sample
            if before is not None and not self._taken:
                sample = replace(
                    sample,
                    recentred=sample.recentred or before.recentred,
                    visible=sample.visible and before.visible,
                )
            self._sample = sample
            self._taken = False

    def take(self) -> Sample | None:
        """The newest sample, the same one again while no newer came; None before the first."""
        with self._lock:
            self._taken = True
            return self._sample
