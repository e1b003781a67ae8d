# SPDX-License-Identifier: Apache-2.0
"""Names and addresses of this machine: which it may be opened by, and which are worth telling a headset."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator

import psutil

__all__ = ["OwnNames", "lasting_names", "own_names", "page_urls"]

_EVERYWHERE = ("0.0.0.0", "::")
_ASK_AGAIN_S = 5.0
_INNER = (
    "docker", "br-", "veth", "virbr", "vnet", "lxc", "lxd", "cni", "flannel", "podman", "vmnet", "vboxnet",
    "tun", "tap", "wg", "tailscale", "zt",
)  # fmt: skip
"""How interfaces to containers, virtual machines and tunnels are called: no headset comes that way, and they come and
go."""


def own_names() -> frozenset[str]:
    """Names and addresses that this machine may be opened by, now."""
    return frozenset({*_host_names(), *(address for _, address in _addresses())})


def lasting_names(host: str = "") -> frozenset[str]:
    """Those of them that a headset is opened with and that stay: without IPv6, whose addresses change daily.

    Args:
        host: address that the page is bound to; it is among them, unless it is every address.
    """
    names = {*_host_names(), "127.0.0.1", "::1"}
    names |= {
        address
        for interface, address in _addresses()
        if ":" not in address and not interface.startswith(_INNER)
    }
    return frozenset(names | ({host} - {"", *_EVERYWHERE}))


def page_urls(scheme: str, host: str, port: int) -> tuple[str, ...]:
    """Addresses of the page, the likeliest first; loopback only where nothing else is served.

    Args:
        scheme: "http" or "https".
        host: address that is bound to.
        port: likewise.
    """
    if host in _EVERYWHERE:
        outside = [name for name in sorted(lasting_names()) if _outside(name)]
        names = sorted(outside, key=lambda name: name.endswith(".local")) or ["localhost"]
    else:
        names = ["localhost" if host == "127.0.0.1" else host]
    return tuple(f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/" for name in names)


class OwnNames:
    """``own_names`` for one who asks often: addresses that come while a program runs are found within seconds."""

    def __init__(self) -> None:
        self._names, self._asked_s = own_names(), time.monotonic()

    def __call__(self) -> frozenset[str]:
        """Names and addresses that this machine may be opened by."""
        now_s = time.monotonic()
        if now_s - self._asked_s > _ASK_AGAIN_S:
            self._names, self._asked_s = own_names(), now_s
        return self._names


def _host_names() -> set[str]:
    host = socket.gethostname()
    return {"localhost", host, f"{host.partition('.')[0]}.local"}


def _addresses() -> Iterator[tuple[str, str]]:
    """Interface and address; link-local ones cannot be opened in a browser."""
    for interface, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if each.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(each.address.partition("%")[0])
                if not address.is_link_local:
                    yield interface, str(address)


def _outside(name: str) -> bool:
    """Whether a headset can open it: an address of the network, or the name that is told there."""
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.endswith(".local")
