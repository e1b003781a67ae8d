# SPDX-License-Identifier: Apache-2.0
"""Who may know whom, read from the source and from what an interpreter really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexndm_ros.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dexndm_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))

ROS = {
    "rclpy", "launch", "launch_ros", "ament_index_python", "builtin_interfaces", "dexndm_msgs",
    "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs", "rcl_interfaces", "rosgraph_msgs",
    "sensor_msgs", "std_msgs", "std_srvs", "trajectory_msgs",
}  # fmt: skip
TORCH = {"torch", "tensordict", "rsl_rl", "tensorboard", "onnxscript"}
MUJOCO = {"mujoco", "mujoco_warp", "warp"}
ROOMS = {
    "hand", "policy", "sim", "training", "nodes", "demo", "replay", "recording", "dashboard", "collect",
    "bags", "datasets", "playback", "loop", "teleop",
}  # fmt: skip

# Room -> the rooms of ours it may import. The top-level modules are named one by one below.
MAY_IMPORT_ROOMS = {
    "hand": set(),
    "policy": set(),
    "sim": {"hand", "policy", "teleop"},  # the arm's joint table
    "recording": {"hand"},
    "bags": {"recording"},
    "datasets": {
        "hand",
        "policy",
        "bags",
        "recording",
        "replay",
        "teleop",
    },  # the arm's joint table
    # findings as `dexndm doctor` tells them; axes as the policy reads them; files that only their owner reads
    "teleop": {"hand", "policy", "dashboard"},
    "playback": {"hand", "policy", "bags", "recording", "replay", "datasets"},
    "replay": {"hand", "policy", "recording"},
    "training": {"hand", "policy", "sim", "replay", "recording", "datasets"},
    "dashboard": {"hand", "replay", "recording"},
    "nodes": {
        "hand",
        "policy",
        "sim",
        "replay",
        "recording",
        "dashboard",
        "bags",
        "playback",
        "teleop",
    },
    "demo": {"hand", "policy", "sim", "nodes", "teleop"},
    "collect": {"hand", "policy", "sim", "nodes", "replay", "recording", "dashboard"},
    "loop": {
        "sim",
        "replay",
        "datasets",
        "training",
    },  # what is checked, a lock, a page; its steps are processes
}
# Rooms whose third-party imports are an allowed list and not all that is installed.
LIBRARIES = {
    "hand": {"numpy", "dynamixel_sdk", "serial"},
    "policy": {"numpy", "onnxruntime", "onnx"},  # onnx writes the spec that onnxruntime reads
}
# Files that show what is installed, and so must name things they do not depend on.
LOOKS_AROUND = {"hand/doctor.py"}
# launch/ is ROS's own, and imported inside the functions that only a launch file calls.
LAUNCH_ONLY = {"launching.py"}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            base = node.module or ""
            yield base, node.lineno
            if base == "dexndm_ros":
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def room_of(path: Path) -> str:
    name = path.relative_to(PACKAGE)
    return name.parts[0] if len(name.parts) > 1 else ""


def offences(rule) -> list[str]:
    found = []
    for path in MODULES:
        for name, line in imports(path):
            why = rule(path, name)
            if why:
                found.append(f"{path.relative_to(ROOT)}:{line}: imports {name}: {why}")
    return found


def report(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def test_only_nodes_know_ros() -> None:
    def rule(path: Path, name: str) -> str:
        top = name.split(".")[0]
        relative = path.relative_to(PACKAGE).as_posix()
        if top not in ROS or room_of(path) == "nodes":
            return ""
        if top in ("launch", "launch_ros") and relative in LAUNCH_ONLY:
            return ""
        return "only nodes/ speak ROS"

    report(offences(rule))


def test_rooms_import_only_the_rooms_below_them() -> None:
    def rule(path: Path, name: str) -> str:
        here, parts = room_of(path), name.split(".")
        if not here or parts[0] != "dexndm_ros" or len(parts) < 2 or parts[1] not in ROOMS:
            return ""
        allowed = MAY_IMPORT_ROOMS[here] | {here}
        return "" if parts[1] in allowed else f"{here}/ may import {', '.join(sorted(allowed))}"

    report(offences(rule))


def test_hand_and_policy_need_numpy_and_their_one_library() -> None:
    def rule(path: Path, name: str) -> str:
        allowed, top = LIBRARIES.get(room_of(path)), name.split(".")[0]
        if allowed is None or path.relative_to(PACKAGE).as_posix() in LOOKS_AROUND:
            return ""
        known = top in allowed or top == "dexndm_ros" or top in sys.stdlib_module_names
        return "" if known else f"allowed: {', '.join(sorted(allowed))}"

    report(offences(rule))


def test_torch_stays_in_training() -> None:
    report(
        offences(
            lambda path, name: (
                "offline jobs only"
                if name.split(".")[0] in TORCH and room_of(path) != "training"
                else ""
            )
        )
    )


def test_mujoco_stays_behind_the_virtual_hand() -> None:
    report(
        offences(
            lambda path, name: (
                "sim/, training/ and the demo's pictures only"
                if name.split(".")[0] in MUJOCO and room_of(path) not in ("sim", "training", "demo")
                else ""
            )
        )
    )


def node_modules() -> list[str]:
    found = sorted((PACKAGE / "nodes").glob("*.py"))
    return [path.stem for path in found if not path.stem.startswith("_")]


@pytest.mark.ros
@pytest.mark.parametrize("node", node_modules())
def test_a_node_loads_only_what_it_runs_with(node: str) -> None:
    heavy = TORCH | {
        "onnx",
        "matplotlib",
        "viser",
        "imageio",
        "dexndm_ros.training",
        "dexndm_ros.demo",
    }
    if node not in ("virtual_arm", "virtual_leap_hand"):
        heavy |= MUJOCO | {"dexndm_ros.sim"}
    report(loaded(f"dexndm_ros.nodes.{node}") & heavy)


@pytest.mark.parametrize(
    "command",
    ["demo", "convert", "virtual-hand", "doctor", "evaluate", "choose", "library", "urdf"],
)
def test_a_command_that_does_not_train_loads_no_torch(command: str) -> None:
    target = next(known.target for known in COMMANDS if known.name == command)
    report(sorted(loaded(target.partition(":")[0]) & TORCH))


@pytest.mark.parametrize(
    "module", ["dexndm_ros.cli", "dexndm_ros.paths", "dexndm_ros.bringup", "dexndm_ros.launching"]
)
def test_what_launch_files_and_the_command_import_needs_no_wheel(module: str) -> None:
    """`ros2 launch` runs these with the system's Python, where the wheels are not."""
    wheels = TORCH | MUJOCO | {"numpy", "scipy", "onnxruntime", "dynamixel_sdk", "viser", "rclpy"}
    report(sorted(loaded(module) & wheels))


def loaded(module: str) -> set[str]:
    """Modules in memory after a fresh interpreter imported one."""
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_stays_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not lines or lines[0] == "# SPDX-License-Identifier: Apache-2.0"
    assert len(lines) <= 400, f"{len(lines)} lines: split it by noun"


def test_every_room_is_a_package_with_a_docstring() -> None:
    for folder in [PACKAGE, *(PACKAGE / room for room in ROOMS)]:
        if not any(folder.glob("*.py")):
            continue
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))), folder
