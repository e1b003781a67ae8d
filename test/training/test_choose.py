# SPDX-License-Identifier: Apache-2.0
"""What is to run is chosen by real rollouts, at their smallest, of the shipped policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dexndm_ros.training.episodes as episodes
import dexndm_ros.training.evaluate as evaluation
import dexndm_ros.training.residual.select as selection
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.spec import read_spec
from dexndm_ros.training.choose import main
from dexndm_ros.training.sysid.inverse import write_inverse
from support.identified import TWIN
from support.tiny_policy import leap_seat, leap_spec, residual_spec, write_tiny_policy

BENT = "bent.yaml"


@pytest.fixture(scope="module")
def inverse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the hand of ``BENT``."""
    folder = tmp_path_factory.mktemp("inverse")
    (folder / BENT).write_text(TWIN, encoding="utf-8")
    return write_inverse(str(folder / BENT), folder / "inverse.onnx")


@pytest.fixture
def files(tmp_path: Path, inverse: Path) -> dict[str, Path]:
    """An inverse that gives the hand of ``BENT`` its motion back, a correction that ruins it, one that does nothing."""
    (tmp_path / BENT).write_text(TWIN, encoding="utf-8")
    push = np.full(16, -0.3) * np.resize([1.0, -1.0], 16)
    return {
        "inverse": inverse,
        "push": write_tiny_policy(tmp_path / "push.onnx", bias=push, spec=residual_spec(0.4)),
        "nothing": write_tiny_policy(tmp_path / "nothing.onnx", spec=residual_spec(0.1)),
    }


def choose(tmp_path: Path, *residuals: Path, **changes: Any) -> int:
    """Four objects under one wrist."""
    words: dict[str, Any] = {
        "world": tmp_path / BENT, "wrist": "palm_up", "episodes": 4, "physics": "fast", "threads": 1,
        "out": tmp_path / "policy" / "chosen.onnx", **changes,
    }  # fmt: skip
    given = [str(word) for key, value in words.items() for word in (f"--{key}", value)]
    return main(["--residuals", *map(str, residuals), *given])


def made(tmp_path: Path) -> tuple[Path, dict[str, Any], str]:
    out = tmp_path / "policy" / "chosen.onnx"
    record = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    return out, record, (out.parent / "README.md").read_text(encoding="utf-8")


def test_what_turns_farthest_is_the_file_that_is_to_run(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture
) -> None:
    assert choose(tmp_path, files["push"], files["inverse"]) == 0
    out, record, card = made(tmp_path)
    assert out.read_bytes() == files["inverse"].read_bytes()
    assert record["chosen"] == "inverse" and set(record["rows"]) == {"none", "push", "inverse"}
    turned = {name: row["rotation_rad"] for name, row in record["rows"].items()}
    assert turned["inverse"] == max(turned.values()) >= 1.02 * turned["none"]
    words = f"base policy with inverse is to run: in rollouts in {BENT}"
    assert words in capsys.readouterr().out and words in card
    for name, row in record["rows"].items():
        shown = f"| {'base alone' if name == 'none' else name} | 4 | {row['rotation_rad']:.1f} |"
        assert shown in card
    assert str(tmp_path) not in card


def test_where_nothing_turns_farther_the_file_runs_the_base_alone_and_says_why(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    assert choose(tmp_path, files["nothing"], files["push"]) == 0
    out, record, card = made(tmp_path)
    assert record["chosen"] == "none"
    reason = read_spec(out).refused
    assert "the base policy alone is to run" in reason and "push" in reason
    policy = load_policy(policy_path("cylinder_z"), leap_seat(), out)
    policy.reset(np.zeros(16), np.zeros(16))
    action = policy.step(np.zeros(16), np.array([0, 0, 0, 1.0]), np.array([0, 0, 1.0]))
    assert policy.refused == reason and not action.residual.any()
    assert "runs the policy `cylinder_z` alone" in card
    # The files that were chosen between are as they were.
    assert read_spec(files["nothing"]).refused == "" == read_spec(files["push"]).refused


def test_a_refused_residual_takes_no_part(tmp_path: Path, files: dict[str, Path]) -> None:
    spec = residual_spec(0.1, refused="the hand answers a tick late")
    late = write_tiny_policy(tmp_path / "late.onnx", spec=spec)
    assert choose(tmp_path, late, files["inverse"]) == 0
    out, record, card = made(tmp_path)
    assert set(record["rows"]) == {"none", "inverse"}
    assert record["left_out"] == {"late": "the hand answers a tick late"}
    assert "late is refused: the hand answers a tick late" in card
    # Alone, it is no choice: the base runs, and nothing has to turn for that.
    assert choose(tmp_path, late) == 0
    out, record, card = made(tmp_path)
    assert record["chosen"] == "none" and record["rows"] == {}
    assert read_spec(out).refused == "the hand answers a tick late"
    assert "the base policy is to run alone" in card.lower()


def test_objects_and_grasps_are_none_that_anything_else_uses(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job says what it would draw, and goes no further."""

    class DrawnError(Exception):
        pass

    def draw(base: Any, count: int, ranges: Any, seed: int, first: int = 0) -> None:
        raise DrawnError(seed)

    def seed_of(job: Callable[[], Any]) -> int:
        with pytest.raises(DrawnError) as drawn:
            job()
        seed: int = drawn.value.args[0]
        return seed

    monkeypatch.setattr(selection, "draw_worlds", draw)
    monkeypatch.setattr(episodes, "draw_worlds", draw)
    chosen = seed_of(lambda: choose(tmp_path, files["nothing"], seed=7))
    config = selection.SelectConfig(world="gains")
    many = {str(k): files["nothing"] for k in range(4)}  # enough of them for two rounds
    first = seed_of(lambda: selection.select(config, "cylinder_z", many, seed=7, threads=1))
    test = seed_of(lambda: evaluation.main(["--episodes", "1", "--seeds", "7"]))
    # Seeds of a run are small numbers: none of them takes one draw to another's.
    second = first + selection._BETWEEN_ROUNDS
    assert min(abs(chosen - other) for other in (first, second, test)) > 50_000


def test_what_cannot_be_chosen_between_is_refused_before_anything_is_made(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture
) -> None:
    def refused(says: str, *residuals: Path, **changes: Any) -> None:
        assert choose(tmp_path, *residuals, **changes) == 2
        assert says in capsys.readouterr().err
        assert not (tmp_path / "policy" / "chosen.onnx").exists()

    twin = tmp_path / "other" / "inverse.onnx"
    twin.parent.mkdir()
    twin.write_bytes(files["inverse"].read_bytes())
    base = write_tiny_policy(tmp_path / "base.onnx", spec=leap_spec())
    refused("told apart by their names", files["inverse"], twin)
    refused("has no object to turn", files["inverse"], world="chaos_box")
    refused("no world 'nowhere'", files["inverse"], world="nowhere")
    refused("there is no such file", tmp_path / "gone.onnx")
    refused("kind", base)
    refused("episodes", files["inverse"], episodes=0)
    refused("wrist", files["inverse"], wrist="sideways")
    (tmp_path / "policy").mkdir(exist_ok=True)
    (tmp_path / "policy" / "README.md").write_text("# mine\n", encoding="utf-8")
    refused("give --out a folder of its own", files["inverse"])
    assert (tmp_path / "policy" / "README.md").read_text(encoding="utf-8") == "# mine\n"
