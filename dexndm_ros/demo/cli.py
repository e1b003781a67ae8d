# SPDX-License-Identifier: Apache-2.0
"""``dexndm demo``: one command from nothing to a turning object, and back to nothing.

The processes are those of ``bringup.system("rotation_demo")``. They end with this one, whatever happens:
in order on a normal end, Ctrl-C or SIGTERM, by the kernel's hand when this process is killed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dexndm_ros.bringup import ParameterValue, ProcessSpec, system
from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.live_line import LiveLine, live_text
from dexndm_ros.demo.options import DemoOptions, parse_options
from dexndm_ros.demo.pictures import make_pictures
from dexndm_ros.demo.restart import FallWatch, Trigger
from dexndm_ros.demo.run import DemoRun
from dexndm_ros.demo.stage import INTERRUPTED, check_report, on_stage, shown, system_of
from dexndm_ros.demo.world_summary import WorldSummary, summarise, with_wrist
from dexndm_ros.paths import share_dir, world_path
from dexndm_ros.policy.spec import read_spec, refusal
from dexndm_ros.processes import Processes

if TYPE_CHECKING:
    from dexndm_ros.demo.viewer import Viewer

__all__ = ["main"]

_START_LIMIT_S = 180.0
"""From nothing to a turning object takes some 10 s; a busy machine takes longer."""
_SILENCE_LIMIT_S = 30.0
_QUIET_START_S = 15.0
"""While the nodes find each other, each misses the others; nobody needs to read that."""
_LOOK_S = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0, or 130 when Ctrl-C ended it before its time.

    Raises:
        DemoError: a process died, or the report could not be made.
        BringupError: an argument that cannot be started.
    """
    options = parse_options(sys.argv[1:] if argv is None else argv)
    _check_places(options)
    return on_stage("demo", lambda logs, line: _demo(options, logs, line))


def _check_places(options: DemoOptions) -> None:
    """Refuse at once what would fail at the end."""
    check_report(options.report)
    if options.save is not None:
        try:
            options.save.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DemoError(f"--save {options.save}: {error.strerror}") from error


def _demo(options: DemoOptions, logs: Path, line: LiveLine) -> int:
    if options.simulated and options.wrist:
        turned = with_wrist(world_path(options.world), options.wrist, logs)
        specs = system("rotation_demo", replace(options, world=str(turned)).arguments())
    else:
        specs = system("rotation_demo", options.arguments())
    by_name = {spec.name: spec.parameters for spec in specs}
    policy, refused = _policy(by_name["rotation_policy"])
    port = by_name["leap_hand_driver"]["port"]
    line.say(f"{'virtual hand, ' + options.world if options.simulated else port}: {policy}")
    if refused:
        line.say(refusal(refused))
    run = DemoRun(options.simulated, record=options.save is not None)
    interrupted = False
    with system_of(specs, logs, line) as processes, _observe(run) as trigger:
        falls = FallWatch(run, trigger) if options.simulated else None
        with _view(options, run, specs, line):
            try:
                _watch(options, run, processes, falls, line)
            except KeyboardInterrupt:
                interrupted = True
        line.close()
    if run.began_ns is None:
        raise DemoError("interrupted before the policy ran: there is nothing to report")
    report = run.report(policy, options.world if options.simulated else f"hand at {port}")
    print(report.summary())
    if options.report is not None:
        report.write(options.report)
        print(f"report: {options.report}")
    if options.save is not None:
        report.write(options.save / "report.json")
        world = str(by_name["virtual_leap_hand"]["world"]) if options.simulated else ""
        make_pictures(run, options.save, world, logs)
    return INTERRUPTED if interrupted and options.seconds is not None else 0


@contextlib.contextmanager
def _observe(run: DemoRun) -> Iterator[Trigger]:
    # The one place of the demo that needs ROS, after the processes have been started.
    from dexndm_ros.nodes.demo_observer import DemoObserver

    with DemoObserver(run) as observer:
        yield observer.trigger


def _view(
    options: DemoOptions, run: DemoRun, specs: Sequence[ProcessSpec], line: LiveLine
) -> AbstractContextManager[None]:
    """The 3D view; served unless --headless, opened with --view."""

    def make() -> Viewer:
        from dexndm_ros.demo.viewer import Viewer

        worlds = [str(spec.parameters["world"]) for spec in specs if "world" in spec.parameters]
        summary = summarise(worlds[0]) if worlds else WorldSummary()
        return Viewer(
            lambda: run.picture(live_text(run.live())), summary, port=options.view_port
        )  # fmt: skip

    return shown(make, line, headless=options.headless, open_it=options.view)


def _watch(
    options: DemoOptions,
    run: DemoRun,
    processes: Processes,
    falls: FallWatch | None,
    line: LiveLine,
) -> None:
    """Show the live line until the time is over.

    Raises:
        DemoError: a process died, the hand stopped, or nothing happens.
    """
    started_s = time.monotonic()
    while True:
        for ended in processes.poll():
            if ended.critical:
                raise DemoError(ended.reason)
        if run.fault:
            raise DemoError(f"the driver has stopped the hand: {run.fault}")
        now_ns, now_s = time.time_ns(), time.monotonic()
        if options.seconds is not None and run.elapsed_s(now_ns) >= options.seconds:
            return
        if run.began_ns is None and now_s - started_s > _START_LIMIT_S:
            raise DemoError(f"nothing turned within {_START_LIMIT_S:.0f} s; {_why(run)}")
        if run.silent_s(now_ns) > _SILENCE_LIMIT_S:
            raise DemoError(f"the policy has not run for {_SILENCE_LIMIT_S:.0f} s; {_why(run)}")
        if falls is not None:
            falls.look(now_s)
        numbers = run.live()
        if now_s - started_s < _QUIET_START_S:
            numbers = replace(numbers, status="")
        line.show(live_text(numbers), now_s)
        time.sleep(_LOOK_S)


def _why(run: DemoRun) -> str:
    return run.complaints() or "no node says why"


def _policy(parameters: Mapping[str, ParameterValue]) -> tuple[str, str]:
    """The name of what the policy node runs, and why it does not run the residual it was given.

    Raises:
        PolicySpecError: a residual that cannot be read.
    """
    policy, residual = _short(str(parameters["policy"])), str(parameters.get("residual", ""))
    if not residual:
        return policy, ""
    return f"{policy} + {_short(residual)}", read_spec(residual).refused


def _short(policy: str) -> str:
    """A shipped policy by its place in policies/, another by its path."""
    shipped = share_dir() / "policies"
    path = Path(policy)
    return str(path.relative_to(shipped)) if path.is_relative_to(shipped) else policy
