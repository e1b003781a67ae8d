# SPDX-License-Identifier: Apache-2.0
"""Names and addresses of a machine, which the operating system tells and a test may say for it."""

from __future__ import annotations

import ipaddress
import socket
from types import SimpleNamespace

import psutil
import pytest

from dexndm_ros.teleop.web.addresses import lasting_names, own_names, page_urls

HOST = socket.gethostname()
LOCAL = f"{HOST.partition('.')[0]}.local"
MACHINE = {
    "lo": ["127.0.0.1", "::1"],
    "enp3s0": ["192.168.1.7", "2001:db8::7", "2001:db8::a1b2:c3d4:e5f6:789a", "fe80::7%enp3s0"],
    "wlan0": ["10.0.0.3", "169.254.3.3"],
    "docker0": ["172.17.0.1"],
    "br-5f1e": ["172.18.0.1"],
    "tun0": ["10.8.0.2"],
}


@pytest.fixture
def machine(monkeypatch):
    """What the kernel says; asked by psutil, as ever."""
    found = {name: list(addresses) for name, addresses in MACHINE.items()}

    def told():
        return {
            name: [
                SimpleNamespace(
                    family=socket.AF_INET6 if ":" in each else socket.AF_INET, address=each
                )
                for each in addresses
            ]
            for name, addresses in found.items()
        }

    monkeypatch.setattr(psutil, "net_if_addrs", told)
    return found


def test_this_machine_knows_its_names():
    names = own_names()
    assert {"localhost", HOST, "127.0.0.1"} <= names
    addresses = [name for name in names if name.replace(".", "").isdigit()]
    assert not any(ipaddress.ip_address(address).is_link_local for address in addresses)


def test_it_may_be_opened_by_each_address_that_a_browser_can_open(machine):
    wanted = {"192.168.1.7", "2001:db8::7", "10.0.0.3", "172.17.0.1", "10.8.0.2", "::1", LOCAL}
    assert wanted <= own_names()
    assert not {"169.254.3.3", "fe80::7"} & own_names()


def test_what_comes_and_goes_needs_no_new_certificate(machine):
    before = lasting_names()
    assert before == {"localhost", HOST, LOCAL, "127.0.0.1", "::1", "192.168.1.7", "10.0.0.3"}
    machine["enp3s0"][2] = "2001:db8::1111:2222:3333:4444"  # as every day
    machine["br-77aa"] = ["172.19.0.1"]
    assert lasting_names() == before
    machine["wlan0"][0] = "10.0.0.4"
    assert lasting_names() == before - {"10.0.0.3"} | {"10.0.0.4"}


@pytest.mark.parametrize("host", ["2001:db8::7", "172.17.0.1"])
def test_the_address_that_is_bound_is_named_whatever_it_is(machine, host):
    assert host in lasting_names(host)
    assert not {"", "0.0.0.0", "::"} & lasting_names("0.0.0.0")


def test_a_headset_is_told_what_it_can_open(machine):
    assert page_urls("https", "0.0.0.0", 8766) == (
        "https://10.0.0.3:8766/",
        "https://192.168.1.7:8766/",
        f"https://{LOCAL}:8766/",
    )
    assert page_urls("http", "127.0.0.1", 80) == ("http://localhost:80/",)
    assert page_urls("https", "2001:db8::7", 8766) == ("https://[2001:db8::7]:8766/",)
