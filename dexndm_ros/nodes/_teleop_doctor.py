# SPDX-License-Identifier: Apache-2.0
"""The part of `dexndm doctor` that asks a running ROS graph about the page and the arm."""

from __future__ import annotations

import dataclasses

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.nodes._arm_look import Looker, Running, knows_controllers, looker, resolved
from dexndm_ros.teleop.arm_checks import check_arm
from dexndm_ros.teleop.doctor import PageSettings, check_profiles
from dexndm_ros.teleop.profiles import ArmProfile, load_profile

__all__ = ["examine_graph"]

_PAGE, _ARM = "quest_bridge", "arm_bridge"


def examine_graph(arm: str = "") -> tuple[PageSettings | None, list[Finding]]:
    """Look at what runs.

    Args:
        arm: profile to compare with what runs; empty = that of the arm_bridge which runs.

    Returns:
        Where the page is served (None = no quest_bridge runs), and what was found about the arm.
    """
    with looker() as look:
        page = look.running(_PAGE, _page_fields())
        bridge = look.running(_ARM, ("profile",))
        settings = PageSettings(**page.parameters, running=True) if page else None
        return settings, _arm(look, bridge, arm)


def _page_fields() -> list[str]:
    return [field.name for field in dataclasses.fields(PageSettings) if field.name != "running"]


def _arm(look: Looker, bridge: Running | None, arm: str) -> list[Finding]:
    name = arm or str(bridge.parameters.get("profile", "") if bridge else "")
    if not name:
        found, cure = f"no {_ARM} runs", "before it is started: dexndm doctor --arm NAME"
        return [*check_profiles(), Finding(Level.NOTE, "arm", found, "", cure)]
    findings = check_profiles(name)
    if any(finding.level is Level.ERROR for finding in findings):
        return findings
    me = bridge.name if bridge else f"/{_ARM}"
    namespace = me.rpartition("/")[0]

    def resolve(relative: str) -> str:
        return relative if relative.startswith("/") else f"{namespace}/{relative}"

    profile = resolved(load_profile(name), resolve)
    if profile.controller.name and not knows_controllers():
        found = "the controllers cannot be asked: controller_manager_msgs is not importable"
        findings.append(Finding(Level.NOTE, "arm controller", found))
        profile = _nameless(profile)
    return [*findings, *check_arm(profile, look.graph(profile, namespace), me)]


def _nameless(profile: ArmProfile) -> ArmProfile:
    """The same with a controller that nothing is asked about."""
    return dataclasses.replace(profile, controller=dataclasses.replace(profile.controller, name=""))
