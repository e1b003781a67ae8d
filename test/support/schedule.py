# SPDX-License-Identifier: Apache-2.0
"""Which test goes to which worker of pytest-xdist."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling


class OneLiveFileAtATime(LoadFileScheduling):
    """File by file to whoever is free, but those that start ROS nodes all to one worker, one after another.

    Two live systems at once leave neither the time that it has to keep on two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "live" if _starts_nodes(Path(self.config.rootpath, file)) else file


@cache
def _starts_nodes(file: Path) -> bool:
    return "mark.ros" in file.read_text(encoding="utf-8")
