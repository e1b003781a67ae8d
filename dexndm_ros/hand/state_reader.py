# SPDX-License-Identifier: Apache-2.0
"""Reads the state of all motors in one cycle, whatever single motors do.

One fast sync read brings everybody's state in one packet, but it ends at the first motor that does not
answer. What is missing then is asked for again in the same cycle by a plain sync read, with the motor under
suspicion last, so that nobody waits for it in vain. A motor that stays silent is dropped from the list and
asked again now and then, at the list's end, where its silence costs the others nothing but a short wait.

Retries use another instruction than the first attempt on purpose: a late reply to the first attempt cannot
be taken for an answer to the retry, and by the next cycle it has gone by.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.sdk_port import HandPortHandler
from dexndm_ros.hand.wire import (
    FastReply,
    fast_reply_length,
    fast_sync_read_packet,
    parse_fast_reply,
    sync_read_packet,
    take_status,
)

__all__ = ["ReadCycle", "StateReader", "StateReaderConfig"]

_STATUS_OVERHEAD = 11  # bytes of a status packet around its data
_PLAIN_ONLY_AFTER = 20
# A list is reordered for a motor's second silence in a row only: lost replies must not shuffle it for ever.
_SUSPECT_AFTER = 2


@dataclass(frozen=True)
class StateReaderConfig:
    """How patient a cycle is.

    Attributes:
        address: first register of the window that is read.
        length: bytes of the window.
        gap_s: silence in the middle of a reply that ends it (on top of the adapter's latency).
        retries: times that missing motors are asked again within the cycle.
        drop_after: cycles of silence after which a motor is not asked in every cycle any more.
        probe_period_s: how often a dropped motor is asked again.
        fast: use fast sync read; False for firmware below 46.
    """

    address: int
    length: int
    gap_s: float
    retries: int
    drop_after: int
    probe_period_s: float
    fast: bool


@dataclass(frozen=True, slots=True)
class ReadCycle:
    """One cycle's harvest, in the order of the motors given to the reader.

    Attributes:
        sent_ns: monotonic time of the first request.
        received_ns: monotonic time of the last byte used.
        data: uint8, shape (motors, length); rows without a verified reply are zero.
        error: error bytes, shape (motors,); bit 7 = alert.
        valid: which rows are from this cycle, shape (motors,).
        complete: all of them are.
        retries: requests sent beyond the first.
    """

    sent_ns: int
    received_ns: int
    data: NDArray[np.uint8]
    error: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    complete: bool
    retries: int


@dataclass(slots=True)
class _Harvest:
    """What a cycle has brought so far; see `ReadCycle`."""

    data: NDArray[np.uint8]
    error: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    @classmethod
    def empty(cls, count: int, length: int) -> _Harvest:
        return cls(
            np.zeros((count, length), dtype=np.uint8),
            np.zeros(count, dtype=np.uint8),
            np.zeros(count, dtype=bool),
        )

    def take(self, rows: list[int], records: NDArray[np.void]) -> None:
        self.data[rows] = records["data"]
        self.error[rows] = records["error"]
        self.valid[rows] = True


class StateReader:
    """Asks the motors for their state, cycle by cycle.

    Args:
        port: open port; one transaction at a time is the caller's care.
        motor_ids: motors wanted.
        config: window and patience.

    Attributes:
        lost: cycles without a verified reply, by motor.
        fast: whether fast sync read is (still) used.
    """

    def __init__(
        self, port: HandPortHandler, motor_ids: tuple[int, ...], config: StateReaderConfig
    ) -> None:
        self._port = port
        self._config = config
        self._ids = motor_ids
        self._row = {motor_id: k for k, motor_id in enumerate(motor_ids)}
        self.lost = np.zeros(len(motor_ids), dtype=np.uint64)
        self.fast = config.fast
        self._order = motor_ids
        self._streak = dict.fromkeys(motor_ids, 0)
        self._plain_only: tuple[int | None, int] = (None, 0)
        self._dropped: list[int] = []
        self._next_probe_s = 0.0
        self._settled = True
        self._arrange()

    @property
    def dropped(self) -> tuple[int, ...]:
        """Motors that are not asked in every cycle because they stay silent."""
        return tuple(self._dropped)

    def cycle(self) -> ReadCycle:
        """Ask everybody once, and those that are missing again.

        Raises:
            OSError: the port has gone.
        """
        asked = self._asked()
        sent_ns = time.monotonic_ns()
        reply = self._fast_reply(asked) if self.fast else None
        if reply is not None and reply.complete and asked is self._active and self._settled:
            # The everyday case is on the critical path of the control cycle: no bookkeeping.
            return self._everyday(sent_ns, reply)
        harvest = _Harvest.empty(len(self._ids), self._config.length)
        if reply is None:
            self._plain(asked, harvest)
        else:
            harvest.take([self._row[asked[slot]] for slot in reply.slots], reply.records)
        first_missing, used = self._ask_again(asked, harvest)
        received_ns = time.monotonic_ns()
        if self.fast:
            self._consider_plain(first_missing, harvest.valid)
        self._account(harvest.valid)
        complete = bool(harvest.valid.all())
        return ReadCycle(
            sent_ns, received_ns, harvest.data, harvest.error, harvest.valid, complete, used
        )

    def _everyday(self, sent_ns: int, reply: FastReply) -> ReadCycle:
        """Everybody asked has answered, and nobody was in doubt."""
        received_ns = time.monotonic_ns()
        data, error = reply.records["data"], reply.records["error"]
        if not self._in_order:
            harvest = _Harvest.empty(len(self._ids), self._config.length)
            harvest.take(self._active_rows, reply.records)
            data, error = harvest.data, harvest.error
        if self._dropped:
            self.lost += ~self._active_valid
        return ReadCycle(
            sent_ns, received_ns, data, error, self._active_valid, not self._dropped, 0
        )

    def _ask_again(self, asked: tuple[int, ...], harvest: _Harvest) -> tuple[int | None, int]:
        """Retries; returns the first motor that was missing (or None) and the requests used."""
        missing = [k for k in asked if not harvest.valid[self._row[k]]]
        first_missing = missing[0] if missing else None
        used = 0
        while used < self._config.retries:
            again = [k for k in missing if k not in self._dropped]
            if not again or (used and not harvest.valid.any()):
                break
            used += 1
            again.append(again.pop(0))  # the suspect last
            self._plain(tuple(again), harvest)
            missing = [k for k in again if not harvest.valid[self._row[k]]]
        return first_missing, used

    # --- whom to ask ---

    def _asked(self) -> tuple[int, ...]:
        """The list of this cycle: everybody but the dropped, one of whom has a turn now and then."""
        if not self._dropped:
            return self._active
        now = time.monotonic()
        if now < self._next_probe_s:
            return self._active
        self._next_probe_s = now + self._config.probe_period_s
        probed = self._dropped.pop(0)
        self._dropped.append(probed)
        return (*self._active, probed)

    def _arrange(self) -> None:
        """Work out what follows from order, dropped motors and streaks."""
        self._active = tuple(k for k in self._order if k not in self._dropped)
        self._in_order = self._active == self._ids
        self._active_rows = [self._row[k] for k in self._active]
        self._active_valid = np.zeros(len(self._ids), dtype=bool)
        self._active_valid[self._active_rows] = True
        self._active_valid.setflags(write=False)

    def _account(self, valid: NDArray[np.bool_]) -> None:
        self.lost += ~valid
        if not valid.any():
            return  # the cable, the power or a stall of this machine: no single motor's fault
        for motor_id, row in self._row.items():
            if valid[row]:
                self._streak[motor_id] = 0
                if motor_id in self._dropped:
                    self._dropped.remove(motor_id)
                    self._next_probe_s = 0.0  # where one is back, others may be: ask at once
                continue
            self._streak[motor_id] += 1
            if motor_id in self._dropped:
                continue
            if self._streak[motor_id] >= self._config.drop_after:
                self._dropped.append(motor_id)
                self._next_probe_s = time.monotonic() + self._config.probe_period_s
            elif self._streak[motor_id] == _SUSPECT_AFTER:
                self._order = (*(k for k in self._order if k != motor_id), motor_id)
        self._arrange()
        in_doubt = any(self._streak[k] for k in self._active) or self._plain_only[1] > 0
        self._settled = not in_doubt

    def _consider_plain(self, suspect: int | None, valid: NDArray[np.bool_]) -> None:
        """Give fast reads up when one motor keeps answering plain ones only (old firmware)."""
        if suspect is None or not valid[self._row[suspect]]:
            self._plain_only = (None, 0)
            return
        known, count = self._plain_only
        self._plain_only = (suspect, count + 1 if suspect == known else 1)
        self.fast = self._plain_only[1] < _PLAIN_ONLY_AFTER

    # --- asking ---

    def _fast_reply(self, asked: tuple[int, ...]) -> FastReply:
        config, port = self._config, self._port
        expected = fast_reply_length(config.length, len(asked))
        buffer = self._send(fast_sync_read_packet(config.address, config.length, asked))
        deadline = end = time.monotonic() + port.reply_time_s(expected)
        while True:
            received = port.wait_bytes(deadline - time.monotonic())
            buffer += received
            if len(buffer) >= expected or not received:
                reply = parse_fast_reply(buffer, asked, config.length)
                if reply.complete or not received:
                    return reply
            deadline = min(end + self._gap_s(), time.monotonic() + self._gap_s())

    def _plain(self, asked: tuple[int, ...], harvest: _Harvest) -> None:
        config, port = self._config, self._port
        waiting = set(asked)
        buffer = self._send(sync_read_packet(config.address, config.length, asked))
        reply_bytes = len(asked) * (config.length + _STATUS_OVERHEAD)
        deadline = time.monotonic() + port.reply_time_s(reply_bytes)
        end = deadline + len(asked) * self._gap_s()
        while waiting:
            received = port.wait_bytes(deadline - time.monotonic())
            if not received:
                return
            buffer += received
            while (status := take_status(buffer)) is not None:
                # An error status (a window the motor does not have) carries no data.
                if status.motor_id in waiting and len(status.data) == config.length:
                    row = self._row[status.motor_id]
                    harvest.data[row] = np.frombuffer(status.data, dtype=np.uint8)
                    harvest.error[row] = status.error
                    harvest.valid[row] = True
                    waiting.discard(status.motor_id)
            deadline = min(end, time.monotonic() + self._gap_s())

    def _send(self, packet: bytes) -> bytearray:
        self._port.clearPort()
        self._port.writePort(packet)
        return self._port.received

    def _gap_s(self) -> float:
        return self._config.gap_s + self._port.latency_s
