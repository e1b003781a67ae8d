# SPDX-License-Identifier: Apache-2.0
"""A real browser without a screen, where the machine has one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["browser_or_skip"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser_or_skip() -> Iterator[Any]:
    """Chromium through playwright; the test is skipped, with the reason, where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} on PATH (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    # Chromium's sandbox cannot be set up by root, which is what containers run as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
