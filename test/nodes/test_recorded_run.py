# SPDX-License-Identifier: Apache-2.0
"""A real run of driver, policy and recorder is done again from its bags, to the last bit."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_ros.paths import policy_path
from dexndm_ros.playback.check_cli import DIVERGED, EQUAL, check
from dexndm_ros.playback.guard_check import check_guard
from dexndm_ros.playback.policy_check import NO_HISTORY, check_policy, find_policy
from dexndm_ros.playback.recorded import read_recorded
from support.runs import recorded_run
from support.tiny_policy import residual_spec, write_tiny_policy

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The shipped policy, and a residual that looks at everything."""
    weight = np.random.default_rng(0).normal(size=(343, 16)) * 0.01
    folder = tmp_path_factory.mktemp("residual")
    residual = write_tiny_policy(folder / "r.onnx", weight=weight, spec=residual_spec(0.05))
    return policy_path("cylinder_z"), residual


@pytest.fixture(scope="module")
def bags(tmp_path_factory, files):
    """Two bags of one run: its start with a stop and a refused command, and a piece out of its middle."""
    folder = tmp_path_factory.mktemp("run")
    with recorded_run(folder, *files, max_step_rad=0.14) as run:
        with run.recording("start"):
            run.call("hand/enable")
            run.ticks(15)
            run.turn(0, 0, 0)
            run.ticks(3, stopped=True)
            run.hold_palm(0, 0, 0, 1)
            run.turn(0, 0, -1)
            run.ticks(10)
            run.command(np.full(16, 9.0))
            run.ticks(10)
        with run.recording("middle"):
            run.ticks(25)
            run.call("hand/relax")
            run.ticks(3, stopped=True)
        return run.bags / "start", run.bags / "middle"


def test_the_bag_names_files_and_settings_and_everything_is_equal_to_the_last_bit(bags, files):
    for bag in bags:
        assert check(bag, ["all"]) == EQUAL
    recorded = read_recorded(bags[0])
    assert find_policy(recorded) == (*files, ())
    assert recorded.guard.max_step_rad == 0.14
    result = check_policy(recorded, *files)
    assert result.equal >= 30 and not result.diverged
    assert check_guard(recorded).equal > 100


def test_a_bag_out_of_the_middle_of_a_run_is_checked_too(bags, files):
    result = check_policy(read_recorded(bags[1]), *files)
    assert result.equal >= 10 and not result.diverged
    assert 1 <= result.unknown[NO_HISTORY] <= 10


def test_another_file_diverges_and_the_report_says_where(bags, files, tmp_path, capsys):
    report = tmp_path / "report"
    assert check(bags[0], ["policy"], policy=files[0], report=report) == DIVERGED
    said = capsys.readouterr().out
    assert "first: tick" in said and "residual_action" in said
    assert "another residual file than the recorded one" in said
    assert (report / "policy.png").stat().st_size > 10_000
