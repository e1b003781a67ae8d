# SPDX-License-Identifier: Apache-2.0
"""Whether ledger and bags of a campaign agree exactly, told by reading all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.partial import PART, PARTIAL
from dexndm_ros.recording.read import BagError
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Attempt, Counts, Ledger
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.lock import CampaignLock, LockedError
from dexndm_ros.replay.noise import executed, noise, trajectory_seed
from dexndm_ros.replay.prepare import BAGS, LEDGER_FILE
from dexndm_ros.replay.recorded import STEP_TOPIC, check_replay, is_topic
from dexndm_ros.replay.trajectory import STEPS, LibraryError, TrajectorySource

__all__ = ["VerifyReport", "verify"]

_FEW = 3
"""Complaints told of one bag."""


@dataclass(frozen=True)
class VerifyReport:
    """What was found.

    Attributes:
        counts: rows of the plan by state.
        bags: bags of done rows that were read.
        messages: in them.
        bytes: size of them.
        rejected: why each attempt was rejected, ("e000012_a1", reason).
        interrupted: attempts that were interrupted and do not count.
        problems: where ledger and bags disagree, in sentences; () = they agree.
        notes: what is no disagreement, but worth knowing.
    """

    counts: Counts
    bags: int
    messages: int
    bytes: int
    rejected: tuple[tuple[str, str], ...]
    interrupted: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Nothing is lost, nothing twice, everything as it was to be."""
        return not self.problems


def verify(
    directory: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """Read a campaign's ledger and every bag.

    While a campaign runs in the folder, what it has finished is looked at; else the folder is locked meanwhile.

    Args:
        directory: the campaign's folder.
        progress: called with bags read and bags to read.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    folder = Path(directory)
    with Ledger.read_only(folder / LEDGER_FILE) as ledger:
        lock, running = _lock(folder)
        try:
            return _Verifier(ledger, folder / BAGS, running).report(progress)
        finally:
            if lock is not None:
                lock.release()


def _lock(folder: Path) -> tuple[CampaignLock | None, bool]:
    try:
        return CampaignLock(folder, "dexndm campaign verify"), False
    except LockedError:
        return None, True
    except OSError:  # a medium that cannot be written: nobody else writes to it either
        return None, False


class _Verifier:
    def __init__(self, ledger: Ledger, bags: Path, running: bool) -> None:
        self._ledger = ledger
        self._campaign: Campaign = ledger.campaign
        self._bags = bags
        self._running = running
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._messages = self._bytes = 0

    def report(self, progress: Callable[[int, int], None]) -> VerifyReport:
        attempts, counts = self._ledger.attempts(), self._ledger.counts()
        source = self._open_source()
        self._problems += self._plan()
        self._problems += self._folders(attempts)
        done = [attempt for attempt in attempts if attempt.state == "done"]
        for number, attempt in enumerate(done):
            progress(number, len(done))
            wrong = list(self._bag(attempt, source))
            more = [f"and {len(wrong) - _FEW} more"] if len(wrong) > _FEW else []
            self._problems += [f"{attempt.bag}: {text}" for text in wrong[:_FEW] + more]
        progress(len(done), len(done))
        return VerifyReport(
            counts=counts,
            bags=len(done),
            messages=self._messages,
            bytes=self._bytes,
            rejected=tuple((a.claim.episode, a.reason) for a in attempts if a.state == "rejected"),
            interrupted=sum(a.state == "interrupted" for a in attempts),
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )

    def _open_source(self) -> TrajectorySource | None:
        campaign = self._campaign
        try:
            source = open_source(
                campaign.library, seed=campaign.seed, noise=campaign.noise, check=False
            )
        except (LibraryError, OSError) as error:
            self._problems.append(f"the targets cannot be recomputed: {error}")
            return None
        if source.sha256 != self._ledger.library_sha256:
            self._problems.append(
                f"the targets cannot be recomputed: {campaign.library} is another library than the campaign's "
                f"(sha256 {source.sha256[:12]}, the ledger says {self._ledger.library_sha256[:12]})"
            )
            return None
        return source

    def _plan(self) -> Iterator[str]:
        plan = self._ledger.plan()
        if len(plan) != self._campaign.count:
            yield f"the ledger plans {len(plan)} rows, the campaign {self._campaign.count}"
        for k, row in enumerate(plan):
            if row.entry != k or row.seed != trajectory_seed(self._campaign.seed, row.entry):
                yield f"row {row.entry} of the plan has another number or seed than the campaign gives it"
                return

    def _folders(self, attempts: list[Attempt]) -> Iterator[str]:
        """Folders beside rows: each bag has its attempt, and nothing is half done."""
        claimed = {a.claim.episode for a in attempts if a.state == "claimed"}
        owners = {a.bag for a in attempts if a.bag}
        under_way = {name + ending for name in claimed for ending in ("", PART)}
        for folder in sorted(path for path in self._bags.glob("*") if path.is_dir()):
            if folder.name in owners or folder.suffix == PARTIAL:
                continue
            if not (self._running and folder.name in under_way):
                yield f"{folder.name}: lies in {self._bags}, and no row of the ledger knows it"
        if claimed and self._running:
            self._notes.append(f"the campaign runs: {len(claimed)} rows are under way")
        elif claimed:
            yield (
                f"{', '.join(sorted(claimed))}: under way in the ledger, and no process is at work; "
                "start the campaign again, it puts this in order"
            )
        if aside := sum(1 for _ in self._bags.glob(f"*{PARTIAL}")):
            self._notes.append(f"{aside} partial recordings were put aside (*{PARTIAL})")

    def _bag(self, attempt: Attempt, source: TrajectorySource | None) -> Iterator[str]:
        """What is wrong with the bag of a done row."""
        claim, result, bag = attempt.claim, attempt.result, self._bags / attempt.bag
        assert result is not None
        if attempt.bag != claim.episode:
            yield f"is the bag of {claim.episode}, and should be named so"
        found = check_bag(bag)
        if not found.complete:
            yield found.reason
            return
        self._messages += found.messages
        self._bytes += found.bytes
        steps = sum(n for topic, n in found.counts.items() if is_topic(topic, STEP_TOPIC))
        if steps != STEPS:
            yield f"{steps} messages of {STEP_TOPIC}, there must be {STEPS}"
        if found.lost or result.lost or result.dropped:
            yield f"{max(found.lost, result.lost + result.dropped)} messages were lost"
        if found.messages != result.messages:
            yield f"{found.messages} messages, the ledger says {result.messages}"
        if source is None:
            return
        try:
            clean_rad = source.trajectory(claim.trajectory).targets_rad
            noise_rad = noise(self._campaign.noise, claim.seed, len(clean_rad))
            yield from check_replay(
                bag,
                self._campaign.name,
                claim,
                clean_rad,
                noise_rad,
                executed(clean_rad, noise_rad),
            )
        except (BagError, LibraryError) as error:
            yield str(error)
