# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a bag, put into one on purpose."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.night_motion import Commands, States

__all__ = [
    "Faults",
    "Stream",
    "damage_file",
    "damage_messages",
    "damage_motion",
    "delay_passed_over",
    "missing_cycles",
]

_LIMIT_A = 0.5


@dataclass
class Stream:
    """Messages of a topic on their way into a bag.

    Attributes:
        topic: its name.
        rows: CDR, (n, size).
        log_ns: received, monotonic; the order in the bag.
        publish_ns: published, monotonic.
        sequence: the publisher's numbers.
    """

    topic: str
    rows: NDArray[np.uint8]
    log_ns: NDArray[np.int64]
    publish_ns: NDArray[np.int64]
    sequence: NDArray[np.int64]

    def take(self, index: NDArray[np.int64]) -> None:
        """Keep these, in this order."""
        for each in fields(self)[1:]:
            setattr(self, each.name, getattr(self, each.name)[index])


@dataclass(frozen=True)
class Faults:
    """What goes wrong; all of it at once where several are given. Steps are those of the trajectory.

    Attributes:
        drop_states: (step, count): states published and lost from the begin of the step on.
        missed_cycles: (step, count): bus cycles without a whole read: no message, a gap in HandState.seq only.
        duplicate_states: (step, count): states that stand in the bag twice.
        swap_states: steps whose first two states changed places.
        clock_jump: (step, seconds): the system clock is set; everything after is stamped by it.
        nan: (step, joint): all states of the step have no number for the joint.
        spike: (step, joint): one state is 1.5 rad off.
        stuck: (joint, step, steps): its angle stays as it was.
        saturated: (joint, step, steps): its current is at the limit.
        drop_steps: ReplayStep messages lost.
        drop_commands: HandCommand messages lost.
        passed_over: steps whose command arrived with the next one, so that it never came into force.
        wrong_target: steps that were sent another target than clean + noise.
        permuted_joints: joint_states names its joints in another order.
        recorded_steps: the recording ends after so many steps; -1 = all.
        stock: as rosbag2 itself records: no publishers' numbers.
        flip_byte: one bit is wrong at this share of the file; -1 = none.
        truncate: only this share of the file is there; -1 = all.
        unfinished: the recorder was killed: no summary, no metadata.yaml.
    """

    drop_states: tuple[tuple[int, int], ...] = ()
    missed_cycles: tuple[tuple[int, int], ...] = ()
    duplicate_states: tuple[tuple[int, int], ...] = ()
    swap_states: tuple[int, ...] = ()
    clock_jump: tuple[tuple[int, float], ...] = ()
    nan: tuple[tuple[int, int], ...] = ()
    spike: tuple[tuple[int, int], ...] = ()
    stuck: tuple[tuple[int, int, int], ...] = ()
    saturated: tuple[tuple[int, int, int], ...] = ()
    drop_steps: tuple[int, ...] = ()
    drop_commands: tuple[int, ...] = ()
    passed_over: tuple[int, ...] = ()
    wrong_target: tuple[int, ...] = ()
    permuted_joints: bool = False
    recorded_steps: int = -1
    stock: bool = False
    flip_byte: float = -1.0
    truncate: float = -1.0
    unfinished: bool = False


def damage_motion(faults: Faults, sent: Commands, seen: States) -> None:
    """Faults of hand and driver, in place."""

    def span(step: int, steps: int = 1) -> slice:
        first = _state_at(sent, seen, step)
        return slice(first, _state_at(sent, seen, step + steps))

    for step, joint in faults.nan:
        seen.position_rad[span(step), joint] = np.nan
    for step, joint in faults.spike:
        seen.position_rad[_state_at(sent, seen, step), joint] += 1.5
    for joint, step, steps in faults.stuck:
        part = span(step, steps)
        seen.position_rad[part, joint] = seen.position_rad[part.start, joint]
        seen.velocity_rad_s[part, joint] = 0.0
    for joint, step, steps in faults.saturated:
        seen.current_a[span(step, steps), joint] = _LIMIT_A


def delay_passed_over(faults: Faults, sent: Commands) -> None:
    """Let the commands of some steps arrive a hair before the next one's, in place."""
    for step in faults.passed_over:
        index = int(np.flatnonzero(sent.step == step)[0])
        sent.arrived_ns[index] = sent.arrived_ns[index + 1] - 1


def missing_cycles(faults: Faults, sent: Commands, seen: States) -> NDArray[np.int64]:
    """Indices of the states that were read and published."""
    keep = np.ones(len(seen.seq), dtype=bool)
    for step, count in faults.missed_cycles:
        first = _state_at(sent, seen, step)
        keep[first : first + count] = False
    return np.flatnonzero(keep)


def damage_messages(faults: Faults, streams: dict[str, Stream], step_ns: NDArray[np.int64]) -> int:
    """Faults of transport and recorder, in place.

    Args:
        faults: the faults.
        streams: messages by topic, each in the order of publication.
        step_ns: monotonic time of each step's begin.

    Returns:
        Messages that were lost.
    """
    state = streams["/hand/state"]
    index = np.arange(len(state.log_ns))
    keep = np.ones(len(index), dtype=bool)
    for step, count in faults.drop_states:
        first = int(np.searchsorted(state.publish_ns, step_ns[step]))
        keep[first : first + count] = False
    twice = np.zeros(len(index), dtype=np.int64)
    for step, count in faults.duplicate_states:
        first = int(np.searchsorted(state.publish_ns, step_ns[step]))
        twice[first : first + count] = 1
    for step in faults.swap_states:
        first = int(np.searchsorted(state.publish_ns, step_ns[step]))
        index[[first, first + 1]] = index[[first + 1, first]]
    log_ns = state.log_ns.copy()
    state.take(index)
    state.log_ns[:] = log_ns  # they were received in this order
    state.take(np.repeat(np.arange(len(index)), (1 + twice) * keep))
    lost = int((~keep).sum())
    for topic, steps in (
        ("/replay/step", faults.drop_steps),
        ("/hand/command", faults.drop_commands),
    ):
        stream = streams[topic]
        gone = [int(np.argmin(np.abs(stream.publish_ns - step_ns[step]))) for step in steps]
        stream.take(np.setdiff1d(np.arange(len(stream.log_ns)), gone))
        lost += len(set(gone))
    if faults.stock:
        for stream in streams.values():
            stream.sequence[:] = 0
    return lost


def damage_file(faults: Faults, folder: Path) -> None:
    """Faults of the disk, in the bag's only file."""
    (file,) = folder.glob("*.mcap")
    data = bytearray(file.read_bytes())
    if faults.flip_byte >= 0:
        data[int(faults.flip_byte * (len(data) - 1))] ^= 0x10
    if faults.unfinished:
        data = data[: int(0.9 * len(data))]
        (folder / "metadata.yaml").unlink()
    if faults.truncate >= 0:
        data = data[: int(faults.truncate * len(data))]
    file.write_bytes(data)


def _state_at(sent: Commands, seen: States, step: int) -> int:
    """The first state read after a step's command was sent."""
    index = np.flatnonzero(sent.step == step)
    at_ns = sent.sent_ns[index[0]] if len(index) else sent.sent_ns[-1]
    return int(np.searchsorted(seen.read_ns, at_ns))
