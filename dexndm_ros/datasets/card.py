# SPDX-License-Identifier: Apache-2.0
"""``README.md`` of a dataset: a Hugging Face dataset card with the questions of "Datasheets for Datasets" answered.

What stands between the two marks is written anew with every commit. The header and all else is the user's: a licence,
a citation or a word of warning that was put there stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dexndm_ros.datasets.features import FEATURES, FLAG_TEXTS, OWN_FEATURES, Feature, RowFlag
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.provenance import CONVERTER, Existing

__all__ = ["BEGIN", "END", "write_card"]

BEGIN = "<!-- written by dexndm convert: changes below are lost -->"
END = "<!-- end of what dexndm convert writes -->"
_HEADER = """---
# Choose a licence before you publish: https://hf.co/docs/hub/repositories-licenses
license: unknown
task_categories:
- robotics
tags:
- LeRobot
- LEAP-hand
- dexterous-manipulation
configs:
- config_name: default
  data_files: data/*/*.parquet
---

# Rotations with a LEAP hand

"""
_FOOTER = "\n\n## Notes\n\nWrite here; this part and the header stay when bags are added.\n"
_OWN_TEXTS = {
    "timestamp": ("s", "frame_index / fps; real stamps are in action.stamp_ns"),
    "frame_index": ("", "in the episode, from 0"),
    "episode_index": ("", "row of meta/episodes"),
    "index": ("", "in the dataset, from 0"),
    "task_index": ("", "row of meta/tasks.parquet"),
}


def write_card(
    folder: Path,
    whole: Existing,
    rate_hz: int,
    before: Path,
    features: tuple[Feature, ...] = FEATURES,
) -> None:
    """Write the card.

    Args:
        folder: of the dataset.
        whole: what is in it.
        rate_hz: control ticks a second.
        before: card of the dataset as it was; what a person wrote there is kept.
        features: the columns, without LeRobot's own.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    head, tail = _HEADER, _FOOTER
    try:
        text = before.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        text = ""
    if BEGIN in text and END in text:
        head, tail = text.split(BEGIN, 1)[0], text.rsplit(END, 1)[1]
    elif text:  # the marks were taken out: all of it is the user's
        with new_file(folder / "README.md") as file:
            file.write(text.encode())
        return
    body = "\n".join(_body(whole, rate_hz, features))
    with new_file(folder / "README.md") as file:
        file.write(f"{head}{BEGIN}\n{body}\n{END}{tail}".encode())


def _body(whole: Existing, rate_hz: int, features: tuple[Feature, ...]) -> Iterator[str]:
    hours = whole.rows / rate_hz / 3600
    flagged = sum(each["flagged"] for each in whole.bags)
    yield (
        f"{whole.episodes:,} episodes, {whole.rows:,} steps at {rate_hz} Hz ({hours:.1f} h), from {len(whole.bags):,} "
        "recordings. LeRobot v3.0 layout. Joints are in motor order, angles in radians.\n"
    )
    yield "## How to load it\n"
    yield "```python"
    yield "from lerobot.datasets.lerobot_dataset import LeRobotDataset"
    yield 'dataset = LeRobotDataset("local", root="PATH")\n'
    yield "import pyarrow.dataset"
    yield 'table = pyarrow.dataset.dataset("PATH/data").to_table(columns=["observation.state", "action", "valid"])\n'
    yield "from dexndm_ros.datasets.windows import WindowDataset  # for training: windows, straight from the files"
    yield 'batches = WindowDataset("PATH", length=10, episodes="train").batches(4096, epoch=0)'
    yield "```\n"
    yield "Leave rows out whose `valid` is false; `flags` says why they are not."
    yield "`meta/episodes` has campaign, orientation, trajectory, seed and error figures of each episode.\n"
    yield "## Columns\n"
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for each in features:
        kind = each.dtype + (f"[{each.width}]" if each.width else "")
        yield f"| `{each.name}` | {kind} | {each.unit} | {each.text} |"
    for name, dtype in OWN_FEATURES.items():
        unit, text = _OWN_TEXTS[name]
        yield f"| `{name}` | {dtype} | {unit} | {text} |"
    yield "\nBits of `flags`:\n"
    for flag, text in FLAG_TEXTS.items():
        bad = " (not valid)" if flag & RowFlag.INVALID else ""
        yield f"- {flag.value}: {text}{bad}"
    yield "\n## Motivation\n"
    if features != FEATURES:
        yield (
            "Demonstrations: an operator moves the arm and chooses the axis of rotation, a policy moves the fingers. "
            "Controllers, arm and axis are the newest messages before each row, with their ages; NaN = not known.\n"
        )
    yield (
        "Measured answers of a hand to known targets, to learn how the real hand differs from its model: recorded "
        "target sequences are replayed with noise while the hand carries a load, or a policy rotates an object.\n"
    )
    yield "## Composition\n"
    yield from _composition(whole)
    yield (
        f"- {flagged:,} episodes have findings that a person should know of (`verdict` in `meta/episodes`); "
        f"{len(whole.rejected):,} were left out, with reasons in `meta/provenance.json`\n"
    )
    yield "## Collection\n"
    yield (
        "A LEAP hand (16 Dynamixel motors) driven at a fixed rate, its bus read every cycle. All topics were recorded "
        "into rosbag2 files; names, check sums, software, commit, host and loss of each are in "
        "`meta/provenance.json`.\n"
    )
    yield "## Preprocessing\n"
    yield (
        f"By {CONVERTER}. State and action of a control tick are matched by sequence numbers where the recording has "
        "them, else by time stamps (flag BY_TIME). Nothing is resampled or filled in. Checks, counts and what was done "
        f"are in `quality.json` and `report.html`. Configuration {whole.config_hash[:16]}, written out in "
        "`meta/provenance.json`. Statistics in `meta` are of the valid rows.\n"
    )
    yield "## Uses\n"
    yield (
        "Dynamics models of single joints, fingers or the hand; residual policies; identification of motors. There are "
        "no pictures and no object poses in it.\n"
    )
    yield "## Maintenance\n"
    yield (
        "`dexndm convert BAGS --out PATH` adds recordings: known ones are left out, data files that are there do not "
        "change. The recordings are the archive: this dataset can be made again from them."
    )


def _composition(whole: Existing) -> Iterator[str]:
    for fact, words in (
        ("orientation", "orientations of the wrist"),
        ("campaign", "campaigns"),
        ("hand_load", "loads of the hand"),
    ):
        found = Counter(
            {
                str(each["provenance"][fact]): 0
                for each in whole.bags
                if each["provenance"].get(fact)
            }
        )
        for each in whole.bags:
            if each["provenance"].get(fact):
                found[str(each["provenance"][fact])] += each["episodes"]
        if found:
            names = ", ".join(f"{name} ({found[name]:,})" for name in sorted(found))
            yield f"- {words}, with episodes: {names}"
    if whole.tasks:
        yield f"- tasks: {'; '.join(whole.tasks)}"
