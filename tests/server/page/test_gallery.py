"""The page's gallery in a real browser: finished pictures, and what can be made of them."""

import json
from pathlib import Path

from playwright.sync_api import expect

from sdcpu.job_queue import Job, JobQueue
from sdcpu.recipe import read_recipe
from tests.browser import Visits

MORE_THAN_ONE_PAGE = 62


def finished(queue: JobQueue, prompt: str, count: int = 1) -> Job:
    job = queue.submit({"prompt": prompt, "seed": 5, "steps": 2, "count": count}, model="demo")
    return queue.wait(job.id, 20)


def test_pictures_are_looked_at_one_after_the_other(visits: Visits, queue: JobQueue) -> None:
    finished(queue, "a boat")
    finished(queue, "two hearts", count=2)
    page = visits.open()
    tiles = page.locator("#tiles button")
    expect(tiles).to_have_count(3)
    tiles.nth(2).click()
    expect(page.locator("#stage .words")).to_have_text("a boat")
    page.get_by_text("How it was made").click()
    recipe = page.locator("#stage dl")
    for fact in ("64×64", "demo", "Seed\n5", "Steps\n2"):
        expect(recipe).to_contain_text(fact.partition("\n")[2] or fact)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stage .words")).to_have_text("two hearts")
    expect(tiles.nth(1)).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Picture 2").click()
    expect(tiles.nth(0)).to_have_attribute("aria-current", "true")


def test_a_picture_is_downloaded_with_its_recipe(
    visits: Visits, queue: JobQueue, tmp_path: Path
) -> None:
    finished(queue, "a boat")
    page = visits.open()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    coming.value.save_as(tmp_path / "boat.png")
    assert coming.value.suggested_filename.endswith(".png")
    assert read_recipe(tmp_path / "boat.png")["prompt"] == "a boat"


def test_again_with_another_seed(visits: Visits, queue: JobQueue) -> None:
    finished(queue, "a boat")
    page = visits.open()
    page.get_by_role("button", name="Again with another seed").click()
    expect(page.locator("#tiles button")).to_have_count(2)
    request = queue.jobs()[0].request
    assert (request["prompt"], request["steps"]) == ("a boat", 2)
    assert "seed" not in request


def test_deleting_asks_in_place(visits: Visits, queue: JobQueue) -> None:
    finished(queue, "a boat")
    finished(queue, "two hearts", count=2)
    page = visits.open()
    page.get_by_role("button", name="Delete").click()
    assert len(queue.jobs()) == 2
    page.get_by_role("button", name="Really delete all 2?").click()
    expect(page.locator("#tiles button")).to_have_count(1)
    expect(page.locator("#stage .words")).to_have_text("a boat")
    assert [job.request["prompt"] for job in queue.jobs()] == ["a boat"]


def test_enlarging_asks_for_the_picture_that_is_shown(visits: Visits, queue: JobQueue) -> None:
    job = finished(queue, "two hearts", count=2)
    page = visits.open()
    page.get_by_role("button", name="Picture 2").click()
    with page.expect_request("**/api/v1/jobs") as asked:
        page.get_by_role("button", name="Enlarge 4 ×").click()
    body = json.loads(asked.value.post_data or "")
    assert (body["kind"], body["request"]) == (
        "upscale",
        {"image": f"result:{job.id}/1", "factor": 4},
    )


def test_older_pictures_are_fetched_when_asked_for(visits: Visits, queue: JobQueue) -> None:
    for number in range(MORE_THAN_ONE_PAGE):
        queue.submit({"prompt": f"picture {number}"})
    queue.wait(queue.jobs()[0].id, 60)
    page = visits.open()
    tiles = page.locator("#tiles button")
    expect(tiles).to_have_count(60)
    page.get_by_role("button", name="Show older pictures").click()
    expect(tiles).to_have_count(MORE_THAN_ONE_PAGE)
    expect(page.get_by_role("button", name="Show older pictures")).to_be_hidden()
