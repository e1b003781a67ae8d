# SPDX-License-Identifier: Apache-2.0
"""What every show needs around it: a place for logs, the processes, a 3D view, and files that can be written.

The processes end with this one, whatever happens: in order on a normal end, Ctrl-C or SIGTERM, by the kernel's hand
when this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.live_line import LiveLine
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.processes import Processes, node_environment

if TYPE_CHECKING:
    from dexndm_ros.demo.viewer import Viewer

__all__ = ["INTERRUPTED", "check_report", "on_stage", "shown", "system_of"]

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def check_report(report: Path | None) -> None:
    """Refuse at once what would fail at the end.

    Raises:
        DemoError: the report's folder is not there.
    """
    if report is not None and not report.absolute().parent.is_dir():
        raise DemoError(f"--report {report}: its folder does not exist; create it first")


def on_stage(name: str, show: Callable[[Path, LiveLine], int]) -> int:
    """Run a show with a folder for logs, which stays when it fails.

    Args:
        name: of the show.
        show: gets the folder and the live line; returns the exit status.
    """
    # The observer in this process must hear the same graph as the nodes.
    os.environ.update({k: v for k, v in node_environment().items() if k.startswith("ROS_")})
    logs = Path(tempfile.mkdtemp(prefix=f"dexndm-{name}-"))
    line = LiveLine(sys.stdout)
    try:
        status = show(logs, line)
    except BaseException as error:
        line.close()
        if isinstance(error, Exception) and any(logs.glob("*.log")):
            print(f"logs of all processes: {logs}", file=sys.stderr)
        else:
            shutil.rmtree(logs, ignore_errors=True)
        raise
    shutil.rmtree(logs, ignore_errors=True)
    return status


def system_of(specs: Sequence[ProcessSpec], logs: Path, line: LiveLine) -> Processes:
    """The processes, their first error lines told above the live line; not started."""
    return Processes(specs, logs, on_error=lambda name, text: line.say(f"{name}: {text}"))


@contextlib.contextmanager
def shown(
    make: Callable[[], Viewer], line: LiveLine, *, headless: bool, open_it: bool
) -> Iterator[None]:
    """The 3D view; without viser only a word about it, unless it was asked for.

    Args:
        make: the view.
        line: where its address is told.
        headless: there is none.
        open_it: in a browser.
    """
    if headless:
        yield
        return
    try:
        viewer = make()
    except DemoError as error:
        if open_it:
            raise
        line.say(str(error))
        yield
        return
    with viewer:
        line.say(f"3D view: {viewer.url}")
        if open_it and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(viewer.url)
        yield
