# SPDX-License-Identifier: Apache-2.0
"""What ``quest_bridge`` tells about its page, and the way to it through USB.

The token is told to nobody but a headset on USB: the log goes to every participant of the ROS domain and to files
that others can read. For every other browser there is a pairing code, good once and for minutes, on the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dexndm_ros.nodes._quest_settings import QuestSettings
from dexndm_ros.teleop.oculus_reader import AdbConfig
from dexndm_ros.teleop.web.adb_reverse import AdbReverse

if TYPE_CHECKING:
    from dexndm_ros.teleop.web.server import TeleopServer

__all__ = ["show_code", "tell_page", "way_through_usb"]


def show_code(code: str) -> None:
    """Put a pairing code on the terminal, and nowhere else."""
    print(f"pairing code of the page: {code}", file=sys.stderr, flush=True)


def tell_page(server: TeleopServer, log: Callable[[str], object]) -> None:
    """Log where the page is, and what its certificate is to be compared with."""
    log(f"teleoperation: {' or '.join(server.urls)}")
    if server.certificate is not None:
        if server.certificate.made:
            log(f"a new certificate was made: {server.certificate.made}")
        log(f"the certificate's SHA-256: {server.certificate.fingerprint}")


def way_through_usb(server: TeleopServer, settings: QuestSettings) -> AdbReverse | None:
    """What keeps a headset on USB led here, not started; None = it is not wanted."""
    if not settings.usb:
        return None

    def page() -> str:
        return "" if server.driven else server.url_with_token

    config = AdbConfig(settings.adb, settings.serial)
    return AdbReverse(server.port, config, page if settings.open_page else None)
