# SPDX-License-Identifier: Apache-2.0
"""Runs benches: ``python -m bench [NAME ...]``. Each prints a table and keeps it in bench/results/."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench.result import Options, Result, SkippedError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
BENCHES = {
    "bus_cycle": "a full bus cycle: ours, and the stock SDK's fast and plain reads",
    "bus_bad_day": "one silent motor, and 1 % of replies lost: ours and the stock SDK",
    "driver_cpu": "what the driver costs at 100 Hz, publishing, beside a stock SDK loop",
    "torque_off": "from a fault to torque off, in the motors' registers",
    "loop_timing": "the demo's loops: observation to command, 20 Hz period, missed ticks",
    "onnx": "a paper-size network: ONNX Runtime fp32 and int8 against eager torch",
    "env_steps": "environment control steps a second against bare mujoco.rollout",
    "env_steps_warp": "the same on a GPU with 1k, 4k and 16k worlds, against the CPU lane",
    "chaos_box": "the worlds for collecting: load by world and wrist, speed, heat, balls that escape",
    "closed_loop": "the shipped policy through bus, driver, DDS and node against `dexndm evaluate`",
    "campaign": "ten minutes in the Chaos Box at its real pace: duty cycle, period error, loss, CPU",
    "campaign_speed": "collection faster than real time: speed obtained, trajectories cut short, CPU",
    "campaign_day": "24 simulated hours of collection: memory and file handles of every process",
    "convert": "a night of bags to a dataset: against rosbags, bare decompression, and a tenth of the night",
    "loader": "windows for training: from mapped files, and by numpy from memory",
    "simulate": "simulated transitions to a dataset, by kind of load, against the bare physics",
    "cloning": "behaviour cloning from shards: reading alone, and with networks of two sizes",
    "dynamics": "training steps of dynamics models: joint-wise and whole-hand, batched and in a loop",
    "recorder": "a campaign's messages at the real rate and at a multiple: loss, CPU, size of bags",
    "teleop_latency": "the headset's frame to the arm's target, at 90 Hz over loopback; pace of the targets",
    "teleop_tracking": "a figure-of-eight at 0.2 m/s: limiter, inverse kinematics and the virtual arm",
    "teleop_stop": "quest_bridge killed or stopped, a silent headset: to the last arm command and the hold",
    "teleop_session": "two hours of teleoperation faster than real time: memory, straight lines through it",
}
QUICK = {"cycles": 60, "seconds": 1.0, "minutes": 0.1, "episodes": 1, "runs": 5, "hands": 8,
         "messages": 4000, "hours": 0.2, "trajectories": 4}  # fmt: skip
OWN = {
    "campaign": {"minutes": 10.0},
    "campaign_speed": {"seconds": 60.0},
    "cloning": {"trajectories": 256, "seconds": 20.0},
    "loader": {"trajectories": 6000},
    "simulate": {"trajectories": 64},
    "teleop_session": {"hours": 2.0},
}
"""Defaults of a bench that differ from those of all."""
LONG = ("campaign_day", "campaign_speed", "teleop_session")
"""Only when named."""
_BUSY = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benches named, or all but the long ones; 0 when every one of them could be measured."""
    parser = _parser()
    given = vars(parser.parse_args(argv))
    names = given.pop("names") or [name for name in BENCHES if name not in LONG]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    quick = bool(given.get("quick"))
    load = os.getloadavg()[0]
    if load > _BUSY and not quick:
        print(f"warning: the machine is busy (load {load:.1f}); timings will show it\n")
    failed = []
    for name in names:
        print(f"== {name}: {BENCHES[name]}", flush=True)
        options = Options(**OWN.get(name, {}) | given | (QUICK if quick else {}))
        began = time.monotonic()
        try:
            result: Result = importlib.import_module(f"bench.{name}").run(options)
        except SkippedError as reason:
            print(f"{name} skipped: {reason}\n", flush=True)
            continue
        except Exception as error:
            if os.environ.get("DEXNDM_TRACEBACK"):
                traceback.print_exc()
            print(f"{name} could not be measured: {error}\n", file=sys.stderr)
            failed.append(name)
            continue
        wall_s = time.monotonic() - began
        print(result.table())
        if not quick:
            path = RESULTS / f"{name}.json"
            result.write(path, name, options, wall_s)
            print(f"kept in {path.relative_to(ROOT)}")
        print(f"({wall_s:.0f} s)\n", flush=True)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<14} {text}" for name, text in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"Measure the numbers we hold.\n\nbenches (default: all but {', '.join(LONG)}):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help="benches")
    for item in dataclasses.fields(Options):
        option, default = f"--{item.name}", getattr(Options(), item.name)
        if isinstance(default, bool):
            parser.add_argument(option, action="store_true", default=argparse.SUPPRESS)
        else:
            parser.add_argument(option, type=type(default), help=f"({default})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
