"""The system's Chromium, driven by playwright, without network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def require() -> str:
    """The browser's program; skips the test where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; skips the test where there is none."""
    program = require()
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox does not work for root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Any, file: Path, *, width: int = 1280, height: int = 900, scheme: str = "light"
) -> Iterator[Any]:
    """A page, drawn; fails the test when it logs an error or requests anything but itself."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(file.resolve().as_uri())
        ready(page)
        yield page
        assert not said, said
        outside = [url for url in asked if not url.startswith(("data:", "blob:"))]
        assert {*outside} == {file.resolve().as_uri()}
    finally:
        context.close()


def ready(page: Any) -> None:
    """Wait until everything that is in view is drawn."""
    page.wait_for_function("window.page && window.page.ready", timeout=60_000)
