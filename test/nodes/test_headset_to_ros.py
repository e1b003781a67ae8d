# SPDX-License-Identifier: Apache-2.0
"""From a button of a headset in a real browser to the topics that move arm and fingers: page, socket, node, ROS."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")
pytest.importorskip("cryptography")

from dexndm_msgs.msg import RotationCommand, TeleopStatus
from geometry_msgs.msg import PoseStamped

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.teleop.web import TOKEN_FILE
from support.browser import browser_or_skip
from support.iwer import INSTALL, emulator_or_skip
from support.ros import Graph, NodeProcess, node_spec
from support.webxr import wait_until

pytestmark = pytest.mark.ros


def press(page: Any, hand: str, button: str, value: float) -> None:
    page.evaluate(f"quest.controllers.{hand}.updateButtonValue('{button}', {value})")


def until(page: Any, true: Callable[[], Any], what: str) -> None:
    """Wait while the page works."""

    def seen() -> Any:
        page.wait_for_timeout(20)
        return true()

    wait_until(seen, what)


def test_grip_and_button_of_the_headset_reach_the_arm_and_the_fingers(tmp_path) -> None:
    emulator, kept = emulator_or_skip(), tmp_path / "kept"
    kept.mkdir()
    token = keep_token(kept / TOKEN_FILE)
    arm = PoseStamped()
    arm.header.frame_id, arm.pose.position.x, arm.pose.position.z = "fr3_link0", 0.5, 0.4
    # The emulator always says that it guesses positions, and a browser without a graphics card draws late.
    spec = node_spec(
        "quest_bridge", port=0, usb=False, directory=str(kept), refuse_emulated=False, stale_s=20.0, grace_s=10.0
    )  # fmt: skip
    with Graph() as graph, browser_or_skip() as browser, NodeProcess(spec, tmp_path) as node:
        tell = graph.publisher(PoseStamped, "arm/measured_pose")
        graph.node.create_timer(0.02, lambda: tell.publish(arm))
        targets = graph.listen(PoseStamped, "arm/target_pose")
        axes = graph.listen(RotationCommand, "rotation/command")
        states = graph.listen(TeleopStatus, "teleop/status")
        address = re.compile(r"teleoperation: (http://localhost:\d+/)\n")
        url = graph.until(lambda: address.search(node.log), "the address")[1]

        context = browser.new_context()
        context.add_init_script(emulator + INSTALL)
        page = context.new_page()
        page.goto(f"{url}#token={token}")
        page.locator("#start:enabled").click()
        page.locator("#title").get_by_text("Ready", exact=True).wait_for()
        assert not len(targets)

        press(page, "right", "squeeze", 1)
        until(page, lambda: len(targets), "a target")
        first = targets.messages[0]
        assert first.header.frame_id == "fr3_link0"
        assert (first.pose.position.x, first.pose.position.z) == (0.5, 0.4)
        page.evaluate("quest.controllers.right.position.z -= 0.02")  # away from the operator
        until(page, lambda: targets.last.pose.position.x > 0.515, "the arm to be led forward")
        assert states.last.engaged

        press(page, "left", "x-button", 1)
        until(page, lambda: len(axes) and axes.last.axis.z == 1.0, "the axis of X")
        assert axes.last.header.frame_id == "palm"
        press(page, "left", "x-button", 0)
        until(page, lambda: axes.last.axis.z == 0.0, "its end")

        press(page, "right", "squeeze", 0)
        until(page, lambda: not states.last.engaged, "the hold")
        page.locator("#title").get_by_text("Ready", exact=True).wait_for()
        count, seen = len(targets), len(states)
        until(page, lambda: len(states) > seen + 5, "half a second")
        assert len(targets) <= count + 1  # one may have been under way
        context.close()
        assert node.stop(signal.SIGINT) == 0
