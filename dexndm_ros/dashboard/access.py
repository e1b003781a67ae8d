# SPDX-License-Identifier: Apache-2.0
"""Who may ask the dashboard for what: loopback only, the page's own origin only, a token for what moves.

A page of another site that a browser on this machine has open can send requests here. It cannot know
the token, its ``Origin`` is another, and under a name of its own that it points at 127.0.0.1 (DNS
rebinding) its ``Host`` is another.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

__all__ = [
    "LOOPBACK_NAMES",
    "DashboardError",
    "bearer_fits",
    "check_host",
    "host_name",
    "keep_token",
    "refusal",
    "write_private",
]

_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,200}")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""What a browser on this machine calls it."""


class DashboardError(RuntimeError):
    """The dashboard cannot be shown; the message says why and what mends it."""


def check_host(host: str, port: int = 8765) -> str:
    """The address to bind to.

    Args:
        host: as the user wrote it.
        port: for the message.

    Raises:
        DashboardError: anything but a loopback address: there is no TLS here.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise DashboardError(
        f"host is {host!r}; the dashboard speaks no TLS, so it serves only loopback addresses such as 127.0.0.1. "
        f"From another machine: ssh -L {port}:127.0.0.1:{port} USER@THIS_MACHINE, then open "
        f"http://127.0.0.1:{port}/ there"
    )


def host_name(headers: Mapping[str, str]) -> str | None:
    """The name or address in a request's ``Host``, without its port; None where there is none."""
    try:
        return urlsplit(f"//{headers.get('Host', '')}").hostname
    except ValueError:
        return None


def refusal(headers: Mapping[str, str]) -> str:
    """Why a request is refused whatever it asks for; empty = it may be looked at.

    Args:
        headers: of the request, case-insensitive.
    """
    host = headers.get("Host", "")
    if host_name(headers) not in LOOPBACK_NAMES:  # any port: a tunnel may end on another one
        return f"Host is {host[:100]!r}; open the page as http://127.0.0.1:PORT/ or http://localhost:PORT/"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return f"the request comes from a page of {origin[:100]!r}; only the dashboard's own page may ask"
    # A link in a mail or a chat may lead here; a page of another site may not fetch, frame or embed.
    followed = headers.get("Sec-Fetch-Mode") == "navigate"
    followed = followed and headers.get("Sec-Fetch-Dest") == "document"
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and not followed:
        return "the request comes from a page of another site; open the dashboard's own page"
    return ""


def bearer_fits(header: str | None, token: str) -> bool:
    """Whether an Authorization header holds the token; takes the same time for every wrong one."""
    scheme, _, given = (header or "").partition(" ")
    fits = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
    return fits and scheme.lower() == "bearer" and bool(token)


def keep_token(path: Path | None) -> str:
    """The token kept in a file, or a new one: pages that are open stay of use when the node is started again.

    Args:
        path: the file; made with mode 600 when it is missing. None = a new token, kept nowhere.

    Raises:
        DashboardError: others can read the file, it holds something else, or it cannot be written.
    """
    if path is None:
        return secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        write_private(path, token + "\n")
        return token
    except OSError as error:
        raise DashboardError(
            f"the token file {path} cannot be read ({error.strerror}); remove it"
        ) from error
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise DashboardError(
                f"the token file {path} has mode {mode:o}, others can read it; remove it (a new one is made)"
            )
        token = file.read(300).strip()
    if not _TOKEN.fullmatch(token):
        raise DashboardError(f"the token file {path} holds no token; remove it (a new one is made)")
    return token


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is there whole or not at all.

    Raises:
        DashboardError: it cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise DashboardError(
            f"cannot write {path}: {error.strerror}; give a directory with room and rights"
        ) from error
