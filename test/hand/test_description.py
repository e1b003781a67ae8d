# SPDX-License-Identifier: Apache-2.0
"""One joint table, four consumers: URDF and MJCF must give the same hand, and the published numbers."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS, LINKS, TIP_OFFSETS_M
from dexndm_ros.hand.joints import (
    CANONICAL_POSE_RAD,
    JOINT_NAMES,
    JOINTS,
    LOWER_RAD,
    ORDERS,
    UPPER_RAD,
    permutation,
)
from dexndm_ros.hand.units import (
    XC330_M288,
    per_joint_gains,
    rad_from_ticks,
    servo_gains,
    ticks_from_rad,
)
from dexndm_ros.hand.urdf import build_urdf
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import ObjectConfig, World

ZERO = {
    "index": (0.13010, 0.00766, -0.01952),
    "middle": (0.13010, -0.03779, -0.01952),
    "ring": (0.13010, -0.08324, -0.01952),
    "thumb": (-0.08240, 0.13666, -0.02192),
}
# Fingertips in the palm frame computed from the published URDF: (joint, angle) -> tip.
ONE_JOINT = {
    0: ("index", (0.11754, -0.03974, -0.01952)),
    1: ("index", (0.11293, 0.00766, -0.08520)),
    2: ("index", (0.11981, 0.00766, -0.05984)),
    3: ("index", (0.12423, 0.00766, -0.04253)),
    12: ("thumb", (-0.08240, 0.11963, -0.08800)),
    13: ("thumb", (-0.08254, 0.13666, -0.02189)),
    14: ("thumb", (-0.03129, 0.12361, -0.02192)),
    15: ("thumb", (-0.05363, 0.12931, -0.02192)),
}
CURLED = (
    np.array([0, 1, 1, 0.5] * 3 + [1, 0.5, 0.3, 0.4]),
    {
        "index": (-0.03256, 0.00766, -0.12539),
        "middle": (-0.03256, -0.03779, -0.12539),
        "ring": (-0.03256, -0.08324, -0.12539),
        "thumb": (-0.03653, 0.04315, -0.13776),
    },
)


def tips_from_mjcf(q: np.ndarray, wrist: str = "palm_down") -> dict[str, np.ndarray]:
    world = World(wrist=wrist, object=ObjectConfig(kind="none"))
    model = build_model(world)
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in JOINT_NAMES]] = q
    mujoco.mj_kinematics(model, data)
    palm = data.body("palm")
    rotation = palm.xmat.reshape(3, 3)
    return {f: rotation.T @ (data.site(f"{f}_tip").xpos - palm.xpos) for f in FINGERS}


def tips_from_urdf(q: np.ndarray) -> dict[str, np.ndarray]:
    robot = ET.fromstring(build_urdf())
    frames = {"palm": np.eye(4)}
    joints = list(robot.findall("joint"))
    while joints:
        joint = next(j for j in joints if j.find("parent").attrib["link"] in frames)
        joints.remove(joint)
        origin = joint.find("origin").attrib
        step = np.eye(4)
        rpy = [float(v) for v in origin["rpy"].split()]
        step[:3, :3] = Rotation.from_euler("xyz", rpy).as_matrix()
        step[:3, 3] = [float(v) for v in origin["xyz"].split()]
        if joint.attrib["type"] == "revolute":
            axis = np.array([float(v) for v in joint.find("axis").attrib["xyz"].split()])
            turn = np.eye(4)
            angle = q[JOINT_NAMES.index(joint.attrib["name"])]
            turn[:3, :3] = Rotation.from_rotvec(axis * angle).as_matrix()
            step = step @ turn
        frames[joint.find("child").attrib["link"]] = (
            frames[joint.find("parent").attrib["link"]] @ step
        )
    return {f: frames[f"{f}_tip"][:3, 3] for f in FINGERS}


@pytest.mark.parametrize("tips", [tips_from_mjcf, tips_from_urdf])
def test_forward_kinematics_match_the_published_hand(tips):
    for finger, expected in tips(np.zeros(16)).items():
        np.testing.assert_allclose(expected, ZERO[finger], atol=2e-5)
    for joint, (finger, expected) in ONE_JOINT.items():
        q = np.zeros(16)
        q[joint] = 0.5
        np.testing.assert_allclose(tips(q)[finger], expected, atol=2e-5, err_msg=f"joint {joint}")
    q, curled = CURLED
    for finger, expected in curled.items():
        np.testing.assert_allclose(tips(q)[finger], expected, atol=2e-5)


def test_urdf_and_mjcf_agree_in_an_asymmetric_pose_whatever_the_wrist():
    q = LOWER_RAD + (UPPER_RAD - LOWER_RAD) * np.linspace(0.1, 0.9, 16)
    urdf = tips_from_urdf(q)
    for wrist in ("palm_up", "thumb_down"):
        mjcf = tips_from_mjcf(q, wrist)
        for finger in FINGERS:
            np.testing.assert_allclose(mjcf[finger], urdf[finger], atol=1e-6)


def test_published_permutations():
    published = {
        ("motor", "isaac_gym"): [1, 0, 2, 3, 12, 13, 14, 15, 5, 4, 6, 7, 9, 8, 10, 11],
        ("isaac_gym", "motor"): [1, 0, 2, 3, 9, 8, 10, 11, 13, 12, 14, 15, 4, 5, 6, 7],
        ("isaac_gym", "menagerie"): [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7],
        ("motor", "isaac_lab"): [1, 12, 5, 9, 0, 13, 4, 8, 2, 14, 6, 10, 3, 15, 7, 11],
        ("isaac_lab", "motor"): [4, 0, 8, 12, 6, 2, 10, 14, 7, 3, 11, 15, 1, 5, 9, 13],
        ("isaac_gym", "isaac_lab"): [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
        ("isaac_lab", "menagerie"): [0, 4, 8, 12, 2, 6, 10, 14, 3, 7, 11, 15, 1, 5, 9, 13],
        ("menagerie", "isaac_lab"): [0, 12, 4, 8, 1, 13, 5, 9, 2, 14, 6, 10, 3, 15, 7, 11],
    }
    for (source, destination), index in published.items():
        assert permutation(source, destination).tolist() == index, (source, destination)


@pytest.mark.parametrize("source", ORDERS)
@pytest.mark.parametrize("destination", ORDERS)
def test_permutations_carry_each_joint_to_its_name(source, destination):
    vector = np.array(ORDERS[source])  # each value is the motor ID it stands for
    assert tuple(vector[permutation(source, destination)]) == ORDERS[destination]


def test_an_unknown_order_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="isaac_gym"):
        permutation("motor", "alphabetical")


def test_tick_limits_are_those_of_the_servo_table():
    expected = {0: (1365, 2731), 1: (1843, 3502), 2: (1718, 3277), 3: (1809, 3379),
                12: (1820, 3413), 13: (1742, 3641), 14: (1266, 3287), 15: (1174, 3274)}  # fmt: skip
    low, high = ticks_from_rad(LOWER_RAD), ticks_from_rad(UPPER_RAD)
    for joint, limits in expected.items():
        assert (low[joint], high[joint]) == limits
    ticks = np.arange(-5000, 5000)
    np.testing.assert_array_equal(ticks_from_rad(rad_from_ticks(ticks)), ticks)


def test_gains_of_the_real_hand_in_si():
    gains = servo_gains(per_joint_gains(800), per_joint_gains(200), np.full(16, 500), XC330_M288)
    assert gains.kp_nm_rad[1] == pytest.approx(2.11, abs=0.01)
    assert gains.kp_nm_rad[0] == pytest.approx(1.58, abs=0.01)
    assert gains.kd_nms_rad[1] == pytest.approx(0.114)
    assert gains.torque_limit_nm[5] == pytest.approx(0.258, abs=0.001)


def test_the_table_is_whole():
    assert [joint.motor_id for joint in JOINTS] == list(range(16))
    assert {joint.child for joint in JOINTS} | {"palm"} == set(LINKS)
    assert sum(link.mass_kg for link in LINKS.values()) == pytest.approx(0.746, abs=0.001)
    assert {name for name, _ in TIP_OFFSETS_M.values()} <= set(LINKS)
    assert ((CANONICAL_POSE_RAD > LOWER_RAD) & (CANONICAL_POSE_RAD < UPPER_RAD)).all()
    # The paper gives the pose in Isaac Gym order: slot 0 is the index finger's flexion.
    assert CANONICAL_POSE_RAD[JOINT_NAMES.index("index_mcp_forward")] == 1.244
    assert CANONICAL_POSE_RAD[JOINT_NAMES.index("thumb_cmc")] == 1.163
