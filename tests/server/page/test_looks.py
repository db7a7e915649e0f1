"""How the page looks and speaks in a real browser: width, colours, keys, languages."""

import re

import pytest
from playwright.sync_api import Page, expect

from sdcpu.job_queue import JobQueue
from sdcpu.server.app import PAGE
from tests.browser import Visits

COLOURS = (PAGE / "styles/colours.css").read_text()
LEAST_CONTRAST = 4.5
"""Of text on its ground: WCAG 2.2, 1.4.3."""
_NAMELESS = """
() => {
  const named = (element) => [
    element.getAttribute("aria-label"),
    element.textContent.trim(),
    element.title,
    ...[...(element.labels ?? [])].map((label) => label.textContent.trim()),
  ].some(Boolean) || element.hasAttribute("alt");
  return [...document.querySelectorAll("button, input, select, textarea, a, img, canvas")]
    .filter((element) => element.checkVisibility() && !named(element))
    .map((element) => element.outerHTML.slice(0, 100));
}
"""
_INVISIBLE_FOCUS = """
() => {
  const element = document.activeElement;
  const isHidden = element.matches("[type=radio], [type=checkbox]");
  const shown = isHidden ? element.nextElementSibling : element;
  return getComputedStyle(shown).outlineStyle === "none" ? element.outerHTML.slice(0, 100) : "";
}
"""


def colours(theme: int) -> dict[str, str]:
    """The colours of the light (0) or the dark (1) page, by their names."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", COLOURS)
    return {name: pair[theme] for name, *pair in found}


def brightness(colour: str) -> float:
    """Relative luminance of "#rrggbb", as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *((ink, ground) for ink in ("text", "soft", "wrong") for ground in ("ground", "surface")),
        ("on-accent", "accent"),
        ("accent-strong", "accent-tint"),
        ("text", "wrong-tint"),
        ("soft", "wrong-tint"),
        ("soft", "sunken"),
    ],
)
def test_text_can_be_read(ink: str, ground: str, theme: int) -> None:
    found = colours(theme)
    dark, bright = sorted((brightness(found[ink]), brightness(found[ground])))
    assert (bright + 0.05) / (dark + 0.05) >= LEAST_CONTRAST


def ground_of(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_light_and_dark_follow_the_system_until_the_switch_is_used(visits: Visits) -> None:
    page = visits.open(color_scheme="dark")
    assert ground_of(page) == "rgb(20, 21, 23)"
    page.get_by_role("button", name="Light or dark: as the system").click()
    assert ground_of(page) == "rgb(246, 245, 242)"
    page.reload()
    expect(page.get_by_role("button", name="Light", exact=True)).to_be_visible()
    assert ground_of(page) == "rgb(246, 245, 242)"
    page.get_by_role("button", name="Light", exact=True).click()
    assert ground_of(page) == "rgb(20, 21, 23)"


def test_the_language_is_the_browsers_until_another_is_chosen(visits: Visits) -> None:
    page = visits.open(locale="de-AT")
    expect(page.get_by_role("button", name="Zeichnen")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("#language").select_option("en")
    expect(page.get_by_role("button", name="Draw")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Draw")).to_be_visible()
    page = visits.open(locale="fr-FR")
    expect(page.get_by_role("button", name="Draw")).to_be_visible()


@pytest.mark.parametrize(
    ("width", "locale"), [(360, "en-US"), (360, "de-DE"), (768, "de-DE"), (1280, "en-US")]
)
def test_nothing_is_wider_than_the_window(
    visits: Visits, queue: JobQueue, width: int, locale: str
) -> None:
    queue.wait(queue.submit({"prompt": "long" * 60, "width": 640, "count": 2}).id, 20)
    queue.wait(queue.submit({"prompt": "refuse " + "long" * 60}).id, 20)
    page = visits.open(width=width, locale=locale)
    expect(page.locator("#queue li")).to_be_visible()
    expect(page.locator(".strip")).to_be_visible()
    for fold in page.locator("details:not([open]) > summary").all():
        fold.click()
    page.locator("#stage .tasks button").nth(2).click()
    page.locator("[data-focus=paint]").click()
    expect(page.locator("canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(_NAMELESS) == []


def test_everything_can_be_done_with_keys(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the prompt"
    page.keyboard.press("Enter")
    page.keyboard.type("a red circle")
    reached = []
    while (
        name := str(page.evaluate("document.activeElement.name || document.activeElement.id"))
    ) != "draw":
        reached.append(name)
        assert page.evaluate(_INVISIBLE_FOCUS) == ""
        page.keyboard.press("Tab")
        assert len(reached) < 40
    assert {"prompt", "start-choose", "model", "width", "height", "quality", "seed"} <= set(reached)
    page.keyboard.press("Enter")
    expect(page.locator("#tiles button")).to_be_visible()
    page.locator("#tiles button").focus()
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(_INVISIBLE_FOCUS) == ""


def test_every_icon_that_is_shown_is_drawn(visits: Visits, queue: JobQueue) -> None:
    queue.wait(queue.submit({"prompt": "a boat"}).id, 20)
    page = visits.open()
    expect(page.locator("#tiles button")).to_be_visible()
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (PAGE / "icons.svg").read_text()))
    shown = page.evaluate("[...document.querySelectorAll('use')].map((use) => use.href.baseVal)")
    assert len(shown) > 10
    assert {name.partition("#")[2] for name in shown} <= drawn
