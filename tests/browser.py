"""Chromium, in which tests look at the server's page, and what a person does there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE = 15_000  # milliseconds


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: scripts/browser does it")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visits:
    """Opens pages of one server, each in a browser of its own that remembers nothing."""

    browser: Browser
    address: str
    token: str = ""
    """What the server asks for at its door; "" where it asks for nothing."""
    problems: list[str] = field(default_factory=list)
    """What no page may do: script errors, breaches of the policy, words with other servers."""

    def open(
        self, *, width: int = 1280, locale: str = "en-US", before: str = "", **options: Any
    ) -> Page:
        """A page that is ready to be used.

        `before` is a script that runs before those of the page, `options` are those of a
        browser's context.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, **options
        )
        context.set_default_timeout(_PATIENCE)
        context.add_init_script(before)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._console)
        page.on("request", self._request)
        page.goto(self.address)
        if self.token:
            page.get_by_label("Token").fill(self.token)
            page.get_by_role("button").click()
        page.locator("#sizes button").first.wait_for()
        return page

    def close(self) -> None:
        """Close every page."""
        for context in self.browser.contexts:
            context.close()

    def _console(self, message: ConsoleMessage) -> None:
        # An answer that is an error is written there by the browser itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.problems.append(f"asked for {request.url}")
