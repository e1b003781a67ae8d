# SPDX-License-Identifier: Apache-2.0
"""Where the files that ship with the package lie: launch/, config/ and policies/.

In a source checkout they are folders beside the package; after `colcon build` or `pip install` they are in
`<prefix>/share/dexndm_ros`. Everything that opens such a file asks here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = [
    "WORLD_OF_LOAD",
    "PathError",
    "campaign_path",
    "library_path",
    "policy_path",
    "share_dir",
    "world_path",
]

PACKAGE = "dexndm_ros"
WORLD_OF_LOAD = {
    "full": "chaos_box",
    "half": "chaos_box_half",
    "free": "free_hand",
    "tied": "tied_ball",
}
"""The shipped world of each load that a hand can collect against."""


class PathError(FileNotFoundError):
    """A file that ships with the package, or that was named by the user, is not there."""


def share_dir() -> Path:
    """Return the folder that holds launch/, config/ and policies/.

    Raises:
        PathError: when neither a checkout nor an installed share folder is found.
    """
    here = Path(__file__).resolve()
    checkout = here.parents[1]
    prefixes = [*here.parents, *map(Path, _ament_prefixes()), Path(sys.prefix)]
    candidates = [checkout, *(prefix / "share" / PACKAGE for prefix in prefixes)]
    for candidate in candidates:
        if (candidate / "package.xml").is_file() and (candidate / "config").is_dir():
            return candidate
    raise PathError(
        f"the configuration of {PACKAGE} was found neither beside {here.parent} nor in share/{PACKAGE} of "
        f"{os.environ.get('AMENT_PREFIX_PATH') or 'an AMENT_PREFIX_PATH (it is empty)'}; source install/setup.bash "
        "of the workspace, or work in a checkout"
    )


def world_path(name: str | os.PathLike[str]) -> Path:
    """Return the file of a world.

    Args:
        name: a name in config/worlds ("nominal"), or the path of a YAML file.

    Raises:
        PathError: when there is no such world; the message lists those that ship.
    """
    return _resolve(name, share_dir() / "config" / "worlds", (".yaml", ".yml"), "world")


def campaign_path(name: str | os.PathLike[str]) -> Path:
    """Return the file of a Chaos Box campaign.

    Args:
        name: a name in config/campaigns ("demo"), or the path of a YAML file.

    Raises:
        PathError: when there is no such campaign; the message lists those that ship.
    """
    return _resolve(name, share_dir() / "config" / "campaigns", (".yaml", ".yml"), "campaign")


def policy_path(name: str | os.PathLike[str]) -> Path:
    """Return the ONNX file of a policy.

    Args:
        name: a folder in policies/ ("cylinder_z", which means its generalist.onnx), a file in it
            ("cylinder_z/generalist"), or the path of an ONNX file.

    Raises:
        PathError: when there is no such policy; the message lists those that ship.
    """
    shipped = share_dir() / "policies"
    if (shipped / name / "generalist.onnx").is_file() and not Path(name).is_file():
        return shipped / name / "generalist.onnx"
    return _resolve(name, shipped, (".onnx",), "policy")


def library_path(name: str | os.PathLike[str]) -> Path:
    """Return the file of a trajectory library.

    Args:
        name: a folder in policies/ ("cylinder_z", which means its trajectories.parquet), a file in it
            ("cylinder_z/trajectories"), or the path of a Parquet file.

    Raises:
        PathError: when there is no such library; the message lists those that ship.
    """
    shipped = share_dir() / "policies"
    if (shipped / name / "trajectories.parquet").is_file() and not Path(name).is_file():
        return shipped / name / "trajectories.parquet"
    return _resolve(name, shipped, (".parquet",), "trajectory library")


def _resolve(
    name: str | os.PathLike[str], shipped: Path, suffixes: tuple[str, ...], what: str
) -> Path:
    given = Path(name).expanduser()
    if given.suffix in suffixes and given.is_file():
        return given.resolve()
    for suffix in suffixes:
        candidate = shipped / f"{given}{suffix}"
        if not given.is_absolute() and candidate.is_file():
            return candidate
    if (shipped / given).is_file() and given.suffix in suffixes:
        return shipped / given
    if given.is_file():
        raise PathError(f"{what} file {given} does not end in {' or '.join(suffixes)}")
    files = sorted(path for path in shipped.rglob("*") if path.suffix in suffixes)
    names = ", ".join(path.relative_to(shipped).with_suffix("").as_posix() for path in files)
    raise PathError(
        f"no {what} {os.fspath(name)!r}; give the path of a {suffixes[0]} file, or one of those that ship: "
        f"{names or 'none'}"
    )


def _ament_prefixes() -> list[str]:
    return [
        prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix
    ]
