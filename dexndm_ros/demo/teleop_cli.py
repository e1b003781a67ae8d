# SPDX-License-Identifier: Apache-2.0
"""``dexndm teleop``: an operator takes, carries and turns an object with an arm and a hand that are both virtual.

The processes are those of ``bringup.system("teleop")``; a recorded operator begins when all of them are ready, and
begins anew when he has done, until the time is over.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexndm_ros.bringup import system
from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.live_line import LiveLine
from dexndm_ros.demo.restart import Trigger
from dexndm_ros.demo.stage import INTERRUPTED, check_report, on_stage, shown, system_of
from dexndm_ros.demo.teleop_options import TeleopOptions, parse_options
from dexndm_ros.demo.teleop_run import TeleopRun
from dexndm_ros.demo.world_summary import summarise
from dexndm_ros.processes import Processes
from dexndm_ros.teleop.recording import read_samples

if TYPE_CHECKING:
    from dexndm_ros.demo.viewer import Viewer

__all__ = ["main"]

_START_LIMIT_S = 180.0
"""All is ready after some 10 s; a busy machine takes longer."""
_PLAY_LIMIT_S = 60.0
_LOOK_S = 0.1
_PAUSE_S = 0.5
_PAGE = re.compile(r"teleoperation: (.+)|pairing code of the page: (\d+)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0, or 130 when Ctrl-C ended it before its time.

    Raises:
        DemoError: a process died, the arm never moved, or the hand never turned the object.
        BringupError: an argument that cannot be started.
        RecordingError: a recording that cannot be played.
    """
    options = parse_options(sys.argv[1:] if argv is None else argv)
    check_report(options.report)
    return on_stage("teleop", lambda logs, line: _teleop(options, logs, line))


def _teleop(options: TeleopOptions, logs: Path, line: LiveLine) -> int:
    specs = system("teleop", options.arguments())
    parameters = {spec.name: spec.parameters for spec in specs}
    world = str(parameters["virtual_arm"]["world"])
    lasts_s = (
        _length_s(Path(str(parameters["quest_bridge"]["recording"]))) if options.recorded else None
    )
    run, interrupted = TeleopRun(), False

    def make() -> Viewer:
        from dexndm_ros.demo.viewer import Viewer

        return Viewer(run.picture, summarise(world), port=options.view_port, arm=True)

    from dexndm_ros.nodes.teleop_observer import TeleopObserver

    with system_of(specs, logs, line) as processes, TeleopObserver(run) as observer:
        with shown(make, line, headless=options.headless, open_it=options.view):
            try:
                page = _Page(processes.logs["quest_bridge"])
                _get_ready(run, processes, page, line)
                _operate(options, run, processes, observer.trigger, lasts_s, page, line)
            except KeyboardInterrupt:
                interrupted = True
        line.close()
    operator = str(parameters["quest_bridge"].get("recording", options.source))
    report = run.report(str(parameters["rotation_policy"]["policy"]), operator, options.world)
    print(report.summary())
    if options.report is not None:
        report.write(options.report)
        print(f"report: {options.report}")
    if interrupted and options.seconds is not None:
        return INTERRUPTED
    if not interrupted:
        report.check()
    return 0


def _length_s(recording: Path) -> float:
    """How long a recording lasts.

    Raises:
        RecordingError: it cannot be read.
        DemoError: there is nothing in it.
    """
    arrivals = [sample.arrived_s for sample in read_samples(recording)]
    if not arrivals:
        raise DemoError(f"{recording} holds no sample")
    return arrivals[-1] - arrivals[0]


def _get_ready(run: TeleopRun, processes: Processes, page: _Page, line: LiveLine) -> None:
    """Wait until arm, hand, policy and the operator's side are there.

    Raises:
        DemoError: a process died, or it takes too long.
    """
    started_s = time.monotonic()
    while not run.ready:
        _refuse_ended(run, processes)
        now_s = time.monotonic()
        if now_s - started_s > _START_LIMIT_S:
            raise DemoError(f"not ready within {_START_LIMIT_S:.0f} s; {run.missing()}")
        page.tell(line)
        line.show(run.line(), now_s)
        time.sleep(_LOOK_S)


class _Page:
    """Passes on what the operator's side says to whoever opens the page.

    Args:
        log: what it prints.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0  # bytes

    def tell(self, line: LiveLine) -> None:
        """Say what is new: where the page is, and each code that a headset is paired with."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            new, mark, _ = log.read().rpartition(b"\n")
        self._read += len(new + mark)
        for address, code in _PAGE.findall(new.decode(errors="replace")):
            line.say(
                f"open this in the headset's browser: {address}"
                if address
                else f"its pairing code, where it asks for one: {code}"
            )


def _operate(
    options: TeleopOptions,
    run: TeleopRun,
    processes: Processes,
    trigger: Trigger,
    lasts_s: float | None,
    page: _Page,
    line: LiveLine,
) -> None:
    """Let the operator work until the time is over; a recorded one again and again.

    Raises:
        DemoError: a process died, the hand stopped, or a service refused.
    """
    if lasts_s is not None:
        _play(run, processes, trigger)
    run.begin()
    began_s = time.monotonic()
    ends_s = None if options.seconds is None else began_s + options.seconds
    again_s = None if lasts_s is None else began_s + lasts_s + _PAUSE_S
    if ends_s is None and options.headless:
        ends_s = again_s
    while True:
        now_s = time.monotonic()
        _refuse_ended(run, processes)
        if ends_s is not None and now_s >= ends_s:
            return
        if again_s is not None and lasts_s is not None and now_s >= again_s:
            # An arm that stopped itself listens again; the object on its stand, then a hand that opens for it.
            _call(trigger, "virtual_arm/recover", "sim/reset", "policy/restart", "teleop/play")
            again_s = time.monotonic() + lasts_s + _PAUSE_S
        page.tell(line)
        line.show(run.line(), now_s)
        time.sleep(_LOOK_S)


def _play(run: TeleopRun, processes: Processes, trigger: Trigger) -> None:
    """Let the recorded operator begin, once his side knows the arm.

    Raises:
        DemoError: it never does.
    """
    deadline_s = time.monotonic() + _PLAY_LIMIT_S
    while problem := trigger("teleop/play"):
        _refuse_ended(run, processes)
        if time.monotonic() > deadline_s:
            raise DemoError(f"the operator cannot begin: {problem}")
        time.sleep(_LOOK_S)


def _call(trigger: Trigger, *services: str) -> None:
    for service in services:
        problem = trigger(service)
        if problem:
            raise DemoError(f"the operator cannot begin: {problem}")


def _refuse_ended(run: TeleopRun, processes: Processes) -> None:
    for ended in processes.poll():
        if ended.critical:
            raise DemoError(ended.reason)
    if run.fault:
        raise DemoError(f"the driver has stopped the hand: {run.fault}")
