# SPDX-License-Identifier: Apache-2.0
"""The command line of ``dexndm collect``."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from dexndm_ros.bringup import SYSTEMS
from dexndm_ros.collect.options import CollectOptions, parse_options


def test_nothing_said_is_the_virtual_hand_at_its_own_pace() -> None:
    options = parse_options([])
    assert options == CollectOptions()
    arguments = options.arguments(Path("c.yaml"), Path("out"))
    assert arguments["sim"] == "true" and arguments["dashboard"] == "true"
    assert arguments["speed"] == "1.0"


def test_every_argument_is_one_of_the_system() -> None:
    known = {argument.name for argument in SYSTEMS["chaos_box"].arguments}
    assert set(CollectOptions().arguments(Path("c"), Path("o"))) <= known


def test_what_is_said_reaches_the_system() -> None:
    words = "--campaign night --out here --trajectories 12 --orientation palm_down --load half"
    more = "--seed 5 --world w --port /dev/x --speed 4 --rate 200 --profile lite --realtime"
    rest = "--headless --dashboard-port 9000 --yes"
    options = parse_options(f"{words} {more} {rest}".split())
    assert options == CollectOptions(
        campaign="night", out=Path("here"), trajectories=12, orientation="palm_down", load="half",
        seed=5, world="w", port="/dev/x", speed="4", rate_hz="200", profile="lite", realtime=True,
        headless=True, dashboard_port="9000", yes=True,
    )  # fmt: skip
    assert options.arguments(Path("c"), Path("o")) == {
        "campaign": Path("c"), "out": Path("o"), "world": "w", "sim": "false", "port": "/dev/x",
        "speed": "4", "rate": "200", "profile": "lite", "realtime": "true", "seed": 5,
        "dashboard": "false", "dashboard_port": "9000",
    }  # fmt: skip


def test_a_seed_of_the_campaign_fits_the_world_too() -> None:
    options = parse_options(["--seed", str(2**62 + 7)])
    assert options.arguments(Path("c"), Path("o"))["seed"] == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--trajectories", "0"], "'0' is not allowed; give 1 to 1000000"),
        (["--trajectories", "many"], "'many' is not allowed"),
        (["--seed", "-1"], "--seed"),
        (["--orientation", "sideways"], "palm_up"),
        (["--load", "overfull"], "tied"),
        (["--profile", "max"], "lite"),
        (["--head"], "unrecognized arguments"),
    ],
)
def test_a_wrong_word_ends_with_status_2_and_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse_options(words)
    assert ending.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_command_that_goes_on_is_for_the_same_hand() -> None:
    words = ["--out", "/data/my night", "--port", "/dev/leap_hand", "--profile", "lite", "--realtime",
             "--trajectories", "9"]  # fmt: skip
    again = parse_options(words).again(Path("/data/my night"))
    assert again == (
        "dexndm collect --out '/data/my night' --port /dev/leap_hand --profile lite --realtime"
    )
    assert parse_options(shlex.split(again)[2:]).again(Path("/data/my night")) == again
    assert parse_options([]).again(Path("out")) == "dexndm collect --out out"
