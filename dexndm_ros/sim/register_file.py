# SPDX-License-Identifier: Apache-2.0
"""The bytes of one servo's control table: plain access, and what a read or a write window may cover."""

from __future__ import annotations

import struct
from functools import lru_cache

from dexndm_ros.hand.control_table import (
    INDIRECT_DATA_START,
    INDIRECT_SLOTS,
    REGISTERS,
    TABLE_SIZE,
    Register,
)
from dexndm_ros.sim.protocol2 import StatusError

__all__ = ["LIVE_END", "LIVE_START", "RegisterFile"]

LIVE_START = REGISTERS["realtime_tick"].address
LIVE_END = REGISTERS["backup_ready"].end
"""Addresses 120..147 are the live block: measured values, replaced as a whole at each physics step."""

_POSITION_IN_LIVE = REGISTERS["present_position"].address - LIVE_START
_STARTS = {register.address: register for register in REGISTERS.values()}
_DEFINED = frozenset(a for r in REGISTERS.values() for a in range(r.address, r.end))


@lru_cache(maxsize=512)
def _registers_of(address: int, length: int) -> tuple[Register, ...] | StatusError:
    """The registers a write covers exactly, or the error it deserves."""
    found: list[Register] = []
    end = address + length
    while address < end:
        register = _STARTS.get(address)
        if register is None:
            return StatusError.DATA_LENGTH if address in _DEFINED else StatusError.ACCESS
        if register.end > end:
            return StatusError.DATA_LENGTH
        found.append(register)
        address = register.end
    return tuple(found) if found else StatusError.DATA_LENGTH


@lru_cache(maxsize=512)
def _read_error(address: int, length: int) -> StatusError:
    if length < 1:
        return StatusError.DATA_LENGTH
    window = range(address, address + length)
    if address + length > TABLE_SIZE or _DEFINED.isdisjoint(window):
        return StatusError.ACCESS
    return StatusError.NONE


class RegisterFile:
    """Storage of one control table. Holds no rules but those of addresses and lengths."""

    def __init__(self) -> None:
        self._table = bytearray(TABLE_SIZE)
        self.live = bytes(LIVE_END - LIVE_START)
        """The live block; whoever measures replaces it as a whole."""

    def get(self, name: str) -> int:
        """Value of a register, signed where it is."""
        register = REGISTERS[name]
        data: bytes | bytearray = self._table
        start = register.address
        if start >= LIVE_START and register.end <= LIVE_END:
            data, start = self.live, start - LIVE_START
        return int.from_bytes(data[start : start + register.size], "little", signed=register.signed)

    def set(self, name: str, value: int) -> None:
        """Store a register's value without any check or effect (what the firmware itself does)."""
        register = REGISTERS[name]
        self._table[register.address : register.end] = value.to_bytes(
            register.size, "little", signed=register.signed
        )

    def set_present_position(self, tick: int) -> None:
        """Patch the present position of the live block until the next one is published."""
        live = bytearray(self.live)
        struct.pack_into("<i", live, _POSITION_IN_LIVE, tick)
        self.live = bytes(live)

    def read(self, address: int, length: int) -> tuple[StatusError, bytes]:
        """Bytes of a window of the table.

        The window may cover undefined addresses between registers, which read 0, but not only those.
        """
        if address >= LIVE_START and address + length <= LIVE_END and length > 0:
            return StatusError.NONE, self.live[address - LIVE_START : address - LIVE_START + length]
        error = _read_error(address, length)
        if error:
            return error, b""
        image = bytearray(self._table)
        image[LIVE_START:LIVE_END] = self.live
        if address + length > INDIRECT_DATA_START:
            for slot in range(INDIRECT_SLOTS):
                image[INDIRECT_DATA_START + slot] = image[self._indirect_target(slot)]
        return StatusError.NONE, bytes(image[address : address + length])

    def parse_write(self, address: int, data: bytes) -> list[tuple[Register, int]] | StatusError:
        """The registers and values that a write means, indirect data followed to its targets."""
        direct = address + len(data) <= INDIRECT_DATA_START
        writes: list[tuple[Register, int]] = []
        for start, run in [(address, data)] if direct else self._redirected(address, data):
            registers = _registers_of(start, len(run))
            if isinstance(registers, StatusError):
                return registers
            for register in registers:
                at = register.address - start
                raw = run[at : at + register.size]
                writes.append((register, int.from_bytes(raw, "little", signed=register.signed)))
        return writes or StatusError.DATA_LENGTH

    def _indirect_target(self, slot: int) -> int:
        return self.get(f"indirect_address_{slot + 1}")

    def _redirected(self, address: int, data: bytes) -> list[tuple[int, bytes]]:
        """Split a write that touches indirect data into contiguous runs of target addresses."""
        targets: dict[int, int] = {}
        for address_now, byte in enumerate(data, address):
            slot = address_now - INDIRECT_DATA_START
            target = self._indirect_target(slot) if 0 <= slot < INDIRECT_SLOTS else address_now
            targets[target] = byte
        runs: list[tuple[int, bytearray]] = []
        for target in sorted(targets):
            if not runs or target != runs[-1][0] + len(runs[-1][1]):
                runs.append((target, bytearray()))
            runs[-1][1].append(targets[target])
        return [(start, bytes(run)) for start, run in runs]
