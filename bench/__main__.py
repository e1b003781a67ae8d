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

from bench.result import Options, Result

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
    "chaos_box": "the worlds for collecting: load by world and wrist, speed, heat, balls that escape",
    "closed_loop": "the shipped policy through bus, driver, DDS and node against `dexndm evaluate`",
    "recorder": "a campaign's messages at the real rate and at a multiple: loss, CPU, size of bags",
}
QUICK = {"cycles": 60, "seconds": 1.0, "minutes": 0.1, "episodes": 1, "runs": 5, "hands": 8,
         "messages": 4000}  # fmt: skip
_BUSY = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benches named, or all; 0 when every one of them could be measured."""
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    names = arguments.pop("names") or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    if arguments["quick"]:
        arguments |= QUICK
    options = Options(**arguments)
    load = os.getloadavg()[0]
    if load > _BUSY and not options.quick:
        print(f"warning: the machine is busy (load {load:.1f}); timings will show it\n")
    failed = []
    for name in names:
        print(f"== {name}: {BENCHES[name]}", flush=True)
        began = time.monotonic()
        try:
            result: Result = importlib.import_module(f"bench.{name}").run(options)
        except Exception as error:
            if os.environ.get("DEXNDM_TRACEBACK"):
                traceback.print_exc()
            print(f"{name} could not be measured: {error}\n", file=sys.stderr)
            failed.append(name)
            continue
        wall_s = time.monotonic() - began
        print(result.table())
        if not options.quick:
            path = RESULTS / f"{name}.json"
            result.write(path, name, options, wall_s)
            print(f"kept in {path.relative_to(ROOT)}")
        print(f"({wall_s:.0f} s)\n", flush=True)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<12} {text}" for name, text in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"Measure the numbers we hold.\n\nbenches (default: all):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benches")
    for item in dataclasses.fields(Options):
        option, default = f"--{item.name}", getattr(Options(), item.name)
        if isinstance(default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(default), default=default, help=f"({default})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
