# SPDX-License-Identifier: Apache-2.0
"""An emulated hand without threads: packets go in as bytes, answers come out, time passes when told."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from dexndm_ros.hand.control_table import REGISTERS
from dexndm_ros.sim.faults import Fault, FaultBoard
from dexndm_ros.sim.instructions import InstructionHandler, Reply
from dexndm_ros.sim.motors import MotorBank
from dexndm_ros.sim.plant import JointPlant, Plant
from dexndm_ros.sim.protocol2 import BROADCAST_ID, Instruction, PacketParser, encode
from dexndm_ros.sim.servo import Servo


@dataclass
class Status:
    """A parsed status packet."""

    motor_id: int
    error: int
    data: bytes

    @property
    def number(self) -> int:
        return self.error & 0x7F

    @property
    def alert(self) -> bool:
        return bool(self.error & 0x80)

    @property
    def value(self) -> int:
        return int.from_bytes(self.data, "little")


@dataclass
class EmulatedHand:
    """Sixteen servos on a plant and the handler of their bus, at a time of the test's choosing."""

    plant: Plant = field(default_factory=JointPlant)
    servo_options: dict = field(default_factory=dict)
    bank_options: dict = field(default_factory=dict)
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.faults = FaultBoard(lambda: self.now_s, seed=1)
        self.servos = [Servo(k, **self.servo_options) for k in range(16)]
        self.bank = MotorBank(self.servos, self.plant, self.faults, **self.bank_options)
        self.handler = InstructionHandler(self.bank, self.faults)
        self.parser = PacketParser()

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        for _ in range(max(1, round(seconds / self.plant.dt_s))):
            self.now_s += self.plant.dt_s
            self.bank.step(self.now_s)

    def send(self, data: bytes) -> list[Reply]:
        """Put bytes on the bus; the answers as they would go on the wire."""
        return [
            r for packet in self.parser.feed(data) for r in self.handler.handle(packet, self.now_s)
        ]

    def ask(self, motor_id: int, instruction: int, parameters: bytes = b"") -> Status | None:
        """Send one instruction to one motor; its answer, or None for silence."""
        replies = [r for r in self.send(encode(motor_id, instruction, parameters)) if r.data]
        assert len(replies) <= 1
        return parse_status(replies[0].data) if replies else None

    def read(self, motor_id: int, name: str) -> Status | None:
        register = REGISTERS[name]
        window = struct.pack("<HH", register.address, register.size)
        return self.ask(motor_id, Instruction.READ, window)

    def write(self, motor_id: int, name: str, value: int, instruction: int = Instruction.WRITE):
        register = REGISTERS[name]
        data = value.to_bytes(register.size, "little", signed=value < 0)
        return self.ask(motor_id, instruction, struct.pack("<H", register.address) + data)

    def sync_write(self, name: str, values: dict[int, int]) -> None:
        register = REGISTERS[name]
        body = struct.pack("<HH", register.address, register.size)
        for motor_id, value in values.items():
            body += bytes((motor_id,)) + value.to_bytes(register.size, "little", signed=value < 0)
        assert self.send(encode(BROADCAST_ID, Instruction.SYNC_WRITE, body)) == []

    def inject(self, kind: str, motor: int = -1, probability: float = 1.0, duration_s: float = 0.0):
        return self.faults.inject(Fault(kind, motor, probability, duration_s))

    def switch_on(self, mode: int = 5, current_ma: int = 500) -> None:
        """Bring all motors up as a LEAP hand's driver does."""
        for name, value in {
            "torque_enable": 0,
            "operating_mode": mode,
            "position_p_gain": 800,
            "position_d_gain": 200,
            "goal_current": current_ma,
            "torque_enable ": 1,
        }.items():
            self.sync_write(name.strip(), dict.fromkeys(range(16), value))


def parse_status(data: bytes) -> Status:
    (packet,) = PacketParser().feed(data)
    assert packet.crc_ok
    assert packet.instruction == Instruction.STATUS
    return Status(packet.motor_id, packet.parameters[0], packet.parameters[1:])
