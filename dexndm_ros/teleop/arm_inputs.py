# SPDX-License-Identifier: Apache-2.0
"""What the arm's side hears before and while an arm moves, looked at: targets, the tool's pose, what MoveIt Servo says.

As ``arm_checks``, which compares a profile with the graph: nothing here asks, a node brings what it heard.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.teleop.arm_checks import Endpoint
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.pose import Pose

__all__ = ["check_servo", "check_targets", "check_tool"]

_NAMELESS = "_NODE_NAME_UNKNOWN_"
_SAME_PLACE_M, _SAME_TURN_RAD = 0.01, 0.05
_SERVO = {
    -1: (Level.WARNING, "its state is not valid", "see its log"),
    0: (Level.OK, "moves freely", ""),
    1: (Level.NOTE, "slows down near a singularity", "move back the way you came"),
    2: (Level.WARNING, "halted before a singularity", "move back the way you came"),
    3: (Level.OK, "leaves a singularity", ""),
    4: (Level.NOTE, "slows down near a collision", "move away from what is close"),
    5: (Level.WARNING, "halted before a collision", "move away from what is close"),
    6: (Level.WARNING, "halted at a joint's limit", "move back the way you came"),
}


def check_targets(
    topic: str, publishers: Sequence[Endpoint], stray_frame: str = "", base_frame: str = ""
) -> Finding:
    """Whether one operator tells the arm where to go, in the arm's frame.

    Args:
        topic: of the targets, full name.
        publishers: on it.
        stray_frame: another frame than the arm's, in which targets came lately; empty = none did.
        base_frame: the arm's.
    """
    what = f"targets on {topic}"
    # A node that is just found has no name for a moment.
    names = sorted({each.node for each in publishers if _NAMELESS not in each.node})
    if len(names) > 1:
        found = f"{' and '.join(names)} publish"
        return Finding(Level.ERROR, what, found, "one operator", "stop all but one of them")
    if len(names) == 1 and sum(each.node == names[0] for each in publishers) > 1:
        cure = "stop one of them; one that was killed is forgotten after 20 s"
        return Finding(Level.ERROR, what, f"two nodes are named {names[0]}", "one operator", cure)
    if stray_frame:
        cure = f"make {names[0] if names else 'who tells them'} tell them in {base_frame}"
        return Finding(Level.ERROR, what, f"they come in {stray_frame}", base_frame, cure)
    if not names:
        return Finding(Level.NOTE, what, "nobody tells any", "", "start quest_bridge")
    return Finding(Level.OK, what, f"from {names[0]}")


def check_servo(code: int) -> Finding:
    """What MoveIt Servo says of itself, in words; no reason to refuse, for its cure is to move on.

    Args:
        code: of ``moveit_msgs/ServoStatus``.
    """
    other = (Level.WARNING, f"tells a status {code} that is not known", "see its log")
    level, found, cure = _SERVO.get(code, other)
    return Finding(level, "status of MoveIt Servo", found, "", cure)


def check_tool(measured: Pose, chain: ArmChain, q_rad: NDArray[np.float64]) -> Finding:
    """Whether the pose that the arm tells is that of the tool we move.

    Args:
        measured: the pose topic's.
        chain: the arm with the profile's tool.
        q_rad: joint angles of the same moment, shape (7,).
    """
    far, turn = (float(np.linalg.norm(part)) for part in chain.pose(q_rad).offset(measured))
    what, found = (
        "tool frame",
        f"{1e3 * far:.0f} mm and {np.degrees(turn):.0f}° from the joints' palm",
    )
    if far <= _SAME_PLACE_M and turn <= _SAME_TURN_RAD:
        return Finding(Level.OK, what, found)
    cure = "enter the hand in Desk or with service_server/set_tcp_frame and set_load, or mend tool: in the profile"
    return Finding(
        Level.ERROR, what, found, "the palm frame on the flange as the profile has it", cure
    )
