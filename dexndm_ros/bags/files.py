# SPDX-License-Identifier: Apache-2.0
"""Which files make up a bag, of what kind they are, and what ``metadata.yaml`` says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dexndm_ros.bags.names import group_name, readable, splits
from dexndm_ros.bags.splits import gaps, missing_split, told_of_files
from dexndm_ros.bags.types import BagError, Damage
from dexndm_ros.recording.metadata import FILE_NAME, parse_metadata

__all__ = [
    "NEWEST_VERSION",
    "STOCK_KEY",
    "STOCK_RECORD",
    "Found",
    "Information",
    "find",
    "kind_of",
    "stock_custom_data",
]

NEWEST_VERSION = 9
"""The newest ``metadata.yaml`` that is understood: Jazzy's."""
_MAGICS = (
    (b"\x89MCAP0\r\n", "mcap"),
    (b"SQLite format 3\x00", "sqlite3"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_ENDINGS = {".mcap": "mcap", ".db3": "sqlite3", ".zstd": "zstd"}
_NAMES = re.compile(r".+\.(mcap|db3)(\.zstd)?")
_SECTION = re.compile(r"^  ([a-z_]+):", re.MULTILINE)
STOCK_RECORD, STOCK_KEY = "rosbag2", "serialized_metadata"
"""Where rosbag2 itself keeps a copy of ``metadata.yaml`` in an MCAP file."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CUSTOM = "custom_data"
_NUMBER = re.compile(r"  \w+: (\d{1,18})\n")
_WORD = re.compile(r"""  \w+: (mcap|sqlite3|zstd|file|FILE|message|MESSAGE|)(?:''|"")?\n""")
_FILES = re.compile(r"  \w+:\n((?: {2,4}- [A-Za-z_][\w.-]*\.(?:mcap|db3)(?:\.zstd)?\n)+)")
_NEEDED = (
    "version", "storage_identifier", "message_count", "relative_file_paths", "compression_format",
    "compression_mode", "custom_data",
)  # fmt: skip

Report = Callable[[Damage], None]


@dataclass
class Information:
    """``metadata.yaml``: what is needed always, and the whole when it is asked for.

    Attributes:
        text: all of it; '' = there is none.
        head: its short sections.
    """

    text: str = ""
    head: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Of the layout; 0 = there is no file, or it does not say."""
        version = self.head.get("version", 0)
        return version if isinstance(version, int) else 0

    @property
    def custom_data(self) -> dict[str, str]:
        """As text, whatever YAML made of it."""
        custom = self.head.get("custom_data")
        return {str(k): str(v) for k, v in custom.items()} if isinstance(custom, dict) else {}

    @property
    def messages(self) -> int:
        """Of all topics; -1 = it does not say."""
        count = self.head.get("message_count", -1)
        return count if isinstance(count, int) else -1

    def topics(self) -> list[dict[str, Any]]:
        """The sections of the topics; [] when they cannot be read."""
        try:
            found = parse_metadata(self.text).get("topics_with_message_count")
        except ValueError:
            return []
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


@dataclass
class Found:
    """A bag on the disk.

    Attributes:
        folder: where it lies.
        files: of its messages, in order.
        information: what its ``metadata.yaml`` says.
        name: of the bag.
    """

    folder: Path
    files: tuple[Path, ...]
    information: Information
    name: str


def find(path: Path, report: Report) -> Found:
    """The files of a bag.

    Args:
        path: a folder, one of its files, its ``metadata.yaml``, or ``FOLDER/NAME_*.mcap`` (also ``.db3``) for the
            numbered files of one recording without it.
        report: is told of files that are missing and of a damaged ``metadata.yaml``.

    Raises:
        BagError: there is no bag, or one of a version that is not understood.
    """
    if path.name == FILE_NAME and path.is_file():
        path = path.parent
    if path.is_file():
        kind_of(path)
        information = _read(path.parent / FILE_NAME, report)
        named = [Path(each).name for each in _named(information)]
        if path.name not in named:
            information = Information()  # another bag's
        elif len(named) > 1:  # its counts are of all the files
            head = {key: information.head.get(key) for key in ("version", _CUSTOM)}
            information = Information("", head)
        return Found(path.parent, (path,), information, readable(path.name))
    if not path.exists() and (files := splits(path)):
        for gap in gaps(files):
            report(gap)
        return Found(path.parent, tuple(files), Information(), readable(group_name(path)))
    if not path.is_dir():
        raise BagError(
            f"there is no bag {path}: give the folder of a bag, or its .mcap or .db3 file"
        )
    information = _read(path / FILE_NAME, report)
    there = sorted((each for each in path.iterdir() if _NAMES.fullmatch(each.name)), key=_natural)
    files = _listed(path, information, report) or there
    if files is there:
        for gap in gaps(there):
            report(gap)
    for extra in [each for each in there if each not in files]:
        text = f"lies in the bag's folder, but {FILE_NAME} does not name it: it was not read"
        report(Damage(extra.name, "missing", 0, text))
    if not files:
        inside = sorted(each.name for each in path.iterdir())[:5]
        raise BagError(
            f"{path} is no bag: it holds no .mcap or .db3 file"
            f"{', but ' + ', '.join(inside) if inside else '; it is empty'}"
        )
    return Found(path, tuple(files), information, readable(path.resolve().name))


def stock_custom_data(text: str) -> dict[str, str]:
    """Custom data out of the copy of ``metadata.yaml`` that rosbag2 puts into the file itself."""
    try:
        content = yaml.load(text, Loader=_LOADER) if "custom_data" in text else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return Information("", content).custom_data if isinstance(content, dict) else {}


def kind_of(path: Path) -> str:
    """One of "mcap", "sqlite3" and "zstd": by the first bytes of a file, else by its ending.

    Raises:
        BagError: none of them, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error
    for magic, kind in _MAGICS:
        if start.startswith(magic):
            return kind
    if start.startswith(b"#ROSBAG V"):
        raise BagError(f"{path} is a bag of ROS 1: convert it first with `rosbags-convert`")
    if (kind := _ENDINGS.get(path.suffix, "")) and start:
        return kind
    what = "is empty" if not start else f"begins with {start[:8]!r}"
    raise BagError(f"{path} is no bag: it {what}; MCAP, SQLite 3 and their .zstd are read")


def _read(path: Path, report: Report) -> Information:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return Information()
    except OSError as error:
        report(Damage(path.name, "metadata", 0, f"it cannot be read: {error.strerror}"))
        return Information()
    head = _sections(text)
    if head is None:
        try:
            head = parse_metadata(text)
        except (ValueError, RecursionError) as error:
            report(Damage(path.name, "metadata", len(text), f"{error}; the files are read without"))
            return Information()
    information = Information(text, head)
    if not 1 <= information.version <= NEWEST_VERSION:
        if information.version > NEWEST_VERSION:
            raise BagError(
                f"{path} is of version {information.version}; versions 1 to {NEWEST_VERSION} are understood: "
                "it was made by a newer ROS 2, so convert it there with `ros2 bag convert`, or update dexndm_ros"
            )
        report(Damage(path.name, "metadata", 0, f"its version is {head.get('version')!r}"))
    return information


def _sections(text: str) -> dict[str, Any] | None:
    """The short sections only: the topics' QoS are most of the text and rarely asked for. None = another layout."""
    marks = [(mark.start(), mark.group(1)) for mark in _SECTION.finditer(text)]
    if not marks:
        return None
    ends = [begin for begin, _ in marks[1:]] + [len(text)]
    cut = {
        name: text[begin:end]
        for (begin, name), end in zip(marks, ends, strict=True)
        if name in _NEEDED
    }
    custom = _quoted(cut.get(_CUSTOM, ""))
    if custom is not None:
        del cut[_CUSTOM]
    try:
        head = _plain(cut) or yaml.load("".join(cut.values()), Loader=_LOADER)
    except (yaml.YAMLError, ValueError):
        return None
    if not isinstance(head, dict) or not {"version", "relative_file_paths"} <= head.keys():
        return None
    return head if custom is None else {**head, _CUSTOM: custom}


def _plain(sections: dict[str, str]) -> dict[str, Any] | None:
    """Numbers, names and the list of files as every writer writes them; None = something is written another way."""
    head: dict[str, Any] = {}
    for name, section in sections.items():
        if (number := _NUMBER.fullmatch(section)) is not None:
            head[name] = int(number[1])
        elif (word := _WORD.fullmatch(section)) is not None:
            head[name] = word[1]
        elif (files := _FILES.fullmatch(section)) is not None:
            head[name] = [line.strip(" -") for line in files[1].splitlines()]
        else:
            return None
    return head


def _quoted(section: str) -> dict[str, str] | None:
    """Custom data as our recorder writes it, a quoted key and value a line; None = it is written another way."""
    title, *lines = section.split("\n")
    if title != f"  {_CUSTOM}:" or not lines or lines.pop() or not all(map(_is_member, lines)):
        return None
    try:
        found = json.loads(
            "{" + ",".join(lines) + "}"
        )  # such lines are members of an object in JSON too
    except (ValueError, RecursionError):
        return None
    plain = len(found) == len(lines) > 0 and all(isinstance(value, str) for value in found.values())
    return found if plain else None


def _is_member(line: str) -> bool:
    return line.startswith('    "') and line.endswith('"')


def _named(information: Information) -> list[str]:
    names = information.head.get("relative_file_paths")
    return [each for each in names if isinstance(each, str)] if isinstance(names, list) else []


def _listed(folder: Path, information: Information, report: Report) -> list[Path]:
    """The files that ``metadata.yaml`` names; early versions put the folder's name before them."""
    files: list[Path] = []
    for name in _named(information):
        for candidate in (folder / Path(name).name, folder / f"{Path(name).name}.zstd"):
            if candidate.is_file():
                files.append(candidate)
                break
        else:
            why, names = f"{FILE_NAME} names it, but it is not in the folder", _named(information)
            told = told_of_files(information.text)
            report(missing_split(Path(name).name, 0, why, told, len(names)))
    return files


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order in which _2 comes before _10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
