# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the server: pages of its own origin that know the token, which itself never travels twice.

The page proves that it knows the token by signing a challenge that is new for each connection; an answer that
somebody wrote down is worth nothing. A headset without the token gets it once, for a short code that a person types.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
from collections.abc import Collection, Mapping

from dexndm_ros.dashboard.access import LOOPBACK_NAMES, host_name
from dexndm_ros.teleop.errors import SourceError

__all__ = [
    "Pairing",
    "WebError",
    "check_bind",
    "new_challenge",
    "proof_fits",
    "proof_of",
    "refusal",
]

_DIGITS = 8
_TRIES = 5
_REST_S = 30.0


class WebError(SourceError):
    """The page cannot be served; the message says why and what mends it."""


def check_bind(host: str, tls: bool) -> str:
    """The address to bind to.

    Args:
        host: as the user wrote it.
        tls: the server has a certificate.

    Raises:
        WebError: an address that others can reach, without TLS; or no address at all.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise WebError(
            f"host is {host!r}; give an address: 127.0.0.1 for a headset on USB, 0.0.0.0 with TLS for the network"
        ) from error
    if not address.is_loopback and not tls:
        raise WebError(
            f"host is {host!r}, which others can reach, and TLS is off; turn it on, or use 127.0.0.1 and USB"
        )
    return host


def refusal(headers: Mapping[str, str], scheme: str, names: Collection[str], socket: bool) -> str:
    """Why a request is refused whatever it asks for; empty = it may be looked at.

    Args:
        headers: of the request, case-insensitive.
        scheme: "http" or "https".
        names: names and addresses that this machine goes by, beside loopback's.
        socket: it wants a WebSocket, which a page of any origin could open: it must tell where it comes from.
    """
    host, name = headers.get("Host", ""), host_name(headers)
    if name not in LOOPBACK_NAMES and name not in names:
        return f"Host is {host[:100]!r}; open the page by this machine's own name or address"
    origin = headers.get("Origin")
    if origin is None and socket:
        return "the request does not tell where it comes from; only the page itself may ask"
    if origin is not None and origin != f"{scheme}://{host}":
        return f"the request comes from a page of {origin[:100]!r}; only the page itself may ask"
    return ""


def new_challenge() -> str:
    """A text that was never used before."""
    return secrets.token_urlsafe(24)


def proof_of(token: str, challenge: str) -> str:
    """HMAC-SHA256 of the challenge under the token, hexadecimal."""
    return hmac.new(token.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def proof_fits(proof: str, token: str, challenge: str) -> bool:
    """Whether a page knows the token; takes the same time for every wrong proof."""
    return bool(token) and hmac.compare_digest(
        proof.encode(errors="replace"), proof_of(token, challenge).encode()
    )


class Pairing:
    """A code that is good once, for a while and for few tries.

    Args:
        lasts_s: how long a code is good.
    """

    def __init__(self, lasts_s: float = 300.0) -> None:
        self._lasts_s = lasts_s
        self._code = ""
        self._until_s = 0.0
        self._renewed_s = -math.inf
        self._tries = 0

    def open(self, now_s: float) -> str:
        """A new code; the one before is good no more."""
        self._code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}"
        self._until_s, self._tries = now_s + self._lasts_s, 0
        return self._code

    def renew(self, now_s: float) -> str:
        """A new code where none is good any more; empty = there is one, or the last new one is hardly gone.

        Whoever guesses is given few codes to guess at, and the terminal is not filled with them.
        """
        if (self._code and now_s < self._until_s) or now_s < self._renewed_s + _REST_S:
            return ""
        self._renewed_s = now_s
        return self.open(now_s)

    def fits(self, code: str, now_s: float) -> bool:
        """Whether this is the code; it is spent when it was, and after too many that were not."""
        if not self._code or now_s >= self._until_s:
            return False
        self._tries += 1
        fits = hmac.compare_digest(code.encode(errors="replace"), self._code.encode())
        if fits or self._tries >= _TRIES:
            self._code = ""
        return fits
