"""The page with the demo model: a person draws a picture, then a part of it anew."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdcpu.job_queue import JobQueue
from sdcpu.settings import load_settings
from tests.browser import Visits, chromium
from tests.pictures import describe
from tests.serving import serving


@pytest.fixture
def visits(tmp_path: Path, demo_folder: Path) -> Iterator[Visits]:
    names = {"SDCPU_CACHE": str(demo_folder), "SDCPU_STATE": str(tmp_path / "state")}
    settings = load_settings({"HOME": str(tmp_path), "SDCPU_MODEL": "demo", **names})
    with (
        chromium() as browser,
        JobQueue(tmp_path / "queue", settings=settings) as queue,
        serving(queue) as address,
    ):
        visits = Visits(browser, address)
        yield visits
        visits.close()
    assert visits.problems == []


def result(page: Page) -> Image.Image:
    """The picture that is on the stage."""
    address = page.locator("#stage .frame img").get_attribute("src")
    assert address is not None
    return Image.open(BytesIO(httpx2.get(address).content)).convert("RGB")


def draw(page: Page, prompt: str, tiles: int) -> None:
    """Ask for a picture, and wait until the gallery has so many."""
    page.get_by_label("What should the picture show?").fill(prompt)
    page.get_by_label("Seed").fill("1")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#tiles button")).to_have_count(tiles, timeout=60_000)
    expect(page.locator("#stage .words")).to_have_text(prompt)


def test_a_person_draws_a_picture_and_a_part_of_it_anew(visits: Visits) -> None:
    page = visits.open()
    draw(page, "a red circle on a blue background", 1)
    circle = result(page)
    assert describe(circle) == ("blue", "red", "circle")
    expect(page.locator("#plan")).to_contain_text("about")
    page.get_by_role("button", name="Start from this picture").click()
    page.get_by_role("button", name="Paint a mask").click()
    canvas = page.locator("#painter canvas")
    for key in ("Space", *["ArrowUp"] * 30, *["ArrowDown"] * 60, "Space", "Enter"):
        canvas.press(key)
    expect(page.get_by_text("only the mask is painted")).to_be_visible()
    page.get_by_label("How much may change").fill("1")
    draw(page, "a yellow circle on a green background", 2)
    anew = result(page)
    beside = (0, 0, 100, 256)
    assert anew.crop(beside).tobytes() == circle.crop(beside).tobytes()
    painted = (122, 0, 134, 256)
    change = np.asarray(anew.crop(painted)).astype(float) - np.asarray(circle.crop(painted))
    assert np.abs(change).mean() > 20
