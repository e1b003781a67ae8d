# SPDX-License-Identifier: Apache-2.0
"""The repository holds no key, no certificate and no token."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECRET_NAMES = (".pem", ".key", ".crt", ".p7s", ".p12", ".pfx", ".token", ".keystore")
SECRET_TEXT = re.compile(rb"-----BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)-----\s+[A-Za-z0-9+/=]{40}")
TOKEN_TEXT = re.compile(rb"#token=[A-Za-z0-9_-]{40,}")
LARGEST_BYTES = 4_000_000  # policies and recordings are larger; keys are not


def secrets(paths: Iterable[Path]) -> list[str]:
    """Files that are a secret by name or hold one."""
    found = []
    for path in paths:
        if path.suffix in SECRET_NAMES:
            found.append(str(path))
        elif path.is_file() and path.stat().st_size < LARGEST_BYTES:
            content = path.read_bytes()
            if SECRET_TEXT.search(content) or TOKEN_TEXT.search(content):
                found.append(str(path))
    return found


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git repository: what would be shipped is not known")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_nothing_that_is_kept_is_a_secret() -> None:
    files = tracked()
    assert len(files) > 500
    assert secrets(files) == []


def test_a_key_or_an_address_with_a_token_would_be_found(tmp_path) -> None:
    pytest.importorskip("cryptography")
    from dexndm_ros.dashboard.access import keep_token
    from dexndm_ros.teleop.web.certificate import keep_certificate

    disguised = tmp_path / "notes.txt"
    keep_certificate(disguised, ["localhost"])
    log = tmp_path / "log.md"
    log.write_text(f"teleoperation: http://localhost:8766/#token={keep_token(None)}\n")
    named = tmp_path / "teleop.token"
    keep_token(named)
    plain = tmp_path / "plain.md"
    plain.write_text("a key begins with -----BEGIN PRIVATE KEY-----, an address with #token=...")
    assert secrets([disguised, log, named, plain]) == [str(disguised), str(log), str(named)]
