# SPDX-License-Identifier: Apache-2.0
"""The page in the headset as a source of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from dexndm_ros.teleop.sample import Sample, Side
from dexndm_ros.teleop.slot import Slot
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.messages import Frame
from dexndm_ros.teleop.web.server import TeleopServer
from dexndm_ros.teleop.web.status import Status

__all__ = ["WebXrSource"]


class WebXrSource:
    """Frames of the one headset that drives, as samples.

    While nobody drives there is no sample: what came from a headset that is gone is forgotten at once. The first
    sample of whoever begins to drive counts as recentred, so that no hold outlives a connection.

    Args:
        config: of the server.
        status: the words that the page shows; called in another thread, must not block.
        codes: told each new pairing code, likewise; None = no headset is paired by a code.
    """

    def __init__(
        self,
        config: WebConfig,
        status: Callable[[], Status],
        codes: Callable[[str], None] | None = None,
    ) -> None:
        self.server = TeleopServer(config, self._take, self._forget, status, codes)
        self._slot = Slot()
        self._origin: int | None = None  # of the frame before; None = nobody drove

    def start(self) -> None:
        """Serve the page; returns at once.

        Raises:
            WebError: the port cannot be had.
        """
        self.server.start()

    def stop(self) -> None:
        """End; may be called twice."""
        self.server.stop()

    def latest(self) -> Sample | None:
        """The newest sample; the same again while no newer came; None while nobody drives."""
        return self._slot.take()

    def counts(self) -> Mapping[str, int]:
        """Frames that were taken ("accepted"), and what was refused by reason."""
        return {"accepted": 0, **self.server.counts()}

    def pulse(self, hand: Side, strength: float, ms: float) -> None:
        """Shake a controller."""
        self.server.pulse(hand, strength, ms)

    def _take(self, frame: Frame, arrived_s: float) -> None:
        delay_s = arrived_s - frame.captured_s - self.server.offset_s
        sample = _sample(frame, arrived_s, recentred=frame.origin != self._origin)
        self._slot.put(replace(sample, delay_s=None if math.isnan(delay_s) else delay_s))
        self._origin = frame.origin

    def _forget(self) -> None:
        self._slot, self._origin = Slot(), None


def _sample(frame: Frame, arrived_s: float, recentred: bool) -> Sample:
    return Sample(
        seq=frame.seq,
        captured_s=frame.captured_s,
        arrived_s=arrived_s,
        source="webxr",
        visible=frame.visible,
        recentred=recentred,
        right=frame.right,
        left=frame.left,
        head=frame.head,
    )
