# SPDX-License-Identifier: Apache-2.0
"""The driver's loop without ROS: commands in, one bus cycle, a state out, faults told.

One thread, the *bus thread*, calls `DriverCore.cycle`; while the loop runs, it alone talks to bus and
guard. Other threads leave something behind (a command, a request) or look at a report.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from dexndm_ros.hand.bus import BusReading, DynamixelBus
from dexndm_ros.hand.cycle_times import CycleTimes
from dexndm_ros.hand.driver_types import Cycle, DriverConfig, DriverReport, Request
from dexndm_ros.hand.errors import GuardRefusedError, HandBusError, HandError, PortLostError
from dexndm_ros.hand.guard import Guard, GuardOutput, Mode
from dexndm_ros.hand.health import HealthMonitor
from dexndm_ros.hand.profile import HandProfile
from dexndm_ros.hand.startup import recover, torque_off, torque_on

__all__ = ["DriverCore"]

_OFF_RETRY_S = 0.2
_REOPEN_S = 2.0
"""How often a lost port is tried again."""
_ENABLE_PATIENCE_S = 1.0
_REST_RAD_S = 0.2
"""Slower than this a limp finger counts as lying still; the pose to hold is then the one just read."""
_MAX_WAITING_COMMANDS = 64


class DriverCore:
    """The loop's body and its state.

    Args:
        bus: open and brought up; the core neither closes nor forgets it.
        profile: settings to restore at a recovery.
        config: limits and rates.
        publish: called in the bus thread with each complete cycle.
        fault: the hand starts in FAULT, for this reason; empty = it starts relaxed.
    """

    def __init__(
        self,
        bus: DynamixelBus,
        profile: HandProfile,
        config: DriverConfig,
        publish: Callable[[Cycle], None],
        fault: str = "",
    ) -> None:
        self._bus = bus
        self._profile = profile
        self._config = config
        self._publish = publish
        self._guard = Guard(config.guard)
        self._monitor = HealthMonitor(bus, config.limits)
        self._commands: deque[tuple[Sequence[float], int, str, float]] = deque(
            maxlen=_MAX_WAITING_COMMANDS
        )
        self._requests: deque[Request] = deque()
        self._seq = 0
        self._reading: BusReading | None = None
        self._output = GuardOutput(Mode.RELAXED, None)
        self._torque = False
        self._port_lost = False
        self._next_reopen_s = 0.0
        self._next_off_s = 0.0
        self._next_poll_s = 0.0
        self._polled_ns = 0
        self._command_s = -np.inf
        self._command_source = ""
        self._times = CycleTimes(time.monotonic_ns())
        if fault:
            self._guard.fault(fault)
        self._lost_base = -bus.lost_reads.astype(np.int64)

    # --- any thread ---------------------------------------------------------------------------

    def offer(self, position: Sequence[float], seq: int, source: str) -> None:
        """Leave a command for the next cycle."""
        self._commands.append((position, seq, source, time.monotonic()))

    def request(self, kind: str) -> Request:
        """Ask for ``enable``, ``relax`` or ``recover``."""
        request = Request(kind)
        self._requests.append(request)
        return request

    @property
    def output(self) -> GuardOutput:
        """What the guard said last: mode and reason."""
        return self._output

    def report(self) -> DriverReport:
        """How the hand is; starts the next interval of cycle times."""
        monitor, reading, output = self._monitor, self._reading, self._output
        count = len(self._bus.config.motor_ids)
        return DriverReport(
            polled_ns=self._polled_ns,
            mode=output.mode,
            reason=output.reason,
            temperature_c=monitor.temperature_c.copy(),
            voltage_v=monitor.voltage_v.copy(),
            hardware_error=monitor.hardware_error.copy(),
            responding=np.zeros(count, dtype=bool) if reading is None else reading.valid,
            lost_reads=self._lost_base + self._bus.lost_reads.astype(np.int64),
            cycles=self._times.take(time.monotonic_ns()),
            rejected=self._guard.rejected_commands,
            limited=self._guard.limited_commands,
            last_rejection=self._guard.last_rejection,
            command_age_s=time.monotonic() - self._command_s,
            command_source=self._command_source,
            warnings=tuple(monitor.warnings()),
        )

    # --- the bus thread -----------------------------------------------------------------------

    def cycle(self, end_ns: int) -> None:
        """Read, guard, write, publish; then poll one motor's slow state if there is time.

        Args:
            end_ns: monotonic time at which the next cycle begins.
        """
        begin_ns = time.monotonic_ns()
        self._seq += 1
        reading = self._read()
        now_s = time.monotonic()
        served = False
        while self._requests and self._serve(self._requests[0], reading, now_s):
            self._requests.popleft()
            served = True
        while self._commands:
            position, seq, source, arrived_s = self._commands.popleft()
            self._command_s, self._command_source = arrived_s, source
            self._guard.accept(position, seq, source, arrived_s)
        if reason := self._monitor.fault():
            self._guard.fault(reason)
        complete = reading is not None and reading.complete
        measured = reading.position_rad if reading is not None and complete else None
        before, self._output = self._output, self._guard.tick(measured, now_s)
        self._apply(self._output, now_s)
        # A request takes many cycles' time; the reading from before it is no news any more.
        if reading is not None and complete and not served:
            self._publish(self._cycle_of(reading, before))
        if reading is not None:
            self._times.record(time.monotonic_ns() - begin_ns)
            self._poll(reading, end_ns)

    def shut_down(self) -> str:
        """Torque off, in whatever state things are; for the end of the loop. Never raises.

        Returns:
            what could not be confirmed; empty = the torque is off.
        """
        for request in self._requests:
            request.finish(False, "the driver is shutting down")
        self._requests.clear()
        self._guard.relax()
        self._monitor.expect_torque(False)
        try:
            if self._port_lost:
                self._reopen()
            unconfirmed = torque_off(self._bus)
        except (HandError, OSError) as error:
            return f"the torque could not be switched off: {error}"
        self._torque = False
        if unconfirmed:
            return f"motors {list(unconfirmed)} did not confirm that their torque is off"
        return ""

    def _read(self) -> BusReading | None:
        try:
            if self._port_lost:
                if time.monotonic() < self._next_reopen_s:
                    return None
                self._reopen()
            reading = self._bus.read_state()
        except (HandBusError, OSError) as error:
            self._lose_port(error)
            return None
        self._reading = reading
        self._monitor.observe(reading, time.monotonic())
        return reading

    def _lose_port(self, error: Exception) -> None:
        self._port_lost = True
        self._next_reopen_s = time.monotonic() + _REOPEN_S
        self._reading = None
        self._guard.fault(f"{error}; after that call hand/recover")

    def _reopen(self) -> None:
        """Open a lost port again; the fault stays.

        A tripped bus watchdog leaves the torque on: motors found behind the port are to let go, however
        long nobody asks for a recovery.
        """
        with self._lost_reads_kept():
            self._bus.open()
        self._port_lost = False
        self._torque = True  # it may be

    @contextmanager
    def _lost_reads_kept(self) -> Iterator[None]:
        """Opening and pinging start the bus's own count afresh; ours goes on."""
        self._lost_base += self._bus.lost_reads.astype(np.int64)
        try:
            yield
        finally:
            self._lost_base -= self._bus.lost_reads.astype(np.int64)

    def _apply(self, output: GuardOutput, now_s: float) -> None:
        """Bring the motors into line with the guard."""
        try:
            if output.target is not None:
                self._bus.write_goal_positions(output.target)
            else:
                self._monitor.expect_torque(False)
                if self._torque and not self._port_lost:
                    self._let_go(now_s)
        except PortLostError as error:
            self._lose_port(error)
        except HandBusError:
            pass  # a motor refused to switch off: tried again, for as long as it takes

    def _let_go(self, now_s: float) -> None:
        """Torque off, until every motor has confirmed it."""
        # Said in every cycle: a motor whose cable was out lets go as soon as it hears again.
        self._bus.sync_write("torque_enable", 0)
        if now_s < self._next_off_s or self._reading is None:
            return
        self._next_off_s = now_s + _OFF_RETRY_S
        # Only those that answer are asked: sixteen silent ones would take a third of a second.
        ids = np.array(self._bus.config.motor_ids)[self._reading.valid].tolist()
        unconfirmed = torque_off(self._bus, ids) if ids else ()
        self._torque = bool(unconfirmed) or not self._reading.complete

    def _cycle_of(self, reading: BusReading, before: GuardOutput) -> Cycle:
        """The state at the read: what is decided after it is in force from the next one on."""
        command = reading.position_rad if before.target is None else before.target
        return Cycle(
            self._seq,
            reading,
            before.mode,
            command,
            before.command_seq,
            before.source,
            before.decided_s,
            before.arrived_s,
        )

    def _poll(self, reading: BusReading, end_ns: int) -> None:
        now_ns = time.monotonic_ns()
        if now_ns * 1e-9 < self._next_poll_s and not reading.alert.any():
            return
        self._next_poll_s = now_ns * 1e-9 + 1.0 / self._config.health_poll_hz
        try:
            if self._monitor.poll((end_ns - now_ns) * 1e-9) is not None:
                self._polled_ns = time.monotonic_ns()
        except PortLostError as error:
            self._lose_port(error)

    # --- requests, in the bus thread ------------------------------------------------------------

    def _serve(self, request: Request, reading: BusReading | None, now_s: float) -> bool:
        """Deal with a request; False = try again in the next cycle."""
        try:
            if request.kind == "enable":
                if now_s - request.made_s < _ENABLE_PATIENCE_S and not _at_rest(reading):
                    return False
                text = self._enable(reading)
            elif request.kind == "relax":
                text = self._relax()
            elif request.kind == "recover":
                text = self._recover()
            else:
                raise ValueError(f"unknown request {request.kind!r}")
        except HandError as error:
            if isinstance(error, PortLostError):
                self._lose_port(error)
            request.finish(False, str(error))
        else:
            request.finish(True, text)
        return True

    def _enable(self, reading: BusReading | None) -> str:
        if self._guard.mode not in (Mode.RELAXED, Mode.FAULT):
            return "the torque is on already"
        # The guard looks first: it knows more reasons to refuse than the motors do.
        self._guard.enable(np.full(1, np.nan) if reading is None else reading.position_rad)
        self._torque = True  # from here on it may be
        try:
            pose = torque_on(self._bus, self._profile)
            self._guard.relax()
            self._guard.enable(pose)
        except HandError:
            self._guard.relax()
            raise
        self._monitor.expect_torque(True)
        return "the torque is on and the hand holds its pose; it follows commands from now on"

    def _relax(self) -> str:
        self._guard.relax()
        self._monitor.expect_torque(False)
        if self._port_lost:
            raise HandBusError(f"the port is lost, nothing can be switched: {self._output.reason}")
        unconfirmed = torque_off(self._bus)
        self._torque = bool(unconfirmed)
        if unconfirmed:
            raise HandBusError(
                f"motors {list(unconfirmed)} did not confirm that their torque is off: "
                "switch the hand's power off if they hold"
            )
        return "the torque is off"

    def _recover(self) -> str:
        if self._guard.mode is not Mode.FAULT:
            raise GuardRefusedError(f"nothing to recover from: the mode is {self._guard.mode.name}")
        with self._lost_reads_kept():
            report = recover(self._bus, self._profile)
        self._port_lost = False
        self._torque = False
        self._monitor.forget()
        self._guard.recover()
        return (
            f"the motors are back and set up ({len(report.changed)} registers set again); "
            "the torque is off, call hand/enable to go on"
        )


def _at_rest(reading: BusReading | None) -> bool:
    """Whether waiting is of no use: the hand lies still, or there is no port to wait for."""
    if reading is None:
        return True
    return reading.complete and bool(np.abs(reading.velocity_rad_s).max() < _REST_RAD_S)
