# SPDX-License-Identifier: Apache-2.0
"""An oracle that begins from one which saw less."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dexndm_ros.training.cli import main as train
from dexndm_ros.training.oracle import load_oracle
from dexndm_ros.training.widen import input_count, widen_checkpoint

SHIPPED = Path(__file__).parents[2] / "policies" / "cylinder_z" / "oracles" / "up_plus"


def test_a_wider_oracle_does_what_the_narrower_one_did_whatever_the_new_inputs(tmp_path):
    narrow = load_oracle(SHIPPED)
    widened = widen_checkpoint(SHIPPED / "oracle.pt", narrow.inputs + 5, tmp_path / "oracle.pt")
    shutil.copy(SHIPPED / "config.json", tmp_path)
    wide = load_oracle(widened.parent)
    assert wide.inputs == narrow.inputs + 5 == input_count(widened)
    seen = torch.randn(64, wide.inputs)
    with torch.inference_mode():
        assert torch.allclose(wide(seen), narrow(seen), atol=1e-6)
        changed = torch.cat([seen[:, :-5], torch.randn(64, 5)], dim=1)
        assert torch.equal(wide(changed), wide(seen))


def test_what_fits_is_left_alone_and_a_newer_one_is_refused(tmp_path):
    count = input_count(SHIPPED / "oracle.pt")
    out = tmp_path / "begin.pt"
    assert widen_checkpoint(SHIPPED / "oracle.pt", count, out) == SHIPPED / "oracle.pt"
    with pytest.raises(ValueError, match=f"trained on {count} numbers"):
        widen_checkpoint(SHIPPED / "oracle.pt", count - 1, out)
    assert not out.exists()
    assert input_count(tmp_path / "absent.pt") == 0


def test_a_run_from_a_shipped_oracle_learns_with_what_is_seen_now_and_resumes(tmp_path):
    words = ["oracle", "--out", str(tmp_path), "--envs", "8", "--grasps", "16", "--save-every", "1"]
    begin = ["--init-from", str(SHIPPED / "oracle.pt")]
    assert train([*words, *begin, "--total-steps", "128"]) == 0
    first = load_oracle(tmp_path)
    assert first.inputs > input_count(SHIPPED / "oracle.pt")
    assert train([*words, *begin, "--total-steps", "256"]) == 0
    assert load_oracle(tmp_path).inputs == first.inputs
    assert json.loads((tmp_path / "config.json").read_text())["init_from"] == begin[1]
