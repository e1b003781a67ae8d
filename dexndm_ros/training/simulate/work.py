# SPDX-License-Identifier: Apache-2.0
"""What a process does with a block: it becomes a part file, as a bag does in a conversion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.datasets.episode import BagResult, Episode
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.part import part_head, part_name, read_part, write_part
from dexndm_ros.training.simulate.blocks import Block
from dexndm_ros.training.simulate.closed_loop import roll_out
from dexndm_ros.training.simulate.config import RolloutConfig
from dexndm_ros.training.simulate.open_loop import replay

__all__ = ["BlockDone", "BlockTask", "block_done", "block_job", "trim_part"]


@dataclass(frozen=True)
class BlockTask:
    """A block to simulate.

    Attributes:
        block: what.
        parts: folder of the part files.
        made_by: software and commit, for the record.
    """

    block: Block
    parts: Path
    made_by: str


@dataclass(frozen=True)
class BlockDone:
    """What came of it.

    Attributes:
        kept: episodes of use.
        rows: of them.
        fell: episodes that lost their object.
        bad: episodes that are no use for another reason.
    """

    kept: int
    rows: int
    fell: int
    bad: int


def block_job(task: BlockTask) -> BlockDone:
    """Simulate a block and write its part.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    block = task.block
    rollout = isinstance(block.config, RolloutConfig)
    episodes = roll_out(block) if rollout else replay(block)
    _write(task.parts, block.sha256, block, episodes, task.made_by)
    return _count(episodes, [len(each) for each in episodes])


def block_done(parts: Path, sha256: str) -> BlockDone | None:
    """What came of a block that an earlier run has simulated; None = it is not there, or torn."""
    path = parts / part_name(sha256)
    try:
        head = part_head(path)
    except FileNotFoundError:
        return None
    except DatasetError:
        path.unlink(missing_ok=True)
        return None
    return _count(head.result.episodes, head.rows)


def trim_part(parts: Path, block: Block, keep: int, made_by: str) -> Path:
    """A part with a block's episodes up to the last of the first ``keep`` that are of use; its path.

    Raises:
        DatasetError: the block's part is torn.
        DatasetWriteError: the disk refuses.
    """
    episodes: list[Episode] = []
    left = keep
    for episode in read_part(parts / part_name(block.sha256)).episodes:
        if not left:
            break
        episodes.append(episode)
        left -= episode.verdict != "drop"
    return _write(parts, block.trimmed_sha256(keep), block, episodes, made_by)


def _write(
    parts: Path, sha256: str, block: Block, episodes: Sequence[Episode], made_by: str
) -> Path:
    rows = sum(map(len, episodes))
    result = BagResult(
        name=block.name,
        sha256=sha256,
        bytes=0,
        messages={},
        episodes=tuple(episodes),
        provenance={
            "made_by": made_by,
            "campaign": block.world.name,
            "rows": rows,
            "of_use": sum(each.verdict != "drop" for each in episodes),
            "recipe": dict(block.recipe),
        },
    )
    path = parts / part_name(sha256)
    write_part(path, result)
    return path


def _count(episodes: Sequence[Episode], rows: Sequence[int]) -> BlockDone:
    kept = [k for k, each in enumerate(episodes) if each.verdict != "drop"]
    fell = sum(any(f.check == "fell" for f in each.findings) for each in episodes)
    dropped = [each for each in episodes if each.verdict == "drop"]
    bad = sum(all(f.check != "fell" for f in each.findings) for each in dropped)
    return BlockDone(len(kept), sum(rows[k] for k in kept), fell, bad)
