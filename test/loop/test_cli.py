# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dexndm_ros.loop.cli import main
from dexndm_ros.loop.records import claim
from dexndm_ros.loop.settings import Settings
from dexndm_ros.replay.lock import FileLock


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--world", "nowhere"], "no world 'nowhere'"),
        (["--world", "chaos_box"], "has no object to turn"),
        (["--seed", "-1"], "seed is -1"),
        (
            ["--size", "tiny", "--seed", "0"],
            "none of the 8 trajectories would be there to validate",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], says: str
) -> None:
    assert main([*words, "--out", str(tmp_path / "loop")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "loop").exists()


def test_without_ros_it_says_at_once_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "rclpy").is_dir()])
    monkeypatch.delitem(sys.modules, "rclpy", raising=False)
    assert main(["--out", str(tmp_path / "loop")]) == 2
    said = capsys.readouterr().err
    assert "no rclpy" in said and "make close-the-gap" in said
    assert not (tmp_path / "loop").exists()


@pytest.mark.ros
def test_a_folder_of_other_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    claim(Settings(tmp_path, "gains", "tiny"))
    assert main(["--out", str(tmp_path), "--world", "twin", "--size", "tiny"]) == 2
    assert "was begun with world gains and not twin" in capsys.readouterr().err


@pytest.mark.ros
def test_two_loops_in_one_folder_are_one_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with FileLock(tmp_path / "loop.lock", "the folder"):
        assert main(["--out", str(tmp_path), "--size", "tiny"]) == 2
    assert "is in use by process" in capsys.readouterr().err
