# SPDX-License-Identifier: Apache-2.0
"""A dataset's folder as the quality report reads it: what it says of itself, and its rows a stretch at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError

__all__ = ["DatasetView", "EpisodeRow", "open_view", "row_groups"]

TASK_KINDS = ("policy", "rollout", "demonstration")
"""Episodes of this kind are what a policy did; all others were collected to learn from."""


@dataclass(frozen=True)
class EpisodeRow:
    """An episode of the dataset.

    Attributes:
        identity: see :class:`~dexndm_ros.datasets.episode.Episode`.
        bag: name of the bag it is from.
        length: rows.
        kind: replay, policy, demonstration or joint_state.
        campaign: its name; '' = none.
        orientation: of the wrist; '' = not told.
        trajectory: number in the library; -1 = none.
        started_ns: system time; 0 = not told.
        verdict: keep or flag.
        findings: as mappings with check, count, action, text.
    """

    identity: str
    bag: str
    length: int
    kind: str
    campaign: str
    orientation: str
    trajectory: int
    started_ns: int
    verdict: str
    findings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class DatasetView:
    """What a dataset says of itself.

    Attributes:
        name: of its folder.
        rate_hz: control ticks a second.
        episodes: in the order of their numbers.
        bags: of its provenance.
        rejected: episodes that are not in it: identity, bag, reasons.
        unreadable: bags that gave nothing: bag, campaign, reason.
        left_out: bags that were not meant, as those.
        converter: name and version.
        config_hash: of the configuration that the bags were converted with.
    """

    name: str
    rate_hz: int
    episodes: Sequence[EpisodeRow]
    bags: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    unreadable: Sequence[Mapping[str, Any]]
    left_out: Sequence[Mapping[str, Any]]
    converter: str
    config_hash: str

    def findings(self) -> Iterator[tuple[str, str, Sequence[Mapping[str, Any]]]]:
        """``bags`` or ``episodes``, the name of the one, and its findings; those of rejected episodes too."""
        for bag in self.bags:
            yield "bags", str(bag.get("name", "")), bag.get("findings", ())
        for each in self.episodes:
            yield "episodes", each.identity, each.findings
        for one in self.rejected:
            yield "episodes", str(one.get("identity", "")), one.get("findings", ())


def row_groups(
    folder: Path, columns: Sequence[str]
) -> Iterator[tuple[dict[str, NDArray[np.generic]], float]]:
    """The rows of all data files, a row group at a time: whole episodes, in order.

    Args:
        folder: of the dataset.
        columns: wanted.

    Yields:
        columns as (n,) or (n, width) arrays, and the share of the dataset that has been read with them.

    Raises:
        DatasetError: a data file cannot be read, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((folder / "data").glob("chunk-*/file-*.parquet"))
    for place, path in enumerate(files):
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=list(columns), use_threads=False)
                    missing = sorted(set(columns) - set(table.column_names))
                    if missing:
                        raise DatasetError(f"{path} has no column {', '.join(missing)}")
                    rows = {name: _array(table.column(name)) for name in columns}
                    yield rows, (place + (group + 1) / file.num_row_groups) / len(files)
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}); convert its bags again into a new dataset"
            ) from error


def _array(column: Any) -> NDArray[np.generic]:
    whole = column.combine_chunks()
    width = getattr(column.type, "list_size", 0)
    flat = whole.flatten() if width else whole
    found: NDArray[np.generic] = flat.to_numpy(zero_copy_only=False)
    return found.reshape(-1, width) if width else found


def open_view(folder: Path) -> DatasetView:
    """Read ``meta/`` of a dataset.

    Raises:
        DatasetError: it is no dataset of this converter.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        info = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
        provenance = json.loads((folder / "meta/provenance.json").read_text(encoding="utf-8"))
        files = sorted((folder / "meta/episodes").glob("chunk-*/file-*.parquet"))
        tables = [pq.read_table(path, columns=_there(path)) for path in files]
        return DatasetView(
            name=folder.name,
            rate_hz=int(info["fps"]),
            episodes=[_episode(row) for table in tables for row in table.to_pylist()],
            bags=provenance["bags"],
            rejected=provenance["rejected"],
            unreadable=provenance["unreadable"],
            left_out=provenance["left_out"],
            converter=str(provenance["converter"]),
            config_hash=str(provenance["config_hash"]),
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(
            f"{folder} is no dataset of dexndm convert ({error}); give the folder that --out named"
        ) from error


_WANTED = (
    "episode_index", "length", "identity", "bag", "kind", "campaign", "orientation", "trajectory", "started_ns",
    "verdict", "findings",
)  # fmt: skip
_FINDING = re.compile(r"(\w+) \((\d+), (\w+)\): (.*)", re.DOTALL)


def _there(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [name for name in pq.read_schema(path).names if name in _WANTED]


def _episode(row: Mapping[str, Any]) -> EpisodeRow:
    return EpisodeRow(
        identity=str(row.get("identity") or row["episode_index"]),
        bag=str(row.get("bag") or ""),
        length=int(row["length"]),
        kind=str(row.get("kind") or "joint_state"),
        campaign=str(row.get("campaign") or ""),
        orientation=str(row.get("orientation") or ""),
        trajectory=int(row["trajectory"]) if row.get("trajectory") is not None else -1,
        started_ns=int(row.get("started_ns") or 0),
        verdict=str(row.get("verdict") or "keep"),
        findings=[_finding(text) for text in row.get("findings") or ()],
    )


def _finding(text: str) -> dict[str, Any]:
    """A finding as meta/episodes keeps it, in parts again."""
    found = _FINDING.fullmatch(text)
    if found is None:
        return {"check": "other", "count": 1, "action": "noted", "text": text}
    check, count, action, what = found.groups()
    return {"check": check, "count": int(count), "action": action, "text": what}
