"""Chromium, in which tests look at the server's page, and what a person does there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUM = shutil.which("chromium")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--renderer-process-limit=1",  # a second one costs more than the page itself
)
_PATIENCE = 15_000  # milliseconds


class Chromium:
    """A browser whose contexts are kept: servers have ports, and so storages, of their own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: dict[str, BrowserContext] = {}

    def context(self, **options: Any) -> BrowserContext:
        """One with these options, such as the locale."""
        key = repr(sorted(options.items()))
        if key not in self._contexts:
            self._contexts[key] = self._browser.new_context(**options)
            self._contexts[key].set_default_timeout(_PATIENCE)
        return self._contexts[key]

    def close_pages(self) -> None:
        """Close what is open, and keep the rest."""
        for context in self._contexts.values():
            for page in context.pages:
                page.close()


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser without a window; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: scripts/browser does it")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield Chromium(browser)
        finally:
            browser.close()


@dataclass
class Visits:
    """Opens pages of one server."""

    browser: Chromium
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
        size = {"width": width, "height": 800}
        page = self.browser.context(viewport=size, locale=locale, **options).new_page()
        page.add_init_script(before)
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
        self.browser.close_pages()

    def _console(self, message: ConsoleMessage) -> None:
        # An answer that is an error is written there by the browser itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.problems.append(f"asked for {request.url}")
