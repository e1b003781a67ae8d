# SPDX-License-Identifier: Apache-2.0
"""The virtual servo bus, paced like a 4 Mbps wire, in a process of its own.

``python -m bench.paced_bus LINK SEED`` serves until its standard input is closed; a line of JSON there, such
as ``["silent_motor", 5, 1.0, 0.0]``, injects a fault.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from dexndm_ros.sim.startable import Startable

ROOT = Path(__file__).resolve().parents[1]
WIRE_LIMIT_MS = 0.89
"""Fast sync read of 10 bytes x 16 and sync write of 16 goals, 356 bytes at 4 Mbps, no return delay."""
WIRE_LIMIT_PLAIN_MS = 1.15
"""The same with a plain sync read: 460 bytes."""


class PacedBus(Startable):
    """Starts the bus; use as a context manager.

    Args:
        seed: of the draws for lost replies.

    Attributes:
        port: what to open.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self._folder = tempfile.TemporaryDirectory(prefix="dexndm-bench-")
        self.port = str(Path(self._folder.name) / "bus")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.paced_bus", self.port, str(self._seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()

    def inject(
        self, fault: str, motor: int = -1, probability: float = 1.0, duration_s: float = 0.0
    ) -> None:
        """Put a fault in force; "clear" ends all."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([fault, motor, probability, duration_s]) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the virtual bus did not start, or ended")


def main(link: str, seed: int) -> int:
    """Serve until nobody is left to serve."""
    from dexndm_ros.sim.plant import JointPlant
    from dexndm_ros.sim.rig import RigConfig, ServoRig

    sys.setswitchinterval(5e-4)
    with ServoRig(JointPlant(), link, RigConfig(fault_seed=seed)) as rig:
        print("ready", flush=True)
        for line in sys.stdin:
            print(rig.inject(*json.loads(line)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
