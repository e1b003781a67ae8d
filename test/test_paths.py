# SPDX-License-Identifier: Apache-2.0
"""The files that ship are found in a checkout and in an install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dexndm_ros.paths import PathError, policy_path, share_dir, world_path

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A share folder with one world and one policy, taken for ours."""
    (tmp_path / "config" / "worlds").mkdir(parents=True)
    (tmp_path / "config" / "worlds" / "calm.yaml").write_text("{}")
    (tmp_path / "policies" / "cube_x").mkdir(parents=True)
    (tmp_path / "policies" / "cube_x" / "generalist.onnx").touch()
    (tmp_path / "policies" / "cube_x" / "oracle.onnx").touch()
    monkeypatch.setattr("dexndm_ros.paths.share_dir", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkout_is_its_own_share() -> None:
    assert share_dir() == ROOT


def test_a_world_by_name_by_file_and_by_relative_path(share: Path, tmp_path: Path) -> None:
    calm = share / "config" / "worlds" / "calm.yaml"
    assert world_path("calm") == calm
    assert world_path("calm.yaml") == calm
    assert world_path(calm) == calm
    assert world_path("config/worlds/calm.yaml") == calm


def test_an_unknown_world_lists_those_that_ship(share: Path) -> None:
    with pytest.raises(PathError, match=r"no world 'storm'.*calm"):
        world_path("storm")


def test_a_policy_by_folder_by_name_and_by_file(share: Path) -> None:
    folder = share / "policies" / "cube_x"
    assert policy_path("cube_x") == folder / "generalist.onnx"
    assert policy_path("cube_x/oracle") == folder / "oracle.onnx"
    assert policy_path(folder / "oracle.onnx") == folder / "oracle.onnx"


def test_an_unknown_policy_lists_those_that_ship(share: Path) -> None:
    with pytest.raises(PathError, match=r"no policy 'ball'.*cube_x/generalist"):
        policy_path("ball")


def test_a_file_of_another_kind_is_refused(share: Path) -> None:
    (share / "policy.pt").touch()
    with pytest.raises(PathError, match=r"policy\.pt does not end in \.onnx"):
        policy_path("policy.pt")


def test_an_installed_package_finds_its_share(tmp_path: Path) -> None:
    site = tmp_path / "prefix" / "lib" / "python3" / "site-packages" / "dexndm_ros"
    share = tmp_path / "prefix" / "share" / "dexndm_ros"
    (share / "config").mkdir(parents=True)
    (share / "package.xml").touch()
    site.mkdir(parents=True)
    for name in ("__init__.py", "paths.py"):
        (site / name).write_text((ROOT / "dexndm_ros" / name).read_text(encoding="utf-8"))
    code = "from dexndm_ros.paths import share_dir; print(share_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(site.parent), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert Path(done.stdout.strip()) == share


def test_nothing_found_says_what_to_source(tmp_path: Path) -> None:
    site = tmp_path / "dexndm_ros"
    site.mkdir()
    for name in ("__init__.py", "paths.py"):
        (site / name).write_text((ROOT / "dexndm_ros" / name).read_text(encoding="utf-8"))
    code = "from dexndm_ros.paths import share_dir; share_dir()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "setup.bash" in done.stderr
