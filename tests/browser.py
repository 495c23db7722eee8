"""A headless browser, for tests that look at pages."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser of this machine; without one the test is skipped, but on CI it fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = f"none of {', '.join(NAMES)} is installed; on Debian: apt-get install chromium"
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@dataclasses.dataclass
class Looked:
    """A page in a browser, with all that it said and asked for."""

    page: Page
    said: list[str]
    asked: list[str]

    def values(self, expression: str) -> object:
        return self.page.evaluate(expression)

    def image(self, path: Path | None = None) -> Image.Image:
        """All of the page, from top to bottom."""
        taken = self.page.screenshot(full_page=True, path=path)
        return Image.open(io.BytesIO(taken)).convert("RGB")


@contextmanager
def looking(browser: Browser, path: Path, width: int, scheme: str) -> Iterator[Looked]:
    """A file in a window of so many pixels, in "light" or "dark"."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    looked = Looked(page, [], [])
    page.on("console", lambda message: looked.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: looked.said.append(str(error)))
    page.on("dialog", lambda dialog: looked.said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: looked.asked.append(request.url))
    try:
        page.goto(path.as_uri())
        yield looked
    finally:
        page.close()
