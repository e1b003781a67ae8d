# SPDX-License-Identifier: Apache-2.0
"""Who is let in: addresses, origins, proofs and codes, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.web.access import (
    Pairing,
    WebError,
    check_bind,
    new_challenge,
    proof_fits,
    proof_of,
    refusal,
)

TOKEN = "a-token-of-the-test-that-is-long-enough"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.4.5", "::1"])
def test_loopback_needs_no_tls(host):
    assert check_bind(host, tls=False) == ("127.0.0.1" if host == "localhost" else host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "8.8.8.8"])
def test_the_network_needs_tls(host):
    with pytest.raises(WebError, match="TLS is off; turn it on"):
        check_bind(host, tls=False)
    assert check_bind(host, tls=True) == host


@pytest.mark.parametrize("host", ["", "robot", "1.2.3", "http://127.0.0.1"])
def test_what_is_no_address_is_refused_with_a_cure(host):
    with pytest.raises(WebError, match=r"give an address: 127\.0\.0\.1"):
        check_bind(host, tls=True)


@pytest.mark.parametrize(
    ("headers", "scheme", "socket", "why"),
    [
        ({"Host": "localhost:8766"}, "http", False, ""),
        ({"Host": "localhost:8766", "Origin": "http://localhost:8766"}, "http", True, ""),
        ({"Host": "192.168.1.7:8766", "Origin": "https://192.168.1.7:8766"}, "https", True, ""),
        ({"Host": "[::1]:1", "Origin": "http://[::1]:1"}, "http", True, ""),
        ({"Host": "localhost:8766"}, "http", True, "does not tell where"),
        ({"Host": "localhost:8766", "Origin": "null"}, "http", True, "page of 'null'"),
        ({"Host": "localhost:8766", "Origin": "https://localhost:8766"}, "http", True, "page of"),
        ({"Host": "localhost:8766", "Origin": "http://localhost:1"}, "http", True, "page of"),
        ({"Host": "localhost:8766", "Origin": "http://evil.example"}, "http", False, "page of"),
        ({"Host": "evil.example"}, "http", False, "Host is"),  # a name that points here
        ({"Host": "192.168.1.8"}, "https", False, "Host is"),
        ({"Host": "["}, "http", False, "Host is"),
        ({}, "http", False, "Host is"),
    ],
)
def test_a_page_of_another_origin_gets_nothing(headers, scheme, socket, why):
    said = refusal(headers, scheme, {"192.168.1.7"}, socket)
    assert why in said if why else said == ""


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_only_the_answer_to_this_challenge_fits(token, other):
    first, second = new_challenge(), new_challenge()
    assert proof_fits(proof_of(token, first), token, first)
    assert not proof_fits(proof_of(token, first), token, second)
    assert not proof_fits(proof_of(other, first), token, first) or other == token
    assert not proof_fits(other, token, first)


def test_no_token_lets_nobody_in():
    assert not proof_fits(proof_of("", "challenge"), "", "challenge")


def test_a_code_is_good_once():
    pairing = Pairing()
    code = pairing.open(0.0)
    assert len(code) == 8 and code.isdigit()
    assert pairing.fits(code, 1.0)
    assert not pairing.fits(code, 1.1)


def test_a_code_ends_with_its_time():
    pairing = Pairing(lasts_s=10.0)
    code = pairing.open(0.0)
    assert not pairing.fits(code, 10.0)


def test_a_new_code_ends_the_one_before():
    pairing = Pairing()
    codes = {pairing.open(0.0) for _ in range(20)}
    assert len(codes) == 20
    assert sum(pairing.fits(code, 1.0) for code in codes) <= 1


def test_guesses_use_the_code_up():
    pairing = Pairing()
    code = pairing.open(0.0)
    wrong = "1" * 8 if code != "1" * 8 else "2" * 8
    assert not any(pairing.fits(wrong, 1.0) for _ in range(5))
    assert not pairing.fits(code, 2.0)


def test_before_it_is_opened_no_code_fits():
    assert not Pairing().fits("", 0.0)
