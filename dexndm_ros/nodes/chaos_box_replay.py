# SPDX-License-Identifier: Apache-2.0
"""``chaos_box_replay``: replays a campaign's trajectories open loop, and looks after the hand meanwhile.

Three threads: the control loop decides and commands, 20 times a second; the ledger's thread writes down;
the executor's hears, answers and reports.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dexndm_msgs.msg import EpisodeRecorded, HandHealth, RecorderStatus
from geometry_msgs.msg import QuaternionStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._replay_calls import Calls
from dexndm_ros.nodes._replay_io import Ears, read_settings
from dexndm_ros.nodes._replay_output import ReplayOutput, Report
from dexndm_ros.nodes._run import NodeFailedError, NodeRefusedError, run_node
from dexndm_ros.nodes._time import node_clock
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick
from dexndm_ros.replay.jobs import Finished, Job, JobKind, Recorded
from dexndm_ros.replay.ledger_worker import LedgerWorker
from dexndm_ros.replay.lock import LockedError, hand_lock
from dexndm_ros.replay.pace import PERIOD_ERROR, Pace
from dexndm_ros.replay.prepare import LEDGER_FILE, Prepared, PrepareError, prepare
from dexndm_ros.replay.run import ReplayRun
from dexndm_ros.replay.supervisor import Supervisor
from dexndm_ros.replay.views import Decision, Intent, Seen, State
from dexndm_ros.replay.watch import ClockWatch, LoadWatch

__all__ = ["ChaosBoxReplay", "main"]

_RATE_HZ = 20.0
_STATUS_S = 1.0
_STOP_S = 4.0
_RECORDED_QOS = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_RECORDER_JOBS = (JobKind.BEGIN, JobKind.END, JobKind.DISCARD)


class ChaosBoxReplay(Node):
    """Wires supervisor, run and ledger to the graph."""

    def __init__(self) -> None:
        super().__init__("chaos_box_replay")
        self._loop: DeadlineLoop | None = None
        self._worker: LedgerWorker | None = None
        self._prepared: Prepared | None = None
        self._inbox: deque[Callable[[], None]] = deque()
        self._events: deque[tuple[bool, str]] = deque(maxlen=100)
        self._decision = Decision(State.IDLE, "starting", "starting")
        self._others = ""
        self._load_said = ""
        self._session = ""
        self._life = f"{os.getpid()}-{time.time_ns()}"
        """This life of the process: statistics of several add up."""

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Check everything, then join the graph; nothing moves before hand and recorder are there."""
        self._prepared = prepared = self._prepare()
        self._campaign = campaign = prepared.campaign
        settings = self._settings
        self._bags = prepared.bags
        self._time = node_clock(self)
        self._clock_watch = ClockWatch()
        self._ears = Ears(self, campaign.orientation, settings.wrist_tolerance_deg)
        self._supervisor = Supervisor(campaign, _RATE_HZ, settings.begun)
        self._replay = ReplayRun(
            campaign.motion, _RATE_HZ, self._on_finished, self._supervisor.setback
        )
        self._load = LoadWatch(campaign.load_check, prepared.spreads_a)
        self._pace = Pace(1.0 / _RATE_HZ, **prepared.statistics.get("pace", {}))
        self._supervisor.faults = prepared.statistics.get("faults", 0)
        self._worker = LedgerWorker(prepared, self._bags, self._from_ledger, self._note)
        self._worker.start()
        self._join_graph()
        config = LoopConfig(rate_hz=_RATE_HZ, name="replay", realtime=settings.realtime)
        self._loop = DeadlineLoop(config, self._tick, on_exit=self._on_loop_exit, clock=self._time)
        self._loop.start()
        self.get_logger().info(
            f"campaign {campaign.name}: {campaign.count} trajectories, {campaign.orientation}, "
            f"in {settings.directory}"
        )

    def _prepare(self) -> Prepared:
        try:
            self._settings = settings = read_settings(self)
            # One campaign on the hand of a graph: two would be refused by the driver, and never end.
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            self._hand_lock = hand_lock(f"replay in ROS domain {domain}, {self.get_namespace()}")
            return prepare(settings.campaign or None, settings.directory)
        except (PrepareError, LockedError) as error:
            # A disk has room again, a lock is let go: a campaign that has begun is worth another try.
            begun = (Path(settings.directory) / LEDGER_FILE).exists()
            raise (NodeFailedError if begun else NodeRefusedError)(str(error)) from error
        except (ValueError, OSError) as error:
            raise NodeRefusedError(str(error)) from error

    def _join_graph(self) -> None:
        self._output = ReplayOutput(
            self, self._campaign.name, str(self._bags.parent), _RATE_HZ, self._time
        )
        ears, newest = self._ears, control_subscriber()
        self.create_subscription(HandHealth, "hand/health", ears.on_health, 1)
        self.create_subscription(RecorderStatus, "recorder/status", ears.on_recorder, 1)
        self.create_subscription(
            EpisodeRecorded, "recorder/finished", self._on_recorded, _RECORDED_QOS
        )
        for qos in (newest, LATCHED):  # an arm sends a stream, a stand says it once
            self.create_subscription(QuaternionStamped, "wrist/orientation", ears.on_wrist, qos)
        self._calls = Calls(self)
        for name in ("start", "pause", "resume", "stop"):
            self.create_service(Trigger, f"replay/{name}", self._service(name))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also where /clock stands still
        self.create_timer(_STATUS_S, self._report, clock=steady)

    def failure(self) -> str:
        """Why the process must end: the control loop did."""
        error = self._loop.error if self._loop is not None else None
        return f"the control loop ended: {error!r}" if error is not None else ""

    def close(self) -> None:
        """Stop commanding (the driver then holds, and lets go), and leave the ledger in order."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()
            for job in self._replay.abandon("the replay was stopped"):
                with contextlib.suppress(
                    Exception
                ):  # ROS may be gone: the next start tells the recorder
                    self._give(job)
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(_STOP_S)
        if self._prepared is not None and self._prepared.lock is not None:
            self._prepared.lock.release()

    # --- callbacks: they only store ---------------------------------------------------------------

    def _on_recorded(self, m: EpisodeRecorded) -> None:
        recorded = Recorded(
            m.episode, m.session, m.complete, m.reason, m.path,
            m.messages, m.lost, m.dropped, m.bytes, m.duration_s,
        )  # fmt: skip
        self._inbox.append(lambda: self._replay.recorded(recorded))

    def _from_ledger(self, tell: Callable[[ReplayRun], None]) -> None:
        self._inbox.append(lambda: tell(self._replay))

    def _service(
        self, name: str
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            intent = self._supervisor.intent
            if name == "resume" and intent is not Intent.PAUSE:
                response.message = "not paused"
                return response
            if name == "pause" and intent is not Intent.RUN:
                response.message = f"nothing to pause: {intent.value}"
                return response
            self._inbox.append(lambda: self._intend(name))
            response.success = True
            response.message = {
                "start": "replaying, as soon as hand and recorder are ready",
                "resume": "going on",
                "pause": "paused: the torque goes off; the trajectory is redone later",
                "stop": "stopped: the torque goes off; the trajectory is redone later",
            }[name]
            return response

        return answer

    # --- the control thread -------------------------------------------------------------------

    def _intend(self, name: str) -> None:
        if name in ("start", "resume"):
            self._supervisor.start()
        else:
            self._supervisor.intent = Intent.PAUSE if name == "pause" else Intent.STOP
        self._note(False, f"replay/{name}")

    def _tick(self, tick: Tick) -> None:
        while self._inbox:
            self._inbox.popleft()()
        self._calls.look()
        replay = self._replay
        for state in self._ears.listen():
            if replay.stepping and state.command_source == self.get_name():
                replay.tally.state(state.current, state.seq, state.command_seq)
        seen = self._look()
        decision = self._supervisor.tick(
            seen, replay.sent, replay.stepping, replay.done, replay.closing
        )
        out = replay.tick(decision, seen.hand, tick.start_ns, seen.now_s, tick.missed)
        if out.step == 0:
            self._supervisor.trajectory_begins()
        self._output.send(out)
        if out.step is not None and out.target is not None and seen.hand is not None:
            replay.tally.tick(out.target, seen.hand.position_rad, seen.hand.hottest_c)
        for job in out.jobs:
            self._give(job)
        if decision.ask:
            self._ask(decision.ask)
        waits_for_person = decision.state in (State.IDLE, State.DONE) or decision.code == "pause"
        self._pace.tick(tick.start_ns, not waits_for_person, out.step is not None)
        if decision.code != self._decision.code:
            self._note(decision.state is State.FAULT, decision.reason or "replaying")
        self._decision = decision

    def _look(self) -> Seen:
        now_s = time.monotonic()
        step_s = self._clock_watch.look(time.time(), now_s)
        if step_s:
            self._note(True, f"the wall clock was set by {step_s:+.3f} s")
        recorder = self._ears.recorder()
        if recorder is not None and recorder.session != self._session:
            self._settle(recorder.session)
        worker = self._worker
        trouble = worker.trouble if worker is not None else ""
        hand, starting = self._ears.hand(), ""
        if recorder is None:
            starting = "waiting for episode_recorder"
        elif hand is None:
            starting = "waiting for leap_hand_driver"
        elif worker is None or not worker.reconciled:
            starting = "putting in order what an earlier run left behind"
            trouble = ""
        return Seen(
            now_s=now_s,
            clock=datetime.now(),
            hand=hand,
            recorder=recorder,
            refusal=self._others or self._ears.wrist_refusal or trouble,
            starting=starting,
        )

    def _settle(self, session: str) -> None:
        """Another recorder, or the first: nothing must be open before the ledger is compared with the disk."""
        first, self._session = not self._session, session
        if not first:
            self._replay.recorder_restarted()
            return

        def discarded(ok: bool, text: str) -> None:
            if not ok and text.startswith(("no answer", "nobody")):
                self._session = ""  # ask again
                return
            if self._worker is not None:
                self._worker.reconcile()

        self._calls.discard_all(discarded)

    def _ask(self, name: str) -> None:
        def answer(ok: bool, text: str) -> None:
            keeper = self._supervisor.keeper
            self._inbox.append(lambda: keeper.answered(name, ok, text, time.monotonic()))
            if not ok or name == "recover":
                self._note(not ok, f"hand/{name}: {text}")

        self._calls.hand(name, answer)

    def _give(self, job: Job) -> None:
        """Pass a job on to whom it concerns."""
        if job.kind not in _RECORDER_JOBS:
            if self._worker is not None:
                self._worker.do(job)
            return
        assert job.loaded is not None
        episode, replay, inbox = job.loaded.episode, self._replay, self._inbox

        def answer(ok: bool, text: str) -> None:
            if job.kind is JobKind.BEGIN:
                inbox.append(lambda: replay.began(episode, ok, text, self._time.now_ns()))
            elif job.kind is JobKind.END and not ok:
                inbox.append(lambda: replay.end_refused(episode))

        self._calls.record(job, self._bag_data(job) if job.kind is JobKind.BEGIN else {}, answer)

    def _bag_data(self, job: Job) -> dict[str, str]:
        assert job.loaded is not None and self._prepared is not None
        claim, campaign = job.loaded.claim, self._campaign
        return {
            "campaign": campaign.name,
            "orientation": campaign.orientation,
            "hand_load": campaign.hand_load,
            "library_sha256": self._prepared.source.sha256,
            "entry": str(claim.entry),
            "attempt": str(claim.attempt),
            "trajectory": str(claim.trajectory),
            "axis": " ".join(map(repr, job.loaded.axis)),
            "seed": str(claim.seed),
            "noise_probability": repr(campaign.noise.probability),
            "noise_sigma_rad": repr(campaign.noise.sigma_rad),
        }

    def _on_finished(self, finished: Finished) -> None:
        self._supervisor.progress()
        self._load.add(finished.numbers.current_spread_a)
        self._pace.finished += 1
        worker, loop = self._worker, self._loop
        if worker is None or loop is None:
            return
        worker.statistic("pace", self._pace.to_dict())
        worker.statistic("faults", self._supervisor.faults)
        worker.statistic(PERIOD_ERROR + self._life, loop.period_error.to_dict())

    def _on_loop_exit(self, error: BaseException | None) -> None:
        if error is not None:
            self._note(True, f"the control loop ended: {error!r}")

    def _note(self, serious: bool, text: str) -> None:
        """For the log and the campaign's journal; the loop itself writes nothing."""
        self._events.append((serious, text))

    # --- the executor's thread: log, status, diagnostics ------------------------------------------

    def _report(self) -> None:
        self._others = self._output.others()
        while self._events:
            serious, text = self._events.popleft()
            if serious:  # rclpy allows one severity for each line of code that logs
                self.get_logger().warning(text)
            else:
                self.get_logger().info(text)
            if self._worker is not None:
                self._worker.event("warning" if serious else "info", text)
        loop, worker = self._loop, self._worker
        if loop is None or worker is None:
            return
        load = self._load.warning()
        if load and not self._load_said:
            self._note(True, load)
        self._load_said = load
        self._output.report(
            Report(
                decision=self._decision,
                waiting=self._replay.waiting,
                pace=self._pace,
                counts=worker.counts,
                faults=self._supervisor.faults,
                warnings=[load] if load else [],
                timing=loop.statistics(),
                scheduling=str(loop.realtime or "default scheduling"),
            )
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the replay until a signal."""
    return run_node(ChaosBoxReplay, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
