"""What happens to jobs, as the page shows it in a real browser."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request, Route, expect

from sdcpu.job_queue import JobQueue, JobState
from sdcpu.server.access import Access
from tests.browser import Chromium, Visits
from tests.fake_generators import Studio
from tests.serving import serving


def write(page: Page, prompt: str) -> None:
    page.get_by_label("What should the picture show?").fill(prompt)


def draw(page: Page, prompt: str) -> None:
    write(page, prompt)
    page.keyboard.press("Control+Enter")


def stage(page: Page) -> str:
    return page.locator("#stage").inner_text()


def test_a_picture_grows_until_it_is_done(visits: Visits, queue: JobQueue, studio: Studio) -> None:
    studio.seconds_each = 0.4
    page = visits.open()
    expect(page.locator("#stage")).to_contain_text("Your pictures will appear here.")
    draw(page, "a red circle")
    expect(page.locator("#stage")).to_contain_text(re.compile("Drawing · step [1-4] of 4"))
    expect(page.locator("#stage")).to_contain_text(re.compile("about . s left|almost done"))
    expect(page.get_by_alt_text("The unfinished picture")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Drawing")
    expect(page.get_by_role("progressbar")).to_be_visible()
    picture = page.locator("#stage").get_by_alt_text("a red circle")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 64
    expect(page.locator("#tiles button")).to_have_count(1)
    expect(page.locator("#announcer")).to_have_text("Done")


def test_cancelling_asks_first_and_is_no_dialogue(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    draw(page, "wait for me")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Yes, cancel it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Yes, cancel it")).to_be_hidden()
    assert queue.jobs()[0].state is JobState.RUNNING
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_contain_text("Cancelled")
    assert queue.wait(queue.jobs()[0].id, 20).state is JobState.CANCELLED


def test_the_queue_can_be_put_in_order(visits: Visits, queue: JobQueue, studio: Studio) -> None:
    page = visits.open()
    draw(page, "wait for me")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    for prompt in ("second", "third", "fourth"):
        queue.submit({"prompt": prompt}, client="rest")
    rows = page.locator("#queue [data-state=queued]")
    expect(rows).to_have_count(3)
    rows.nth(2).get_by_role("button", name="Sooner").click()
    expect(rows.filter(has_text="fourth")).to_contain_text("priority 1")
    assert queue.jobs()[0].priority == 1
    rows.filter(has_text="second").get_by_role("button", name="Remove").click()
    expect(rows).to_have_count(2)
    draw(page, "a last one")
    expect(rows).to_have_count(3)
    studio.released.set()
    expect(page.locator("#tiles button")).to_have_count(4)
    expect(page.locator("#queue")).to_be_hidden()
    assert {prompt for prompt, _ in studio.drawn} == {
        "wait for me",
        "fourth",
        "third",
        "a last one",
    }


def test_an_error_is_shown_with_what_to_do_next(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    draw(page, "refuse this")
    expect(page.locator("#stage")).to_contain_text("It cannot be drawn.")
    expect(page.locator("#stage")).to_contain_text("Draw another.")
    page.locator("#stage").get_by_role("button", name="Try again").click()
    expect(page.locator("#queue")).to_contain_text("It cannot be drawn.")
    again, first = queue.jobs()
    assert again.retry_of == first.id
    page.locator("#queue").get_by_role("button", name="Remove").click()
    expect(page.locator("#queue")).to_be_hidden()


def test_what_the_server_refuses_is_said_at_once(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    page.get_by_label("Seed").fill("99999999999999999999")
    draw(page, "a red circle")
    notice = page.get_by_role("alert").filter(has_text="seed")
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Close").click()
    expect(notice).to_be_hidden()
    assert queue.jobs() == []


def test_it_can_be_closed_and_opened_again(visits: Visits, queue: JobQueue, studio: Studio) -> None:
    page = visits.open()
    draw(page, "wait for me")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.close()
    page = visits.open(locale="de-DE")
    expect(page.get_by_role("button", name="Abbrechen")).to_be_visible()
    assert "wait for me" in stage(page)
    studio.released.set()
    expect(page.locator("#stage").get_by_alt_text("wait for me")).to_be_visible()


def test_a_lost_connection_is_found_again(browser: Chromium, queue: JobQueue) -> None:
    with serving(queue) as address:
        visits = Visits(browser, address)
        page = visits.open()
    expect(page.locator("#connection")).to_contain_text("The server does not answer.")
    queue.wait(queue.submit({"prompt": "drawn meanwhile"}).id, 20)
    with serving(queue, port=urlsplit(address).port or 0):
        expect(page.locator("#connection")).to_have_text("")
        expect(page.locator("#stage").get_by_alt_text("drawn meanwhile")).to_be_visible()
        visits.close()
    assert visits.problems == []


def test_a_server_with_a_token_lets_in_who_knows_it(browser: Chromium, queue: JobQueue) -> None:
    with serving(queue, access=Access(token="the first")) as address:
        visits = Visits(browser, address, token="the first")
        page = visits.open()
        draw(page, "a red circle")
        expect(page.locator("#tiles button")).to_have_count(1)
    with serving(queue, access=Access(token="the second"), port=urlsplit(address).port or 0):
        page.get_by_label("Token").fill("the first")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_text("That is not its token.")).to_be_visible()
        page.get_by_label("Token").fill("the second")
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#tiles button")).to_be_visible()
        expect(page.locator("#login")).to_be_hidden()
        visits.close()
    assert visits.problems == []


def test_what_was_sent_twice_is_drawn_once(visits: Visits, queue: JobQueue) -> None:
    page = visits.open()
    answers_lost: list[Request] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method == "POST" and not answers_lost:
            answers_lost.append(route.request)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/jobs", lose_the_first_answer)
    draw(page, "a red circle")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#draw")).to_be_enabled()
    expect(page.locator("#tiles button")).to_have_count(1)
    assert len(queue.jobs()) == 1


def test_who_looks_elsewhere_is_told(visits: Visits, queue: JobQueue, studio: Studio) -> None:
    page = visits.open(
        before="""
        window.told = [];
        window.Notification = class extends EventTarget {
          static permission = "default";
          static requestPermission() { return Promise.resolve(this.permission = "granted"); }
          constructor(title, options) { super(); window.told.push(`${title}: ${options.body}`); }
        };
        document.hasFocus = () => false;
        """
    )
    page.get_by_role("button", name="Notify me when a picture is done").click()
    expect(page.locator("#notify")).to_have_attribute("aria-pressed", "true")
    draw(page, "wait for me")
    expect(page).to_have_title(re.compile("Drawing – sdcpu|0% – sdcpu"))
    studio.released.set()
    expect(page).to_have_title("Done – sdcpu")
    assert page.evaluate("window.told") == ["Done: wait for me"]
