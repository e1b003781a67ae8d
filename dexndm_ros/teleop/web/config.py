# SPDX-License-Identifier: Apache-2.0
"""Where the page is served, and what it is allowed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dexndm_ros.teleop.web.intake import Limits

__all__ = ["WebConfig"]


@dataclass(frozen=True)
class WebConfig:
    """Where to serve, and the limits.

    Attributes:
        token: what a page must know; never empty.
        host: 127.0.0.1 for a headset on USB; 0.0.0.0 for the network, with TLS.
        port: 0 = any that is free.
        certificate: file of key and certificate, made when it is missing; None = no TLS, loopback only.
        period_s: time between two updates of a page.
        silence_s: a page that says nothing for this long is gone.
        proof_s: a page that has not proved itself by then is sent away.
        max_known: pages at once.
        max_unknown: connections at once that have not proved themselves; one more, and the oldest goes.
        limits: what a page may send.
    """

    token: str
    host: str = "127.0.0.1"
    port: int = 8766
    certificate: Path | None = None
    period_s: float = 0.1
    silence_s: float = 3.0
    proof_s: float = 120.0  # a person may be typing the code
    max_known: int = 8
    max_unknown: int = 8
    limits: Limits = field(default_factory=Limits)
