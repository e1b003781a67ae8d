# SPDX-License-Identifier: Apache-2.0
import math

from dexndm_ros.teleop.latency import Percentiles


def test_nothing_is_not_a_number() -> None:
    assert all(map(math.isnan, Percentiles().at(50.0, 95.0)))


def test_of_the_last_so_many() -> None:
    kept = Percentiles(size=101)
    for value in range(1000):
        kept.add(float(value))
    assert kept.at(0.0, 50.0, 95.0, 100.0) == (899.0, 949.0, 994.0, 999.0)
