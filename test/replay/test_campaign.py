# SPDX-License-Identifier: Apache-2.0
"""Campaign files: what is read, what is refused, and how it is said."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.paths import campaign_path, share_dir
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.campaign import Campaign, CampaignError
from dexndm_ros.replay.prepare import prepare

LEAST = {"name": "night-1", "orientation": "palm_down", "library": "all.parquet", "count": 4000}
KEYS = {f.name for f in dataclasses.fields(Campaign)}

# Whatever YAML can hold: also dates, sets, bytes, huge numbers, and keys that are no text.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(),
    st.binary(),
    st.just(date(2026, 11, 21)),
    st.just({1}),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.one_of(st.text(), st.integers(), st.just((1, 2))), inner, max_size=4)
    ),
    max_leaves=12,
)


def sections() -> st.SearchStrategy[dict]:
    """Mappings with the true keys and any values, sections with their true keys too."""
    parts = {}
    for part in dataclasses.fields(Campaign):
        if part.default_factory is not dataclasses.MISSING:
            keys = [inner.name for inner in dataclasses.fields(part.default_factory)]
            parts[part.name] = VALUES | st.dictionaries(st.sampled_from(keys), VALUES)
        else:
            parts[part.name] = VALUES | st.just(LEAST.get(part.name, part.default))
    return st.fixed_dictionaries({}, optional=parts)


def test_a_short_file_has_the_paper_s_numbers():
    campaign = Campaign.from_dict(LEAST)
    assert (campaign.noise.probability, campaign.noise.sigma_rad) == (0.5, 0.01)
    assert campaign.wrist == "palm_down"
    assert dataclasses.replace(campaign, selection_orientation="palm_up").wrist == "palm_up"


@settings(max_examples=300)
@given(st.one_of(VALUES, sections()))
def test_any_mapping_is_a_campaign_or_refused(data):
    try:
        campaign = Campaign.from_dict(data, "night.yaml")
    except CampaignError as error:
        assert str(error).startswith("night.yaml: ")
        str(error).encode()  # can be printed
    else:
        assert Campaign.from_dict(yaml.safe_load(campaign.to_yaml())) == campaign


@settings(max_examples=200)
@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_file_is_a_campaign_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("campaign") / "night.yaml"
    file.write_bytes(content)
    with pytest.raises(CampaignError, match=r"night\.yaml"):
        Campaign.load(file)


def test_a_deeply_nested_file_is_refused(tmp_path):
    file = tmp_path / "deep.yaml"
    file.write_text("[" * 5000, encoding="utf-8")
    with pytest.raises(CampaignError, match=r"deep\.yaml"):
        Campaign.load(file)


@given(
    st.builds(
        dict,
        count=st.integers(1, 1_000_000),
        seed=st.integers(0, 2**63 - 1),
        orientation=st.sampled_from(["palm_up", "palm_down", "thumb_up"]),
        cooling=st.fixed_dictionaries(
            {
                "pause_c": st.floats(40, 64),
                "resume_c": st.floats(20, 39),
                "current_a": st.floats(0.1, 2),
            }
        ),
        schedule=st.sampled_from([{}, {"start": "18:00", "stop": "08:00"}, {"stop": "00:00"}]),
        notify=st.sampled_from([{}, {"webhook": "https://hooks.example:8443/T0/B1?x=y"}]),
    )
)
def test_what_is_written_is_read_again(tmp_path_factory, values):
    campaign = Campaign.from_dict({**LEAST, **values})
    file = tmp_path_factory.mktemp("campaign") / "night.yaml"
    file.write_text(campaign.to_yaml(), encoding="utf-8")
    assert Campaign.load(file) == campaign


@pytest.mark.parametrize("key", sorted(LEAST))
def test_a_missing_key_is_named(key):
    with pytest.raises(CampaignError, match=f"{key} is missing"):
        Campaign.from_dict({k: v for k, v in LEAST.items() if k != key})


@given(st.text(min_size=1).filter(lambda key: key not in KEYS))
def test_an_unknown_key_is_refused_with_those_known(key):
    with pytest.raises(CampaignError, match="unknown key") as error:
        Campaign.from_dict({**LEAST, key: 1})
    assert "selection_orientation" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 0}, ["count", "1 to 1000000", "got 0"]),
        ({"count": True}, ["count", "whole number", "True"]),
        ({"count": 3.0}, ["count", "whole number", "3.0"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 2**63}, ["seed", str(2**63)]),
        ({"name": "../x"}, ["name", "'../x'", "letters"]),
        ({"name": "ä"}, ["name", "letters"]),
        ({"orientation": "up"}, ["orientation", "'up'", "thumb_down"]),
        ({"selection_orientation": "up"}, ["selection_orientation", "'up'", "palm_up"]),
        ({"library": " "}, ["library", "empty", "waves"]),
        ({"library": "a\nb"}, ["library", "line of text"]),
        ({"hand_load": "none"}, ["hand_load", "'none'", "tied"]),
        ({"start": "now"}, ["start", "'now'", "service"]),
        ({"attempts": 0}, ["attempts", "1 to 100", "got 0"]),
        ({"noise": {"probability": 1.5}}, ["noise", "probability", "1.5"]),
        ({"noise": {"sigma_rad": -0.01}}, ["noise", "sigma_rad", "-0.01"]),
        ({"noise": None}, ["noise", "mapping", "None"]),
        ({"motion": {"transition_rad_s": 4}}, ["motion.transition_rad_s", "3.0", "got 4"]),
        ({"cooling": {"pause_c": 70}}, ["cooling.pause_c", "64", "70"]),
        ({"cooling": {"pause_c": float("nan")}}, ["cooling.pause_c", "finite", "nan"]),
        ({"cooling": {"resume_c": 58}}, ["cooling.resume_c", "cooling.pause_c (58.0)", "58"]),
        ({"cooling": {"rest_every": 50}}, ["rest_every", "rest_s", "both"]),
        ({"cooling": {"pause_k": 300}}, ["cooling.pause_k", "cooling.pause_c"]),
        ({"recovery": {"backoff_s": 90.0}}, ["recovery.backoff_s", "60.0", "90.0"]),
        ({"recovery": {"budget": 0}}, ["recovery.budget", "0"]),
        ({"jam": {"time_s": 0}}, ["jam.time_s", "0.1", "got 0"]),
        ({"disk": {"resume_gb": 1}}, ["disk.pause_gb", "disk.resume_gb (1.0)"]),
        ({"load_check": {"min_ratio": 2}}, ["load_check.min_ratio", "2"]),
        ({"schedule": {"start": "25:00"}}, ["schedule.start", "'25:00'", '"18:00"']),
        ({"schedule": {"start": "6 pm"}}, ["schedule.start", "'6 pm'"]),
        ({"schedule": {"start": "08:00", "stop": "08:00"}}, ["schedule.stop", "differ"]),
        ({"schedule": {"max_hours": -1}}, ["schedule.max_hours", "-1"]),
        ({"notify": {"webhook": "ftp://x"}}, ["notify.webhook", "'ftp://x'", "https://"]),
        ({"notify": {"webhook": "http://"}}, ["notify.webhook"]),
        ({"notify": {"webhook": "http://[::1"}}, ["notify.webhook"]),
        ({"notify": {"webhook": "http://a:99999"}}, ["notify.webhook"]),
    ],
)
def test_an_impossible_value_is_refused_in_words(change, words):
    with pytest.raises(CampaignError) as error:
        Campaign.from_dict({**LEAST, **change}, "night.yaml")
    for word in ["night.yaml", *words]:
        assert word in str(error.value)


def test_a_number_of_thousands_of_digits_is_refused():
    with pytest.raises(CampaignError, match="seed"):
        Campaign.from_dict({**LEAST, "seed": 10**5000})


def test_impossible_values_are_refused_without_a_file_too():
    with pytest.raises(CampaignError, match="count"):
        Campaign("a", "palm_up", "x.parquet", 0)


def test_a_time_of_day_needs_no_quotes(tmp_path):
    file = tmp_path / "night.yaml"
    text = yaml.safe_dump(LEAST) + "schedule: {start: 18:00, stop: 08:05}\n"
    assert yaml.safe_load(text)["schedule"]["start"] == 1080  # what YAML 1.1 makes of it
    file.write_text(text, encoding="utf-8")
    schedule = Campaign.load(file).schedule
    assert (schedule.start, schedule.stop) == ("18:00", "08:05")


def test_a_library_beside_the_file_is_found_from_anywhere(tmp_path):
    (tmp_path / "all.parquet").touch()
    file = tmp_path / "night.yaml"
    file.write_text(yaml.safe_dump(LEAST), encoding="utf-8")
    assert Campaign.load(file).library == str(tmp_path / "all.parquet")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CampaignError, match="No such file"):
        Campaign.load(tmp_path / "none.yaml")


# --- the files that ship ------------------------------------------------------------------------------

SHIPPED = sorted((share_dir() / "config" / "campaigns").glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_campaign_can_begin(file, tmp_path):
    prepared = prepare(file, tmp_path / "out", hold=False)
    assert prepared.campaign.name == file.stem


@pytest.mark.parametrize("wrist", WRISTS)
def test_the_paper_s_six_campaigns_ship(wrist):
    campaign = Campaign.load(campaign_path(wrist))
    assert (campaign.orientation, campaign.count, campaign.hand_load) == (wrist, 4000, "full")
    assert (campaign.noise.probability, campaign.noise.sigma_rad) == (0.5, 0.01)


def test_the_demo_takes_a_minute():
    assert Campaign.load(campaign_path("demo")).count == 3


def test_the_example_names_every_key_and_its_default():
    file = campaign_path("example")
    assert yaml.safe_load(file.read_text(encoding="utf-8")).keys() == KEYS
    example = Campaign.load(file)
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in Campaign(example.name, "palm_down", "cylinder_z", 1400).to_dict().items():
        assert values[key] == value
