# SPDX-License-Identifier: Apache-2.0
"""The certificate: made, kept while it fits, made again when it does not; and a client that checks it is content."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading

import pytest

from dexndm_ros.teleop.web.access import WebError
from dexndm_ros.teleop.web.certificate import keep_certificate, server_context

NOW = datetime.datetime.now(datetime.UTC)
NAMES = {"localhost", "robot", "127.0.0.1", "192.168.1.7", "fd00::7"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "teleop.pem"


def days(count):
    return NOW + datetime.timedelta(days=count)


def test_the_first_start_makes_one_that_only_its_owner_can_read(path):
    made = keep_certificate(path, NAMES, NOW)
    assert made.made == "there was none"
    assert made.names == NAMES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(made.fingerprint) == 95


def test_the_next_start_keeps_it(path):
    first = keep_certificate(path, NAMES, NOW)
    again = keep_certificate(path, NAMES - {"192.168.1.7"}, days(300))
    assert (again.made, again.fingerprint) == ("", first.fingerprint)


def cut_the_key(path):
    path.write_bytes(path.read_bytes().partition(b"-----BEGIN CERTIFICATE")[2])


def only_the_certificate(path):
    path.write_bytes(
        b"-----BEGIN CERTIFICATE" + path.read_bytes().partition(b"-----BEGIN CERTIFICATE")[2]
    )


@pytest.mark.parametrize(
    ("spoil", "names", "now", "why"),
    [
        (lambda path: None, NAMES, days(391), "it ends on"),
        (lambda path: None, NAMES, days(-2), "it ends on"),
        (lambda path: None, NAMES | {"10.0.0.3"}, NOW, "it did not name 10.0.0.3"),
        (lambda path: path.chmod(0o640), NAMES, NOW, "others could read its key (mode 640)"),
        (lambda path: path.write_text("scribble"), NAMES, NOW, "the file held none"),
        (lambda path: path.write_text(""), NAMES, NOW, "the file held none"),
        (cut_the_key, NAMES, NOW, "the file held none"),
        (only_the_certificate, NAMES, NOW, "the file held none"),
        (lambda path: path.unlink(), NAMES, NOW, "there was none"),
    ],
)
def test_one_that_does_not_fit_is_made_anew_with_another_key(path, spoil, names, now, why):
    first = keep_certificate(path, NAMES, NOW)
    spoil(path)
    again = keep_certificate(path, names, now)
    assert why in again.made
    assert again.fingerprint != first.fingerprint
    assert again.names == names
    assert keep_certificate(path, names, now).made == ""


def test_where_it_cannot_be_kept_the_message_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WebError, match="no certificate can be kept"):
        keep_certificate(tmp_path / "file" / "teleop.pem", NAMES, NOW)


def test_a_file_without_its_key_cannot_serve(tmp_path):
    with pytest.raises(WebError, match="remove the file"):
        server_context(tmp_path / "nothing.pem")


def test_who_goes_to_and_fro_between_two_networks_needs_a_new_one_once(path):
    here, there = {"robot", "192.168.1.7"}, {"robot", "10.0.0.3"}
    keep_certificate(path, here, NOW)
    both = keep_certificate(path, there, NOW)
    assert both.made == "it did not name 10.0.0.3"
    for names in (here, there):
        assert keep_certificate(path, names, NOW).fingerprint == both.fingerprint


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_client_that_checks_names_is_content(path, name):
    keep_certificate(path, NAMES, NOW)
    assert handshake(path, name, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_a_name_that_is_not_in_it_is_refused_by_the_client(path):
    keep_certificate(path, NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(path, "other", ssl.TLSVersion.TLSv1_3)


def test_old_tls_is_refused(path):
    keep_certificate(path, NAMES, NOW)
    with pytest.raises(ssl.SSLError):
        handshake(path, "robot", ssl.TLSVersion.TLSv1_2)


def handshake(path, name, version):
    """What a client that trusts this certificate alone agrees on with the server."""
    ours, theirs = socket.socketpair()
    server = server_context(path)

    def serve():
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=path)
        client.minimum_version = client.maximum_version = version
        with client.wrap_socket(ours, server_hostname=name) as wrapped:
            return wrapped.version()
    finally:
        ours.close()
        thread.join()
