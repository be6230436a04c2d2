"""A real headless Chromium for tests, from Debian's package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

__all__ = ["ARTIFACTS", "chromium", "chromium_is_installed"]

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_is_installed() -> bool:
    """True when Debian's Chromium is there."""
    return shutil.which("chromium") is not None


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; closed at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()
