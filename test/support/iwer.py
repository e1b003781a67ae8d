# SPDX-License-Identifier: Apache-2.0
"""A Quest 3 without a Quest: Meta's WebXR emulator, fetched once from npm, one version checked by its digest."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

__all__ = ["INSTALL", "emulator_or_skip"]

_PACKAGE = "iwer@2.5.0"
_SHA512 = "grq7iMyWo4s2DYnATKLPPoAByhcNuwLjMHHOILrFU9q8EGHIEzHyUuq1mz+9Xqy6+xrYPn3Ho8Z9eymZCE+D6w=="
_CACHE = Path("build") / "npm"
_MEMBER = "package/build/iwer.min.js"

INSTALL = """
window.quest = new IWER.XRDevice(IWER.metaQuest3);
window.quest.installRuntime({ forceInstall: true });
"""
"""Script that makes the page find a Quest 3; to run after the emulator and before the page's own."""


def emulator_or_skip() -> str:
    """The emulator's script; the test is skipped, with the reason, where it cannot be had."""
    archive = _CACHE / f"{_PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm on PATH, and so no WebXR emulator (apt-get install npm)")
        _CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", "--silent", _PACKAGE, "--pack-destination", str(_CACHE)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"npm gives no {_PACKAGE}: {done.stderr.strip()[:300]}")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == _SHA512, f"{archive} is not what was tested with; remove it"
    with tarfile.open(archive) as packed:
        script = packed.extractfile(_MEMBER)
        assert script is not None
        return script.read().decode()
