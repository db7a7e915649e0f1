"""Starting from pictures in a real browser: bringing them, painting masks, painting on."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from sdcpu.job_queue import JobQueue
from sdcpu.recipe import save_picture
from tests.browser import Visits

WIDTH, HEIGHT = 96, 64
PAINT, KEEP = 255, 0
_GIVE = """
([place, kind, name, numbers]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(numbers)], name, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  document.querySelector(place).dispatchEvent(kind === "paste"
    ? new ClipboardEvent(kind, { ...options, clipboardData: transfer })
    : new DragEvent(kind, { ...options, dataTransfer: transfer }));
}
"""


def picture() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), "orange")


def png() -> bytes:
    written = BytesIO()
    picture().save(written, "PNG")
    return written.getvalue()


def bring(page: Page, file: Path) -> None:
    page.locator("#start-file").set_input_files(file)
    expect(page.get_by_role("button", name="Paint a mask")).to_be_visible()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orange.png"
    return save_picture(picture(), path, {"prompt": "an orange", "seed": 9, "steps": 3})


def paint(page: Page) -> Locator:
    page.get_by_role("button", name="Paint a mask").click()
    canvas = page.locator("#painter canvas")
    expect(canvas).to_be_focused()
    return canvas


def box(canvas: Locator) -> FloatRect:
    found = canvas.bounding_box()
    assert found is not None
    return found


def stroke(
    page: Page, canvas: Locator, begin: tuple[float, float], end: tuple[float, float]
) -> None:
    """Draw a line between two places, as parts of width and height."""
    at = box(canvas)
    spots = [(at["x"] + at["width"] * x, at["y"] + at["height"] * y) for x, y in (begin, end)]
    page.mouse.move(*spots[0])
    page.mouse.down()
    page.mouse.move(*spots[1], steps=4)
    page.mouse.up()


def asked(page: Page, queue: JobQueue) -> dict[str, Any]:
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#draw")).to_be_enabled()
    return dict(queue.jobs()[0].request)


def sent(page: Page) -> dict[str, Any]:
    """Press the button; what it sends, whether or not the server can do it."""
    with page.expect_request("**/api/v1/jobs") as request:
        page.get_by_role("button", name="Draw").click()
    expect(page.locator("#draw")).to_be_enabled()
    found: dict[str, Any] = json.loads(request.value.post_data or "")["request"]
    return found


def mask(page: Page, queue: JobQueue, visits: Visits) -> Image.Image:
    """Finish the painting, draw, and fetch the mask that was asked for."""
    page.get_by_role("button", name="Use this mask").click()
    return used_mask(page, queue, visits)


def used_mask(page: Page, queue: JobQueue, visits: Visits) -> Image.Image:
    expect(page.locator("#painter")).to_be_hidden()
    expect(page.get_by_text("only the mask is painted")).to_be_visible()
    name = asked(page, queue)["mask_image"].removeprefix("upload:")
    found = httpx2.get(f"{visits.address}/api/v1/uploads/{name}")
    painted = Image.open(BytesIO(found.content)).convert("L")
    assert painted.size == (WIDTH, HEIGHT)
    return painted


def test_a_picture_is_pasted_or_dropped(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    for way in ("paste", "drop"):
        page.evaluate(_GIVE, ["body", way, "orange.png", list(png())])
        expect(page.locator("#start")).to_contain_text(f"{WIDTH}×{HEIGHT}")
        if way == "paste":
            page.get_by_role("button", name="Remove the start picture").click()
            expect(page.get_by_role("button", name="Start from a picture")).to_be_visible()
    page.get_by_label("How much may change").fill("0.4")
    request = asked(page, queue)
    assert request["init_image"].startswith("upload:")
    assert request["strength"] == 0.4
    page.reload()
    assert asked(page, queue)["init_image"] == request["init_image"]
    page.get_by_role("button", name="Remove the start picture").click()
    assert "init_image" not in asked(page, queue)


def test_a_file_brings_its_recipe_and_the_picture_grows_at_its_edges(
    visits: Visits, queue: JobQueue, file: Path
) -> None:
    page = visits.open()
    bring(page, file)
    page.get_by_text("Paint on beyond its edges").click()
    page.get_by_label("Left", exact=True).fill("32")
    page.get_by_label("Bottom", exact=True).fill("16")
    assert sent(page)["extension"] == [32, 0, 0, 16]
    page.locator("#start").get_by_role("button", name="Use these settings").click()
    request = asked(page, queue)
    assert (request["prompt"], request["seed"], request["steps"]) == ("an orange", 9, 3)
    assert "init_image" not in request


def test_models_that_edit_get_the_picture_as_a_reference(
    visits: Visits, queue: JobQueue, file: Path
) -> None:
    page = visits.open()
    bring(page, file)
    expect(page.get_by_label("Change it as the prompt says")).to_be_hidden()
    page.locator("[name=model]").select_option("flux2-klein-4b")
    page.get_by_label("Change it as the prompt says").check()
    expect(page.get_by_role("button", name="Paint a mask")).to_be_hidden()
    request = sent(page)
    assert request["ref_images"][0].startswith("upload:")
    assert "init_image" not in request
    page.locator("[name=model]").select_option("flux1-fill-dev")
    expect(page.locator("#model-summary")).to_contain_text("needs a start picture and a mask")


def test_what_is_no_picture_is_refused(visits: Visits, tmp_path: Path) -> None:
    page = visits.open()
    (tmp_path / "not.png").write_bytes(b"no picture")
    page.locator("#start-file").set_input_files(tmp_path / "not.png")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Start from a picture")).to_be_visible()


def test_a_mask_is_painted_erased_and_undone(visits: Visits, queue: JobQueue, file: Path) -> None:
    page = visits.open()
    bring(page, file)
    canvas = paint(page)
    stroke(page, canvas, (0.2, 0.5), (0.8, 0.5))
    stroke(page, canvas, (0.5, 0.1), (0.5, 0.2))
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Eraser").click()
    stroke(page, canvas, (0.5, 0.3), (0.5, 0.7))
    painted = mask(page, queue, visits)
    row = [painted.getpixel((round(WIDTH * x), HEIGHT // 2)) for x in (0.05, 0.25, 0.5, 0.75, 0.95)]
    assert row == [KEEP, PAINT, KEEP, PAINT, KEEP]
    assert painted.getpixel((WIDTH // 2, HEIGHT // 8)) == KEEP, "it was undone"
    page.get_by_role("button", name="Change the mask").click()
    page.get_by_role("button", name="Invert").click()
    inverted = mask(page, queue, visits)
    assert inverted.getpixel((WIDTH // 4, HEIGHT // 2)) == KEEP
    assert inverted.getpixel((WIDTH // 2, HEIGHT // 8)) == PAINT


def test_a_mask_is_painted_with_keys_alone(visits: Visits, queue: JobQueue, file: Path) -> None:
    page = visits.open()
    bring(page, file)
    canvas = paint(page)
    for key in (*["ArrowLeft"] * 6, "Space", *["ArrowRight"] * 8, "Space", *["ArrowDown"] * 8):
        canvas.press(key)
    canvas.press("Enter")
    painted = used_mask(page, queue, visits)
    assert painted.getpixel((WIDTH // 2, HEIGHT // 2)) == PAINT
    assert painted.getpixel((WIDTH // 2, HEIGHT - 4)) == KEEP
    page.get_by_role("button", name="Change the mask").click()
    page.keyboard.press("Escape")
    expect(page.locator("#painter")).to_be_hidden()


def test_a_mask_is_painted_with_a_finger(visits: Visits, queue: JobQueue, file: Path) -> None:
    page = visits.open(width=360, has_touch=True, is_mobile=True)
    bring(page, file)
    at = box(paint(page))
    middle, line = at["y"] + at["height"] / 2, [at["x"] + at["width"] * x for x in (0.3, 0.5, 0.7)]
    finger = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", line[0]), ("touchMove", line[1]), ("touchMove", line[2])):
        finger.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": middle}]}
        )
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    painted = mask(page, queue, visits)
    row = [painted.getpixel((round(WIDTH * x), HEIGHT // 2)) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert row == [KEEP, PAINT, PAINT, PAINT, KEEP]


def test_a_finished_picture_is_the_start_of_another(visits: Visits, queue: JobQueue) -> None:
    job = queue.submit({"prompt": "a boat", "width": WIDTH, "height": HEIGHT})
    queue.wait(job.id, 20)
    page = visits.open()
    page.get_by_role("button", name="Start from this picture").click()
    expect(page.locator("#start")).to_contain_text(f"{WIDTH}×{HEIGHT}")
    stroke(page, paint(page), (0.4, 0.5), (0.6, 0.5))
    assert mask(page, queue, visits).getpixel((WIDTH // 2, HEIGHT // 2)) == PAINT
    assert queue.jobs()[0].request["init_image"] == f"result:{job.id}/0"
