# SPDX-License-Identifier: Apache-2.0
"""``dexndm replay BAG --check``: were the decisions in a bag the right ones, and if not, since when."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dexndm_ros.playback.check_report import as_json, lines, percent, write_report
from dexndm_ros.playback.check_types import CheckError, CheckResult
from dexndm_ros.playback.recorded import Recorded, read_recorded
from dexndm_ros.recording.read import BagError
from dexndm_ros.recording.software import software

__all__ = ["CHECKS", "DIVERGED", "EQUAL", "REFUSED", "add_arguments", "check", "check_from"]

CHECKS = ("policy", "guard", "driver", "replay")
EQUAL, DIVERGED, REFUSED = 0, 1, 2
MIN_SHARE = 0.9
"""Of less than this nobody can say that it is equal."""

Progress = Callable[[int, int], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--check`` and what belongs to it to a parser that knows ``bag``."""
    group = parser.add_argument_group("checking decisions instead of playing")
    group.add_argument(
        "--check",
        choices=(*CHECKS, "all"),
        action="append",
        help="compute decisions again from what was recorded, and compare to the last bit: the policy's targets, the "
        "guard's, what the driver did with commands, the replay's noise and targets; may be given several times",
    )
    group.add_argument("--policy", metavar="FILE", help="policy file, or name; default: the bag's")
    group.add_argument("--residual", metavar="FILE", help="residual file; default: the bag's")
    group.add_argument("--library", metavar="FILE", help="trajectory library to compare with")
    group.add_argument("--hand", metavar="NAMESPACE", default="", help="of several hands in a bag")
    group.add_argument(
        "--report", metavar="DIR", type=Path,
        help="write check.json and plots there, in the place of earlier ones; default: when something diverges, "
        "into a new folder BAG_check here",
    )  # fmt: skip
    group.add_argument(
        "--min-share", metavar="PERCENT", type=_share, default=MIN_SHARE,
        help="of which less could be compared is not called equal (default 90): exit status 2",
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="print the report as JSON")


def _share(word: str) -> float:
    """A share out of a percentage."""
    try:
        value = float(word.rstrip(" %"))
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 100.0:
        raise argparse.ArgumentTypeError(f"it is {word}; allowed: 0 to 100 percent")
    return value / 100.0


def check_from(options: argparse.Namespace) -> int:
    """Run the checks that a command line asks for; see :func:`check`."""
    return check(
        Path(options.bag),
        options.check,
        policy=options.policy,
        residual=options.residual,
        library=options.library,
        hand=options.hand,
        report=options.report,
        json_out=options.json,
        min_share=options.min_share,
    )


def check(
    bag: Path,
    checks: Sequence[str],
    *,
    policy: str | Path | None = None,
    residual: str | Path | None = None,
    library: str | Path | None = None,
    hand: str = "",
    report: Path | None = None,
    json_out: bool = False,
    min_share: float = MIN_SHARE,
) -> int:
    """Compute decisions in a bag again, and say where they part from what was recorded.

    Args:
        bag: folder or file.
        checks: of ``CHECKS``, or "all": those for which the bag has topics.
        policy: policy file; None = the bag's.
        residual: residual file; None = the bag's.
        library: library to compare clean targets with; None = they are taken as recorded.
        hand: namespace, of several hands in the bag.
        report: folder for JSON and plots; None = a new folder ``<bag>_check`` here if something diverges, else none.
        json_out: print JSON, not words.
        min_share: 0 to 1; where less of what should be compared could be, it is not called equal.

    Returns:
        0 everything is equal; 1 something diverged; 2 something could not be checked, and nothing diverged.
    """
    results: list[CheckResult] = []
    refused: dict[str, str] = {}
    try:
        recorded = read_recorded(bag, hand)
        wanted = _wanted(recorded, checks)
    except (BagError, CheckError, OSError) as error:
        print(f"dexndm replay --check: {error}", file=sys.stderr)
        return REFUSED
    for name in wanted:
        with _Bar(name) as progress:
            try:
                results.append(_run(name, recorded, policy, residual, library, progress))
            except ValueError as error:  # CheckError, PolicySpecError, LibraryError
                refused[name] = str(error)
    for result in results:
        if not result.compared:
            refused[result.check] = "; ".join(result.unknown) or "there is nothing to compare"
        elif not result.diverged and result.share < min_share:
            refused[result.check] = (
                f"only {percent(result.share)} of the {result.comparable} {result.what} could be compared; with less "
                f"than {percent(min_share)} (--min-share) nobody can say that the others were right"
            )
    status = EQUAL
    if any(result.diverged for result in results):
        status = DIVERGED
    elif refused:
        status = REFUSED
    made = _software(recorded)
    told = as_json(str(bag), results, refused, status, made)
    if json_out:
        print(json.dumps(told, indent=1, allow_nan=False))
    else:
        _say(recorded, results, refused)
        if status == DIVERGED:
            print("; ".join(f"{key} {', '.join(each.values())}" for key, each in made.items()))
    if report is not None or status == DIVERGED:
        try:
            report = report or _new_folder(f"{recorded.name}_check")
            files = write_report(report, told, results)
        except (OSError, ImportError) as error:
            where = report or Path.cwd()
            print(f"dexndm replay --check: no report in {where}: {error}", file=sys.stderr)
            return status or REFUSED
        print(f"report: {', '.join(map(str, files))}", file=sys.stderr if json_out else sys.stdout)
    return status


def _new_folder(name: str) -> Path:
    """A folder here that was not there before: bags of all campaigns are called the same."""
    for number in itertools.count(1):
        folder = Path(name if number == 1 else f"{name}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("numbers do not end")


def _software(recorded: Recorded) -> dict[str, dict[str, str]]:
    """What recorded the bag and what checks it: where they differ, a divergence may be no wonder."""
    names = ("software", "commit", "host")
    told = {name: recorded.custom_data[name] for name in names if name in recorded.custom_data}
    here = {**software(), "host": socket.gethostname()}
    return {"recorded by": told or {"software": "unknown"}, "checked by": here}


def _wanted(recorded: Recorded, checks: Sequence[str]) -> list[str]:
    """The checks to run, in their order."""
    if "all" not in checks:
        return [name for name in CHECKS if name in checks]
    there = {
        "policy": bool(recorded.policy_steps),
        "guard": bool(recorded.states),
        "driver": bool(recorded.states),
        "replay": bool(recorded.replay_steps),
    }
    found = [name for name in CHECKS if there[name]]
    if not found:
        raise CheckError(
            f"{recorded.name} holds none of policy/step, hand/state and replay/step: there is nothing to check"
        )
    return found


def _run(
    name: str,
    recorded: Recorded,
    policy: str | Path | None,
    residual: str | Path | None,
    library: str | Path | None,
    progress: Progress,
) -> CheckResult:
    # Each brings libraries that the others do not need.
    if name == "policy":
        from dexndm_ros.playback.policy_check import check_policy, find_policy

        base, correction, notes = find_policy(recorded, policy, residual)
        return check_policy(recorded, base, correction, notes, progress)
    if name == "guard":
        from dexndm_ros.playback.guard_check import check_guard

        return check_guard(recorded, progress)
    if name == "driver":
        from dexndm_ros.playback.driver_check import check_driver

        return check_driver(recorded)
    from dexndm_ros.playback.replay_check import check_replay_steps

    return check_replay_steps(recorded, library)


def _say(recorded: Recorded, results: Sequence[CheckResult], refused: dict[str, str]) -> None:
    for text in recorded.damage:
        print(f"{recorded.name} is not whole: {text}")
    for result in results:
        print("\n".join(lines(result)))
    ran = {result.check for result in results if not result.compared}
    for name, reason in refused.items():
        if name not in ran:
            print(f"{name}: cannot be checked: {reason}")


class _Bar:
    """A progress bar for what takes longer than a moment, on a terminal only."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        self._bar = bar = tqdm(
            desc=self._name, unit="ticks", unit_scale=True, leave=False, delay=1.0, disable=None
        )

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return progress

    def __exit__(self, *unused: object) -> None:
        self._bar.close()
