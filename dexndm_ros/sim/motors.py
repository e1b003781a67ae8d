# SPDX-License-Identifier: Apache-2.0
"""Sixteen motors between their control tables and the plant: torque law, profiles, measurement, protection.

Position modes are a spring and a damper with the gains of `servo_gains`, the one conversion from servo
units, clamped by Goal Current in mode 5 and by the stall torque at Goal PWM otherwise. Mode 0 exerts Goal
Current, mode 1 holds Goal Velocity, mode 16 is a voltage with back-EMF. Position I gain and the
feed-forward gains are stored and have no effect. Profiles (velocity- or time-based) shape the goal.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.hand.units import (
    CENTRE_TICK,
    TICKS_PER_TURN,
    VELOCITY_UNIT_RAD_S,
    XC330_M288,
    MotorModel,
    ServoGains,
    servo_gains,
)
from dexndm_ros.sim.faults import ALL_MOTORS, BROWN_OUT_V, HOT_C, FaultBoard
from dexndm_ros.sim.plant import Plant
from dexndm_ros.sim.profile import Profiles
from dexndm_ros.sim.servo import (
    MODE_CURRENT,
    MODE_CURRENT_POSITION,
    MODE_PWM,
    MODE_VELOCITY,
    Servo,
)

__all__ = ["MotorBank", "MotorBankConfig"]

_TICK_PER_RAD = TICKS_PER_TURN / (2.0 * math.pi)
_FULL_PWM = 885.0
_PROTECTION_PERIOD_S = 0.02
_FRESH_S = 0.0009
"""Encoders this young are not read again: a world many times as fast as real time steps more often than that."""
_ERROR_VOLTAGE, _ERROR_HEAT, _ERROR_OVERLOAD = 0x01, 0x04, 0x20
_LIVE = np.dtype(
    [
        ("realtime_tick", "<u2"), ("moving", "u1"), ("moving_status", "u1"), ("pwm", "<i2"),
        ("current", "<i2"), ("velocity", "<i4"), ("position", "<i4"), ("velocity_trajectory", "<i4"),
        ("position_trajectory", "<i4"), ("voltage", "<u2"), ("temperature", "u1"), ("backup", "u1"),
    ]
)  # fmt: skip
"""Registers 120..147 of one servo."""


@dataclass(frozen=True)
class MotorBankConfig:
    """The motors' surroundings.

    Attributes:
        supply_v: supply voltage without load.
        supply_resistance_ohm: cable and supply; sags the voltage with the current of all motors.
        ambient_c: temperature without load.
        rise_c_per_a2: steady temperature rise at 1 A.
        thermal_time_constant_s: of the motor and its case.
        overload_fraction: share of the stall torque that counts as overload.
        overload_s: time it may last.
        velocity_gain_nms_rad: damping about Goal Velocity in mode 1 at the default gain.
        gear_friction_nm: what the gear train of a limp motor resists with, at most.
        gear_drag_nms_rad: how steeply that friction rises with speed.
    """

    supply_v: float = 5.0
    supply_resistance_ohm: float = 0.03
    ambient_c: float = 28.0
    rise_c_per_a2: float = 110.0
    thermal_time_constant_s: float = 240.0
    overload_fraction: float = 0.8
    overload_s: float = 1.5
    velocity_gain_nms_rad: float = 0.15
    gear_friction_nm: float = 0.05
    gear_drag_nms_rad: float = 0.5


class MotorBank:
    """The sixteen motors of one hand.

    The bus thread writes control tables under ``lock``; the physics thread calls `step`.

    Args:
        servos: sixteen control tables; the bank makes itself their ``on_change``.
        plant: what they turn.
        faults: injected faults.
        motor: motor constants.
        true_gains: how this world's motors deviate from the nominal gains.
        horn_offset_ticks: what each encoder reads too much (a horn mounted wrongly), shape (16,).
        config: surroundings.
    """

    def __init__(
        self,
        servos: Sequence[Servo],
        plant: Plant,
        faults: FaultBoard,
        motor: MotorModel = XC330_M288,
        true_gains: Callable[[ServoGains], ServoGains] = lambda gains: gains,
        horn_offset_ticks: NDArray[np.int64] | None = None,
        config: MotorBankConfig | None = None,
    ) -> None:
        self.servos = list(servos)
        self.plant = plant
        self.lock = threading.RLock()
        self._faults = faults
        self._motor = motor
        self._true_gains = true_gains
        self._config = config or MotorBankConfig()
        self._horn = np.zeros(JOINT_COUNT) if horn_offset_ticks is None else horn_offset_ticks
        self._index = {id(servo): k for k, servo in enumerate(self.servos)}
        self._goal = np.full(JOINT_COUNT, float(CENTRE_TICK))
        self._sign = np.ones(JOINT_COUNT)
        self._origin = np.zeros(JOINT_COUNT)
        self._kp, self._kd, self._limit, self._bias = np.zeros((4, JOINT_COUNT))
        self._torque_on = np.zeros(JOINT_COUNT, dtype=bool)
        self._moving_threshold = np.zeros(JOINT_COUNT)
        self._watchdog_s = np.full(JOINT_COUNT, np.inf)
        self._heat_limit_c = np.full(JOINT_COUNT, 70.0)
        self._profiles = Profiles(JOINT_COUNT)
        self._temperature_c = np.full(JOINT_COUNT, self._config.ambient_c)
        self._voltage_v = self._config.supply_v
        self._overload_s = np.zeros(JOINT_COUNT)
        self._last_heard_s = np.full(JOINT_COUNT, -np.inf)
        self._unpowered: set[int] = set()
        self._steps_a_protection = max(1, round(_PROTECTION_PERIOD_S / plant.dt_s))
        self._steps_to_protect = 0
        self._published_s = -math.inf
        self._live = np.zeros(JOINT_COUNT, dtype=_LIVE)
        self._dirty = set(range(JOINT_COUNT))
        for servo in self.servos:
            servo.attach(self._changed)
        self._refresh()
        self._publish(0.0)
        for servo, tick in zip(self.servos, self._live["position"], strict=True):
            servo.power_on(int(tick))

    # --- bus thread ---

    def heard(self, now_s: float) -> None:
        """An instruction packet passed on the bus: feeds every watchdog that is not late already."""
        self.check_watchdogs(now_s)
        if self._faults.active("silent_motor", "unplugged"):
            for k in range(JOINT_COUNT):
                if not self._faults.cut_off(k):
                    self._last_heard_s[k] = now_s
        else:
            self._last_heard_s[:] = now_s

    def check_watchdogs(self, now_s: float) -> None:
        """Trip the watchdogs that heard nothing for too long."""
        late = now_s - self._last_heard_s > self._watchdog_s
        if late.any():
            with self.lock:
                for k in np.flatnonzero(late).tolist():
                    self.servos[k].trip_watchdog()
                    self._profiles.stop(k)

    # --- physics thread ---

    def step(self, now_s: float) -> None:
        """One plant step with the registers as they are now; then publish what the encoders read."""
        with self.lock:
            if self._dirty:
                self._refresh()
            goal = self._profiles.step(self._goal, self.plant.dt_s)
        ticks = self._sign * (goal - self._origin)
        self.plant.set_goal((ticks - CENTRE_TICK - self._horn) / _TICK_PER_RAD)
        self.plant.step()
        with self.lock:
            if now_s - self._published_s >= _FRESH_S:
                self._published_s = now_s
                self._publish(now_s)
                self.check_watchdogs(now_s)
            self._steps_to_protect -= 1
            if self._steps_to_protect <= 0:
                self._steps_to_protect = self._steps_a_protection
                self._protect(now_s, self._steps_a_protection * self.plant.dt_s)

    def goal_rad(self) -> NDArray[np.float64]:
        """Goal positions in force as joint angles, shape (16,)."""
        ticks = self._sign * (self._goal - self._origin)
        return (ticks - CENTRE_TICK - self._horn) / _TICK_PER_RAD

    @property
    def torque_on(self) -> NDArray[np.bool_]:
        """Which motors are switched on, shape (16,)."""
        return self._torque_on.copy()

    def _changed(self, servo: Servo, goal_only: bool) -> None:
        k = self._index[id(servo)]
        if goal_only:
            self._goal[k] = servo.get("goal_position")
        else:
            self._dirty.add(k)
            self._watchdog_s[k] = servo.watchdog_s or np.inf

    def _refresh(self) -> None:
        for k in self._dirty:
            self._refresh_one(k, self.servos[k])
        self._dirty.clear()
        gains = self._true_gains(ServoGains(self._kp, self._kd, self._limit))
        sag = min(self._voltage_v / self._config.supply_v, 1.0) if self._brown_out else 1.0
        # Without torque 288:1 gears remain: a limp finger sinks and comes to rest, it does not swing.
        on, config = self._torque_on, self._config
        self.plant.set_servo(
            np.where(on, gains.kp_nm_rad, 0.0),
            np.where(on, gains.kd_nms_rad, config.gear_drag_nms_rad),
            np.where(on, gains.torque_limit_nm * sag, config.gear_friction_nm),
            np.where(on, self._bias, 0.0),
        )

    def _refresh_one(self, k: int, servo: Servo) -> None:
        get = servo.get
        self._sign[k] = -1.0 if servo.reversed else 1.0
        self._origin[k] = servo.turn_offset + servo.homing_offset
        if servo.reversed:
            self._origin[k] += TICKS_PER_TURN
        on = servo.torque_on and k not in self._unpowered
        if on and not self._torque_on[k]:
            self._overload_s[k] = 0.0
        self._torque_on[k] = on
        self._goal[k] = get("goal_position")
        self._moving_threshold[k] = get("moving_threshold")
        self._heat_limit_c[k] = get("temperature_limit")
        self._kp[k], self._kd[k], self._limit[k], self._bias[k] = self._law(servo)
        position_mode = servo.mode not in (MODE_CURRENT, MODE_VELOCITY, MODE_PWM)
        self._profiles.configure(
            k,
            start=float(self._live["position"][k]),
            velocity=get("profile_velocity") if on and position_mode else 0,
            acceleration=get("profile_acceleration"),
            time_based=bool(get("drive_mode") & 4),
        )

    def _law(self, servo: Servo) -> tuple[float, float, float, float]:
        """(kp, kd, torque limit, constant torque) of a servo that is switched on."""
        get, motor = servo.get, self._motor
        nm_per_ma = motor.nm_per_a * 1e-3
        stall = motor.stall_torque_nm
        pwm = min(abs(get("goal_pwm")), get("pwm_limit")) / _FULL_PWM
        sign = -1.0 if servo.reversed else 1.0
        current_ma = min(abs(get("goal_current")), get("current_limit"))
        if servo.mode == MODE_CURRENT:
            limit = get("current_limit") * nm_per_ma
            return (
                0.0,
                0.0,
                limit,
                sign * math.copysign(current_ma, get("goal_current")) * nm_per_ma,
            )
        if servo.mode == MODE_VELOCITY:
            kd = self._config.velocity_gain_nms_rad * get("velocity_p_gain") / 50.0
            return 0.0, kd, stall, sign * kd * get("goal_velocity") * VELOCITY_UNIT_RAD_S
        if servo.mode == MODE_PWM:
            bias = sign * math.copysign(pwm, get("goal_pwm")) * stall
            return 0.0, stall / motor.no_load_speed_rad_s, stall, bias
        gains = servo_gains(
            get("position_p_gain"), get("position_d_gain"), float(current_ma), motor
        )
        limit = stall * pwm
        if servo.mode == MODE_CURRENT_POSITION:
            limit = min(limit, float(gains.torque_limit_nm))
        return float(gains.kp_nm_rad), float(gains.kd_nms_rad), limit, 0.0

    # --- measurement ---

    def _publish(self, now_s: float) -> None:
        live, plant = self._live, self.plant
        torque = np.where(self._torque_on, plant.torque_nm, 0.0)
        velocity = plant.velocity_rad_s
        encoder = np.rint(plant.position_rad * _TICK_PER_RAD) + (CENTRE_TICK + self._horn)
        live["position"] = self._origin + self._sign * encoder
        units = np.rint(self._sign * velocity / VELOCITY_UNIT_RAD_S)
        live["velocity"] = units
        live["current"] = np.rint(self._sign * torque * (1000.0 / self._motor.nm_per_a))
        duty = torque / self._motor.stall_torque_nm + velocity / self._motor.no_load_speed_rad_s
        live["pwm"] = np.where(
            self._torque_on, np.clip(self._sign * duty, -1.0, 1.0) * _FULL_PWM, 0.0
        )
        moving = np.abs(units) > self._moving_threshold
        live["moving"] = moving
        arrived = np.abs(self._goal - live["position"]) <= 20
        live["moving_status"] = arrived | (self._profiles.running << 1)
        live["velocity_trajectory"] = self._profiles.velocity / (
            TICKS_PER_TURN * VELOCITY_UNIT_RAD_S / (2 * math.pi)
        )
        live["position_trajectory"] = self._profiles.position
        live["realtime_tick"] = int(now_s * 1000.0) % 32768
        live["voltage"] = round(self._voltage_v * 10.0)
        live["temperature"] = self._temperature_c
        for fault in self._faults.active("hot_motor"):
            live["temperature"][slice(None) if fault.motor < 0 else fault.motor] = HOT_C
        data = live.tobytes()
        size = _LIVE.itemsize
        for k, servo in enumerate(self.servos):
            servo.live = data[k * size : (k + 1) * size]

    # --- protection ---

    @property
    def _brown_out(self) -> bool:
        return bool(self._faults.active("brown_out"))

    def _protect(self, now_s: float, dt: float) -> None:
        """Heat, load, supply and injected faults over the last `dt` seconds; latch what goes beyond."""
        config = self._config
        current_a = np.where(self._torque_on, np.abs(self.plant.torque_nm), 0.0)
        current_a /= self._motor.nm_per_a
        steady = config.ambient_c + config.rise_c_per_a2 * current_a**2
        self._temperature_c += (steady - self._temperature_c) * (
            dt / config.thermal_time_constant_s
        )
        loaded = current_a * self._motor.nm_per_a > (
            config.overload_fraction * self._motor.stall_torque_nm
        )
        self._overload_s = np.where(loaded, self._overload_s + dt, 0.0)
        self._update_voltage(float(current_a.sum()))
        self._update_power(now_s)
        errors = np.where(self._overload_s > config.overload_s, _ERROR_OVERLOAD, 0)
        errors |= np.where(self._live["temperature"] > self._heat_limit_c, _ERROR_HEAT, 0)
        for fault in self._faults.take_events() + self._faults.active("overload"):
            errors[slice(None) if fault.motor == ALL_MOTORS else fault.motor] |= _ERROR_OVERLOAD
        errors |= self._voltage_errors()
        for k in np.flatnonzero(errors).tolist():
            servo = self.servos[k]
            if servo.hears(now_s) and k not in self._unpowered:
                servo.raise_hardware_error(int(errors[k]))

    def _update_voltage(self, total_a: float) -> None:
        before = self._voltage_v
        sagged = self._config.supply_v - self._config.supply_resistance_ohm * total_a
        self._voltage_v = BROWN_OUT_V if self._brown_out else sagged
        if BROWN_OUT_V in (before, self._voltage_v) and before != self._voltage_v:
            self._dirty.update(range(JOINT_COUNT))

    def _voltage_errors(self) -> NDArray[np.int64]:
        errors = np.zeros(JOINT_COUNT, dtype=np.int64)
        tenths = round(self._voltage_v * 10.0)
        if 35 <= tenths <= 60:  # inside every limit a servo accepts but one narrowed by hand
            return errors
        for k, servo in enumerate(self.servos):
            if not servo.get("min_voltage_limit") <= tenths <= servo.get("max_voltage_limit"):
                errors[k] = _ERROR_VOLTAGE
        return errors

    def _update_power(self, now_s: float) -> None:
        """A motor whose own cable is out goes limp, and boots when it is plugged in again."""
        cut = {f.motor for f in self._faults.active("unplugged") if f.motor != ALL_MOTORS}
        if cut == self._unpowered:
            return
        returned = self._unpowered - cut
        self._dirty |= cut ^ self._unpowered
        self._unpowered = cut
        for k in returned:
            self.servos[k].reboot(now_s)
