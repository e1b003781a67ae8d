# SPDX-License-Identifier: Apache-2.0
"""Installs the Python package, its nodes, and what they read from share/ (ament_python)."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
PACKAGE = "dexndm_ros"
NODES = (
    "arm_bridge",
    "bag_replay",
    "chaos_box_replay",
    "dashboard",
    "episode_recorder",
    "leap_hand_driver",
    "quest_bridge",
    "rotation_policy",
    "virtual_arm",
    "virtual_leap_hand",
)
SHARED_FOLDERS = ("launch", "config", "policies")


def shared_files() -> list[tuple[str, list[str]]]:
    """List launch/, config/ and policies/, folder by folder, for share/dexndm_ros."""
    found: dict[str, list[str]] = {}
    for top in SHARED_FOLDERS:
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                name = path.relative_to(ROOT)
                found.setdefault(f"share/{PACKAGE}/{name.parent.as_posix()}", []).append(str(name))
    return list(found.items())


def version() -> str:
    """Read the version from the package, without importing it."""
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    assert match, f"no __version__ in {PACKAGE}/__init__.py"
    return match.group(1)


setup(
    name=PACKAGE,
    version=version(),
    description="A ROS 2 stack that lets a LEAP hand rotate objects and close its own reality gap",
    license="Apache-2.0",
    maintainer="dexndm_ros maintainers",
    maintainer_email="maintainers@dexndm-ros.invalid",
    python_requires=">=3.11",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={
        PACKAGE: ["py.typed"],
        f"{PACKAGE}.dashboard": ["static/*"],
        f"{PACKAGE}.teleop.web": ["static/*"],
    },
    # Dependencies are in package.xml (rosdep) and requirements.txt (pip): a second list here would make the
    # console scripts check at each start what colcon has already arranged.
    install_requires=[],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (
            "bin",
            ["scripts/dexndm"],
        ),  # colcon puts <prefix>/bin on PATH: `dexndm` without `ros2 run`
        *shared_files(),
    ],
    entry_points={
        "console_scripts": [
            *(f"{node} = {PACKAGE}.nodes.{node}:main" for node in NODES),
            f"dexndm = {PACKAGE}.cli:main",
        ],
    },
)
