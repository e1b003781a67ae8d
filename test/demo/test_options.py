# SPDX-License-Identifier: Apache-2.0
"""The command line: what is understood, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.bringup import SYSTEMS
from dexndm_ros.demo.options import DemoOptions, parse_options


def test_nothing_asked_is_the_virtual_hand_until_ctrl_c() -> None:
    options = parse_options([])
    assert options == DemoOptions() and options.simulated and options.seconds is None


def test_everything_asked() -> None:
    words = (
        "--world w.yaml --policy p.onnx --residual r.onnx --axis=-z --wrist palm_down --seconds 2.5 --headless "
        "--save out --report r.json --rate 400 --profile lite --realtime --seed 3"
    )
    options = parse_options(words.split())
    assert (options.seconds, options.headless, options.save) == (2.5, True, Path("out"))
    assert options.arguments() == {
        "sim": "true", "world": "w.yaml", "port": "", "policy": "p.onnx",
        "residual": "r.onnx", "axis": "-z",
        "wrist": "palm_down", "rate": "400", "profile": "lite", "realtime": "true", "seed": 3,
    }  # fmt: skip


def test_a_port_means_a_real_hand() -> None:
    options = parse_options(["--port", "/dev/leap_hand"])
    assert not options.simulated
    assert options.arguments()["sim"] == "false"


def test_the_arguments_are_those_of_the_system() -> None:
    names = {argument.name for argument in SYSTEMS["rotation_demo"].arguments}
    assert set(DemoOptions().arguments()) == names


@pytest.mark.parametrize(
    "words, said",
    [
        (["--axis", "1,1,0"], "unit vector"),
        (["--axis", "stop"], "nothing would turn"),
        (["--wrist", "sideways"], "palm_up"),
        (["--seconds", "0"], "allowed: above 0"),
        (["--seconds", "nan"], "allowed: above 0"),
        (["--seed", "-1"], "--seed"),
        (["--headless", "--view"], "exclude each other"),
        (["--headless", "--report", "r.json"], "--seconds"),
        (["--head"], "unrecognized"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(words, said, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@given(st.text(max_size=12))
def test_any_word_for_seconds_is_a_time_or_refused(text) -> None:
    try:
        seconds = parse_options([f"--seconds={text}"]).seconds
    except SystemExit as error:
        assert error.code == 2
    else:
        assert seconds is not None and 0.0 < seconds <= 604800.0
