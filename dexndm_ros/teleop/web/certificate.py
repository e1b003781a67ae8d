# SPDX-License-Identifier: Apache-2.0
"""The server's own certificate: made at the first start, and again when it fits this machine no more.

Key and certificate lie in one file that only its owner can read. Whoever opens the page accepts the certificate once
and may compare its fingerprint with the one in the log.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dexndm_ros.dashboard.access import DashboardError, write_private
from dexndm_ros.teleop.web.access import WebError

__all__ = ["Certificate", "describe", "keep_certificate", "server_context", "unfit"]

_LASTS = datetime.timedelta(days=397)
_RENEW = datetime.timedelta(days=7)
_UNNAMED = "it did not name"
_EARLIER = datetime.timedelta(days=1)  # the headset's clock may be behind


@dataclass(frozen=True)
class Certificate:
    """A certificate on disk.

    Attributes:
        path: PEM file with key and certificate.
        names: names and addresses that it is good for.
        fingerprint: SHA-256, as browsers show it.
        made: why a new one was made; empty = it was there and is good.
        ends: the last moment that it is good for.
    """

    path: Path
    names: frozenset[str]
    fingerprint: str
    made: str
    ends: datetime.datetime


def keep_certificate(
    path: Path, names: Iterable[str], now: datetime.datetime | None = None
) -> Certificate:
    """The certificate of a file, or a new one there.

    Args:
        path: the file; made with mode 600.
        names: names and addresses that it must be good for.
        now: the time, with a time zone; None = the machine's clock.

    Raises:
        WebError: the file cannot be written.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    wanted = frozenset(names)
    if not (why := unfit(path, wanted, now)):
        return describe(path)
    if why.startswith(_UNNAMED):
        # A machine that goes to and fro between two networks needs a new one once, not each time.
        wanted |= describe(path).names
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, _new(wanted, now))
    except (OSError, DashboardError) as error:
        raise WebError(f"no certificate can be kept: {error}") from error
    return describe(path, why)


def describe(path: Path, made: str = "") -> Certificate:
    """What the certificate of a file says; see ``Certificate`` for ``made``.

    Raises:
        OSError, ValueError: the file cannot be read, or holds none.
    """
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    ends = certificate.not_valid_after_utc
    return Certificate(path, _names_of(certificate), digest, made, ends)


def server_context(path: Path) -> ssl.SSLContext:
    """TLS 1.3 with the certificate of a file.

    Raises:
        WebError: the file holds no key with its certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(path)
    except (OSError, ssl.SSLError) as error:
        raise WebError(f"{path} holds no key with its certificate; remove the file") from error
    return context


def unfit(path: Path, names: Iterable[str], now: datetime.datetime | None = None) -> str:
    """Why the next start would make a new certificate; empty = the one that is there is good.

    Args:
        path: file of key and certificate.
        names: names and addresses that it must be good for.
        now: the time, with a time zone; None = the machine's clock.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        server_context(path)
    except OSError:
        return "there was none"
    except (ValueError, WebError):
        return "the file held none"
    if mode & 0o077:
        return f"others could read its key (mode {mode:o})"
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if missing := frozenset(names) - _names_of(certificate):
        return f"{_UNNAMED} {', '.join(sorted(missing))}"
    return ""


def _new(names: frozenset[str], now: datetime.datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dexndm teleoperation")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _LASTS)
        .add_extension(x509.SubjectAlternativeName([_general(n) for n in sorted(names)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(pem)).decode()


def _general(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> frozenset[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = found.get_values_for_type(x509.DNSName)
    return frozenset([*dns, *(str(ip) for ip in found.get_values_for_type(x509.IPAddress))])
