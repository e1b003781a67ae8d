# SPDX-License-Identifier: Apache-2.0
"""A question to a node that may be gone, and come back without what it was told."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("rclpy")

from std_srvs.srv import SetBool

from dexndm_ros.nodes._arm_graph import Question
from support.ros import Graph

pytestmark = pytest.mark.ros


def test_one_that_is_started_again_is_told_again_and_one_that_is_gone_has_agreed_to_nothing() -> (
    None
):
    clock = itertools.count(100.0, 0.5)
    with Graph() as graph, Graph("servo_node") as servo:
        question = Question(graph.node, SetBool, "switch", SetBool.Request(data=True))
        asked = []

        def serve():
            def answer(request, response):
                asked.append(request.data)
                response.success = request.data
                return response

            return servo.node.create_service(SetBool, "switch", answer)

        def agreed() -> bool:
            answer = question.ask(next(clock))
            return answer is not None and answer.success

        assert not agreed()
        service = serve()
        graph.until(agreed, "its answer")
        before = len(asked)
        graph.until(lambda: agreed() and len(asked) > before + 1, "to be asked on and on")
        servo.node.destroy_service(service)
        graph.until(lambda: not agreed(), "its end")
        before = len(asked)
        serve()
        graph.until(agreed, "the answer of the next")
        assert len(asked) > before
        assert all(asked)
