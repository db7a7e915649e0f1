"""The page's form in a real browser: what is filled in is what is asked for, and it stays."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sdcpu.errors import NotEnoughMemoryError
from sdcpu.job_queue import JobQueue
from tests.browser import Visits

LONG_SEED = 2**63 - 25
"""One that a number in a browser cannot hold."""


def drawn(page: Page, queue: JobQueue) -> dict[str, Any]:
    """Press the button; what the newest job asks for."""
    before = len(queue.jobs())
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#draw")).to_be_enabled()
    assert len(queue.jobs()) == before + 1
    job = queue.jobs()[0]
    queue.wait(job.id, 20)
    return {"model": job.model, **job.request}


def test_a_prompt_is_enough(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    page.get_by_label("What should the picture show?").fill("a red circle")
    expect(page.locator("#plan")).to_contain_text("about 2 min 10 s")
    expect(page.locator("#plan")).to_contain_text("790 MB of memory")
    expect(page.locator("#plan")).to_contain_text("nothing to download")
    asked = drawn(page, queue)
    expected = {"prompt": "a red circle", "quality": "balanced", "count": 1, "preview": "auto"}
    assert asked == {"model": None, **expected}


def test_everything_that_can_be_filled_in_is_asked_for(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    page.get_by_label("What should the picture show?").fill("a boat")
    page.get_by_text("What it should not show").click()
    page.get_by_role("textbox", name="What it should not show").fill("fog")
    page.locator("[name=model]").select_option("demo-base")
    page.get_by_role("button", name="320 by 192 pixels").click()
    page.get_by_label("Swap width and height").click()
    expect(page.get_by_label("Width in pixels")).to_have_value("192")
    page.get_by_text("Best", exact=True).click()
    page.get_by_label("Pictures").fill("2")
    page.get_by_label("Seed").fill(str(LONG_SEED))
    page.get_by_text("More options").click()
    for name, value in {
        "Steps": "6",
        "CFG scale": "3.5",
        "Guidance": "2",
        "CLIP skip": "1",
    }.items():
        page.get_by_label(name, exact=True).fill(value)
    chosen = {"sampler": "euler", "scheduler": "karras", "seamless": "x", "decoder": "full"}
    for name, value in {**chosen, "hires": "2", "upscale": "2"}.items():
        page.locator(f"[name={name}]").select_option(value)
    page.get_by_label("… how far from it").fill("0.4")
    page.get_by_text("watercolour", exact=True).click()
    page.get_by_label("LoRA to add").select_option("demo-outline")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Weight of demo-outline").fill("0.8")
    asked = drawn(page, queue)
    assert asked == {
        "model": "demo-base",
        "prompt": "a boat",
        "negative_prompt": "fog",
        "width": 192,
        "height": 320,
        "quality": "best",
        "count": 2,
        "seed": LONG_SEED,
        "steps": 6,
        "cfg_scale": 3.5,
        "guidance": 2,
        "clip_skip": 1,
        "sampler": "euler",
        "scheduler": "karras",
        "seamless": "x",
        "decoder": "full",
        "hires": 2,
        "hires_strength": 0.4,
        "upscale": 2,
        "styles": ["watercolour"],
        "loras": [["demo-outline", 0.8]],
        "preview": "auto",
    }
    page.reload()
    expect(page.get_by_label("Weight of demo-outline")).to_have_value("0.8")
    assert drawn(page, queue) == asked
    page.get_by_role("button", name="Reset everything but the prompt").click()
    assert drawn(page, queue).keys() == {"model", "prompt", "quality", "count", "preview"}


def test_settings_of_a_picture_come_back_exactly(visits: Visits, queue: JobQueue) -> None:
    job = queue.submit({"prompt": "a red heart", "seed": LONG_SEED, "steps": 3}, model="demo")
    queue.wait(job.id, 20)
    page = visits.open()
    page.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_label("Seed")).to_have_value(str(LONG_SEED))
    asked = drawn(page, queue)
    assert (asked["prompt"], asked["seed"], asked["steps"]) == ("a red heart", LONG_SEED, 3)


def test_the_negative_prompt_is_there_where_it_is_heeded(
    visits: Visits, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "plan", unreachable_plan)
    page = visits.open()
    box = page.get_by_role("textbox", name="What it should not show")
    for model, heeds in (("demo", False), ("demo-base", True), ("demo", False)):
        page.locator("[name=model]").select_option(model)
        expect(box).to_be_visible(visible=heeds)


def unreachable_plan(*_: Any) -> dict[str, Any]:
    raise NotEnoughMemoryError("It needs 9 GB, 2 GB are free.", hint="Make it smaller.")


def test_a_plan_tells_downloads_surprises_reasons_and_problems(
    visits: Visits, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = queue.plan

    def with_download(*arguments: Any) -> dict[str, Any]:
        changes = {"download_bytes": 2_100_000_000, "seconds_expected": None}
        return {**real(*arguments), **changes}

    monkeypatch.setattr(queue, "plan", with_download)
    page = visits.open()
    plan = page.locator("#plan")
    expect(plan).to_contain_text("2.1 GB to download")
    expect(plan).to_contain_text("time unknown before the first picture")
    expect(plan).to_contain_text("“sdcpu pull demo” fetches it")
    expect(plan.locator(".surprises")).to_contain_text("This is reason number 1.")
    expect(plan.get_by_text("This is reason number 2.")).to_be_hidden()
    plan.get_by_text("Why").click()
    expect(plan.get_by_text("This is reason number 2.")).to_be_visible()
    monkeypatch.setattr(queue, "plan", unreachable_plan)
    page.get_by_label("Pictures").fill("3")
    expect(plan).to_contain_text("It needs 9 GB, 2 GB are free.")
    expect(plan).to_contain_text("Make it smaller.")


def test_models_are_told_apart_by_what_is_here(visits: Visits) -> None:
    page = visits.open()
    here = page.locator("#model optgroup[label='Here already'] option")
    away = page.locator("#model optgroup[label='To be downloaded first'] option")
    assert "demo" in here.all_inner_texts()
    assert any(text.startswith("sd-turbo (") for text in away.all_inner_texts())
    page.locator("[name=model]").select_option("sd-turbo")
    expect(page.locator("#model-summary")).to_contain_text("Licence: Stability AI Community")
    expect(page.get_by_role("button", name="512 by 512 pixels")).to_be_visible()


def test_a_number_out_of_bounds_is_shown_even_where_it_is_folded_away(
    visits: Visits, queue: JobQueue
) -> None:
    page = visits.open()
    page.get_by_text("More options").click()
    page.get_by_label("Steps", exact=True).fill("0")
    page.get_by_text("More options").click()
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_label("Steps", exact=True)).to_be_focused()
    assert queue.jobs() == []


def test_what_is_kept_survives_damage(visits: Visits) -> None:
    page = visits.open()
    for kept in ("no JSON", json.dumps({"loras": 5, "start": 7})):
        page.evaluate("kept => localStorage.setItem('sdcpu.form', kept)", kept)
        page.reload()
        expect(page.locator("#plan")).to_contain_text("about")
