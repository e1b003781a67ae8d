# SPDX-License-Identifier: Apache-2.0
"""What comes out of a bag: episodes with their columns, and what was found out about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "BagResult", "Episode", "Finding", "Verdict"]

Action = Literal["noted", "repaired", "flagged", "dropped"]
Verdict = Literal["keep", "flag", "drop"]
"""keep: nothing to say; flag: kept, with findings that a person should know of; drop: not in the dataset."""


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in one episode or bag.

    Attributes:
        check: name of the check, as in ``quality.CHECKS``.
        count: how often.
        action: what was done about it: "noted" (it happens and harms nothing; the rows are marked), "repaired",
            "flagged" or "dropped".
        text: a sentence: what, where, and the cure where there is one.
    """

    check: str
    count: int
    action: Action
    text: str


@dataclass(frozen=True)
class Episode:
    """One trajectory, policy run or stretch of states.

    Attributes:
        identity: what makes it the same episode wherever its bag lies: "campaign/orientation/entry" for a replay; an
            episode with the identity of an earlier one is not taken twice.
        task: LeRobot's task in words.
        columns: one array for each of ``features.FEATURES``, equal lengths.
        facts: numbers and words for ``meta/episodes``: campaign, orientation, trajectory, entry, attempt, seed,
            session, load, kind, started_ns, duration_s, period and error figures; the same keys for every episode.
        findings: in the order of the checks.
        verdict: follows from the findings.
    """

    identity: str
    task: str
    columns: Mapping[str, NDArray[np.generic]]
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()
    verdict: Verdict = "keep"

    def __len__(self) -> int:
        return len(self.columns["valid"])


@dataclass(frozen=True)
class BagResult:
    """Everything the converter has to say about one bag.

    Attributes:
        name: folder or file name of the bag, no path.
        sha256: of its storage files' bytes.
        bytes: size of them.
        messages: read, by topic.
        episodes: dropped ones too, those with empty columns.
        findings: about the bag as a whole: damage, loss, unknown topics.
        provenance: what the bag says of itself: software, commit, session, host, library, noise.
    """

    name: str
    sha256: str
    bytes: int
    messages: Mapping[str, int]
    episodes: tuple[Episode, ...]
    findings: tuple[Finding, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
