# SPDX-License-Identifier: Apache-2.0
"""Errors of the hand: each says what was found, what was expected and what mends it."""

from __future__ import annotations

from collections.abc import Iterable

from dexndm_ros.hand.control_table import HARDWARE_ERROR_BITS, STATUS_ERRORS

__all__ = [
    "GuardRefusedError",
    "HandBusError",
    "HandError",
    "MotorHardwareError",
    "MotorMissingError",
    "NoReplyError",
    "PortBusyError",
    "PortLostError",
    "PortMissingError",
    "PortPermissionError",
    "StatusError",
    "VerifyError",
    "WrongModelError",
    "ZeroPositionError",
    "hardware_error_text",
]


def hardware_error_text(bits: int) -> str:
    """Words for the bits of Hardware Error Status (70), e.g. ``"overheating, overload"``."""
    names = [HARDWARE_ERROR_BITS.get(bit, f"bit {bit}") for bit in range(8) if bits >> bit & 1]
    return ", ".join(names) or "none"


def _ids(motor_ids: Iterable[int]) -> str:
    ids = list(motor_ids)
    return f"motor{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


class HandError(Exception):
    """Base of every error that the hand's code raises on purpose."""


class HandBusError(HandError):
    """Anything wrong between this program and the motors."""


class PortMissingError(HandBusError):
    """The port does not exist."""

    def __init__(self, port: str) -> None:
        super().__init__(
            f"port {port} does not exist: plug the U2D2 in and switch the hand's power on; "
            "`ls -l /dev/serial/by-id/` lists the adapters that are there"
        )


class PortBusyError(HandBusError):
    """Another process has the port."""

    def __init__(self, port: str, users: Iterable[str] = ()) -> None:
        who = ", ".join(users) or f"another process (`fuser -v {port}` may name it)"
        super().__init__(
            f"port {port} is in use by {who}: stop it first; two programs cannot share one bus"
        )


class PortPermissionError(HandBusError):
    """The port exists but this user may not open it."""

    def __init__(self, port: str) -> None:
        super().__init__(
            f"no permission to open {port}: run `sudo usermod -aG dialout $USER` and log in again"
        )


class PortLostError(HandBusError):
    """The port failed while open: cable or adapter unplugged, or the far end has gone."""

    def __init__(self, port: str, cause: object) -> None:
        super().__init__(
            f"port {port} failed while in use ({cause}): check the USB cable and the hand's power, "
            "then open the bus again"
        )


class NoReplyError(HandBusError):
    """A motor did not answer an instruction."""

    def __init__(self, motor_id: int, what: str) -> None:
        self.motor_id = motor_id
        super().__init__(
            f"motor {motor_id} did not answer {what}: check its cable and the hand's power, "
            "and that its ID and baud rate are right (`dexndm doctor`)"
        )


class StatusError(HandBusError):
    """A motor answered with an error in its status packet."""

    def __init__(self, motor_id: int, what: str, error: int) -> None:
        self.motor_id = motor_id
        self.error = error & 0x7F
        super().__init__(
            f"motor {motor_id} refused {what}: "
            f"{STATUS_ERRORS.get(self.error, f'unknown status error {self.error}')}"
        )


class MotorMissingError(HandBusError):
    """Motors that the hand needs do not answer a ping."""

    def __init__(self, missing: Iterable[int], found: Iterable[int], port: str, baud: int) -> None:
        self.missing = tuple(missing)
        answering = _ids(found) if (found := list(found)) else "none"
        super().__init__(
            f"{_ids(self.missing)} did not answer on {port} at {baud} baud (answering: {answering}); "
            "check power, the daisy chain before the first missing motor, and IDs and baud rate "
            "with `dexndm doctor`"
        )


class WrongModelError(HandBusError):
    """A motor is of a model that the profile does not drive."""

    def __init__(self, wrong: dict[int, int], expected: int, profile: str) -> None:
        self.wrong = dict(wrong)
        found = ", ".join(f"motor {k}: model {model}" for k, model in wrong.items())
        super().__init__(
            f"{found}; profile '{profile}' drives model {expected} only. Use profile 'full' for "
            "XC330-M288 (1240) or 'lite' for XL330-M288 (1200), or replace the motor. "
            "The torque stays off."
        )


class VerifyError(HandBusError):
    """A register does not read back as it was written."""

    def __init__(self, motor_id: int, register: str, found: int, expected: int) -> None:
        self.motor_id = motor_id
        super().__init__(
            f"motor {motor_id}: {register} reads {found} after {expected} was written; "
            "the torque stays off. Power-cycle the hand and run `dexndm doctor`"
        )


class MotorHardwareError(HandBusError):
    """A motor reports a hardware error and has shut down."""

    def __init__(self, errors: dict[int, int]) -> None:
        self.errors = dict(errors)
        found = "; ".join(f"motor {k}: {hardware_error_text(bits)}" for k, bits in errors.items())
        super().__init__(
            f"hardware error ({found}): let it cool, free what blocks it and check the 5 V supply, "
            "then call hand/recover (it reboots the motor and restores its settings)"
        )


class ZeroPositionError(HandBusError):
    """A joint stands where a correctly mounted hand cannot stand."""

    def __init__(self, details: Iterable[str]) -> None:
        super().__init__(
            f"implausible joint angles: {'; '.join(details)}. The torque stays off: "
            "move the joint into its range by hand, or remount the horn (flat open hand = 180 deg "
            "of the motor, tick 2048)"
        )


class GuardRefusedError(HandError):
    """The guard refused to enable or to recover; the message says why."""
