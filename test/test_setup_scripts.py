# SPDX-License-Identifier: Apache-2.0
"""`make`, scripts/setup, scripts/env.sh and .ci/run, without installing anything."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "cat", "cksum", "cut", "dirname", "find", "grep", "head", "id", "mkdir", "paste", "rm",
         "sed", "sort", "tail", "tr", "xargs")  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts read; the real environment is never touched."""
    for name in ("scripts", "msg", ".ci"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    for path in [ROOT / "Makefile", ROOT / "constraints.txt", *ROOT.glob("requirements*.txt")]:
        shutil.copy(path, tmp_path / "checkout")
    return tmp_path / "checkout"


def machine(tmp_path: Path, *tools: str) -> dict[str, str]:
    """The environment of a machine with a bare userland and just these tools."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in TOOLS:
        (bin_ / tool).symlink_to(shutil.which(tool) or f"/missing/{tool}")
    for tool in tools:
        (bin_ / tool).write_text("#!/bin/sh\nexit 0\n")
        (bin_ / tool).chmod(0o755)
    (bin_ / "python3").symlink_to(sys.executable)
    return {"PATH": str(bin_), "HOME": str(tmp_path)}


def run(checkout: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def only_line(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_missing_cmake_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    line = only_line(run(checkout, machine(tmp_path, "c++"), "scripts/setup"))
    assert line.startswith("error: cmake is missing")
    assert not (checkout / ".venv").exists()


def test_a_missing_compiler_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    line = only_line(run(checkout, machine(tmp_path, "cmake"), "scripts/setup"))
    assert line.startswith("error: a C++ compiler is missing")


def test_an_old_python_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    environment = machine(tmp_path, "cmake", "c++")
    old = tmp_path / "bin" / "python3.8"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.10 && exit 0\nexit 1\n')
    old.chmod(0o755)
    line = only_line(run(checkout, environment | {"PYTHON": "python3.8"}, "scripts/setup"))
    assert "Python 3.8.10" in line
    assert "3.11" in line


def test_another_ros_is_refused(checkout: Path, tmp_path: Path) -> None:
    environment = machine(tmp_path, "cmake", "c++")
    environment |= {"ROS_DISTRO": "humble", "AMENT_PREFIX_PATH": "/opt/ros/humble"}
    line = only_line(run(checkout, environment, "scripts/setup"))
    assert "humble" in line
    assert "Jazzy" in line


def test_jazzy_without_colcon_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    environment = machine(tmp_path, "cmake", "c++")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rclpy.py").touch()
    environment |= {
        "ROS_DISTRO": "jazzy",
        "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
        "PYTHON": "python3",
        "PYTHONPATH": str(tmp_path / "site"),
    }
    assert "colcon is missing" in only_line(run(checkout, environment, "scripts/setup"))


def test_an_environment_of_someone_else_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "precious").touch()
    line = only_line(run(checkout, machine(tmp_path, "cmake", "c++"), "scripts/setup"))
    assert "not made by this script" in line
    assert (checkout / ".venv" / "precious").exists()


def test_an_unknown_argument_is_refused(checkout: Path, tmp_path: Path) -> None:
    line = only_line(run(checkout, machine(tmp_path), "scripts/setup", "--fast"))
    assert "--fast" in line


def test_env_before_setup_says_what_to_do(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, machine(tmp_path), "bash", "-euo", "pipefail", "-c", ". scripts/env.sh")
    assert "run 'make setup'" in only_line(done)


@pytest.mark.parametrize(("made", "distro"), [("wheels", "jazzy"), ("jazzy", "")])
def test_env_does_not_mix_two_kinds_of_ros(
    checkout: Path, tmp_path: Path, made: str, distro: str
) -> None:
    for name in (".venv/bin/activate", "install/local_setup.bash", ".venv/.dexndm/kind"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(f"{made}, Python 3.12, {checkout}\n")
    environment = machine(tmp_path) | {"ROS_DISTRO": distro, "AMENT_PREFIX_PATH": "/opt/ros/x"}
    line = only_line(run(checkout, environment, "bash", "-c", ". scripts/env.sh"))
    assert f"set up with ROS '{made}'" in line
    assert f"has '{distro or 'wheels'}'" in line


@pytest.mark.ros
def test_env_can_be_sourced_twice_under_strict_bash() -> None:
    names = "AMENT_PREFIX_PATH PYTHONPATH"
    code = f'. scripts/env.sh; for i in {names}; do echo "${{!i}}"; done; . scripts/env.sh; '
    code += f'for i in {names}; do echo "${{!i}}"; done'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.split()
    assert lines[:2] == lines[2:]
    assert lines[1].split(":")[0] == str(ROOT)


@pytest.mark.ros
def test_the_command_works_from_any_folder_and_shell(tmp_path: Path) -> None:
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = ROOT / ".venv" / "bin" / "dexndm"
    if not command.exists():
        pytest.skip("not set up by scripts/setup")
    done = run(tmp_path, bare, str(command), "--version")
    assert done.stdout.startswith("dexndm "), done.stderr


def recipe(target: str, *words: str) -> list[str]:
    done = subprocess.run(
        ["make", "-n", target, *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if not line.startswith("make")]


def test_make_test_lints_and_ends_with_pytest() -> None:
    lines = recipe("test", "ARGS=test/hand")
    assert lines[0] == "scripts/setup --dev"
    assert "ruff check ." in lines[1]
    assert "ruff format --check ." in lines[1]
    assert "mypy" in lines[1]
    assert "pytest" in lines[-1]
    assert lines[-1].endswith("test/hand")


@pytest.mark.ros
@pytest.mark.parametrize(
    ("target", "words", "said"),
    [
        ("test", "ARGS=--version", "pytest"),
        ("soak", "ARGS=--version", "pytest"),
        ("demo", "ARGS=--help", "usage: dexndm demo"),
        ("bench", "ARGS=--help", "usage:"),
    ],
)
def test_the_last_line_of_a_recipe_runs(target: str, words: str, said: str) -> None:
    line = recipe(target, words)[-1]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


def test_make_demo_needs_no_development_packages() -> None:
    lines = recipe("demo", "ARGS=--seconds 3")
    assert lines[0] == "scripts/setup"
    assert lines[-1].endswith("dexndm_ros.cli demo --seconds 3")


def test_make_help_names_every_target() -> None:
    text = "\n".join((ROOT / "Makefile").read_text(encoding="utf-8").splitlines())
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:"))
    for target in phony.split()[1:]:
        assert target == "help" or f"make {target}" in text


def test_ci_ends_in_make_test() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "exec make --no-print-directory test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_repair_points_the_exports_at_this_interpreter(tmp_path: Path) -> None:
    repair = runpy.run_path(str(ROOT / "scripts" / "repair_ros_wheels.py"))["repair"]
    export = tmp_path / "share" / "some_msgs" / "cmake" / "export.cmake"
    export.parent.mkdir(parents=True)
    export.write_text(
        'INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp312-cp312/include/python3.12;'
        "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;"
        '${_IMPORT_PREFIX}/include"'
    )
    assert repair(tmp_path, "/py/include", "/np/include") == 1
    assert export.read_text() == (
        'INTERFACE_INCLUDE_DIRECTORIES "/py/include;/np/include;${_IMPORT_PREFIX}/include"'
    )
    assert repair(tmp_path, "/py/include", "/np/include") == 0
