# SPDX-License-Identifier: Apache-2.0
"""One node in a process of its own, as launch files and ``dexndm`` start it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ParameterValue", "ProcessSpec"]

ParameterValue = bool | int | float | str


@dataclass(frozen=True)
class ProcessSpec:
    """One node in a process of its own.

    Attributes:
        name: the ROS node's name.
        module: Python module that runs it with ``python -m``.
        executable: its console script in the installed package ``dexndm_ros``.
        parameters: node parameters that differ from its parameter file.
        parameter_file: YAML with the node's parameters, or None.
        remaps: pairs (from, to) of topic or service names.
        critical: when it ends for good, the whole system is to end.
        respawn: when it ends before its time, it is started again, within a budget.
    """

    name: str
    module: str
    executable: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    parameter_file: Path | None = None
    remaps: tuple[tuple[str, str], ...] = ()
    critical: bool = True
    respawn: bool = False

    @property
    def enclave(self) -> str:
        """Name under which ROS looks for the node's keys, where security is on; see config/sros2."""
        return f"/dexndm/{self.name}"

    def ros_arguments(self) -> list[str]:
        """The words after ``--ros-args``, values quoted so that YAML keeps their type."""
        words = ["-r", f"__node:={self.name}", "--enclave", self.enclave]
        for source, target in self.remaps:
            words += ["-r", f"{source}:={target}"]
        if self.parameter_file is not None:
            words += ["--params-file", str(self.parameter_file)]
        for key, value in self.parameters.items():
            words += ["-p", f"{key}:={json.dumps(value)}"]
        return words

    def command(self, python: str = sys.executable) -> list[str]:
        """The command line that runs this node without an installed package."""
        return [python, "-m", self.module, "--ros-args", *self.ros_arguments()]
