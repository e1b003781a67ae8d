# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from dexndm_ros.teleop.sample import Sample
from dexndm_ros.teleop.slot import Slot


def sample(seq: int, **other) -> Sample:
    return replace(Sample(seq, float(seq), float(seq), "webxr"), **other)


def test_the_newest_is_given_again_and_again() -> None:
    slot = Slot()
    assert slot.take() is None
    slot.put(sample(1))
    slot.put(sample(2))
    assert slot.take() == slot.take() == sample(2)


def test_a_warning_that_nobody_took_is_not_lost() -> None:
    slot = Slot()
    slot.put(sample(1, recentred=True, visible=False))
    slot.put(sample(2))
    slot.put(sample(3))
    assert slot.take() == sample(3, recentred=True, visible=False)


def test_a_warning_is_given_to_one_sample_only() -> None:
    slot = Slot()
    slot.put(sample(1, recentred=True))
    slot.take()
    slot.put(sample(2))
    assert slot.take() == sample(2)
