# SPDX-License-Identifier: Apache-2.0
"""docs/datasets.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dexndm_ros.datasets.convert_cli import main
from dexndm_ros.datasets.demonstration_features import DEMONSTRATION_FEATURES
from dexndm_ros.datasets.features import FEATURES
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.datasets.quality import ALL_CHECKS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


def test_every_check_is_there_with_its_rule() -> None:
    for check in ALL_CHECKS.values():
        assert f"| {check.title} | {check.meaning} | {check.rule} |" in TEXT


def test_every_column_is_there() -> None:
    for each in (*FEATURES, *DEMONSTRATION_FEATURES):
        assert f"| `{each.name}` | {each.width or 1} | {each.unit} | {each.text} |" in TEXT


def test_every_option_that_is_named_exists(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    commands = re.findall(r"dexndm convert [^`\n]*", TEXT)
    named = {word for line in commands for word in re.findall(r"--[a-z][a-z-]+", line)}
    assert named <= known, named - known
    for option in known - {"--help", "--no-report"}:
        assert option in TEXT


def test_the_mapping_file_can_be_used() -> None:
    text = re.search(r"```yaml\n(state:.*?)```", TEXT, re.DOTALL)
    assert text
    assert TopicMapping.parse(yaml.safe_load(text[1])).command.topic == "/cmd_leap"
