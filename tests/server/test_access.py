"""Who is let in: hosts, origins, tokens."""

import base64
from collections.abc import Iterator

import httpx2
import pytest

from sdcpu.job_queue import JobQueue
from sdcpu.server.access import Access, addresses_of, new_token
from tests.serving import serving

TOKEN = "correct horse battery"
HOST = {"host": "127.0.0.1:7860"}


@pytest.fixture
def guarded(queue: JobQueue) -> Iterator[httpx2.Client]:
    access = Access(token=TOKEN, names=frozenset({"studio.example"}))
    with serving(queue, access=access) as url, httpx2.Client(base_url=url) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def status(access: Access, method: str = "GET", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    problem = access.problem(method, HOST | given)
    return problem.status if problem else 200


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:7860", True),
        ("LOCALHOST.:7860", True),
        ("127.0.0.1", True),
        ("192.168.1.7:7860", True),
        ("[::1]:7860", True),
        ("sdcpu.localhost", True),
        ("studio.example:7860", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example#localhost", False),
        ("localhost@evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_only_known_names_are_hosts(host: str, allowed: bool) -> None:
    access = Access(token=None, names=frozenset({"studio.example"}))
    assert (access.problem("GET", {"host": host}) is None) == allowed


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("POST", {}, True),
        ("POST", {"origin": "http://127.0.0.1:7860"}, True),
        ("POST", {"origin": "https://127.0.0.1:7860"}, True),
        ("POST", {"origin": "http://127.0.0.1:7860", "sec_fetch_site": "same-origin"}, True),
        ("POST", {"origin": "http://127.0.0.1:8000"}, False),
        ("POST", {"origin": "http://evil.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": "http://["}, False),
        ("POST", {"sec_fetch_site": "cross-site"}, False),
        ("POST", {"sec_fetch_site": "same-site"}, False),
        ("POST", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, False),
        ("CONNECT", {"origin": "http://evil.example"}, False),
        ("GET", {"origin": "http://evil.example"}, False),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, False),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, True),
        ("GET", {"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, True),
    ],
)
def test_pages_from_elsewhere_cannot_use_it(
    method: str, headers: dict[str, str], allowed: bool
) -> None:
    assert status(Access(token=None), method, **headers) == (200 if allowed else 403)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic("anybody", TOKEN), 200),
        (basic(TOKEN, ""), 401),
        ("Basic not-base64!", 401),
        ("Basic //79", 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Bearer é", 401),
        (TOKEN, 401),
        ("", 401),
    ],
)
def test_the_token_is_needed(authorization: str, expected: int) -> None:
    assert status(Access(token=TOKEN), authorization=authorization) == expected


def test_the_token_shows_nowhere() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))
    assert len({new_token() for _ in range(100)}) == 100


def test_a_cookie_stands_for_the_token(guarded: httpx2.Client) -> None:
    assert guarded.get("/api/v1/about").status_code == 401
    welcome = guarded.get("/", params={"token": TOKEN})
    assert welcome.status_code == 200
    written = welcome.headers["set-cookie"]
    assert "HttpOnly" in written
    assert "SameSite=Strict" in written
    assert TOKEN not in written
    assert TOKEN not in welcome.text
    assert guarded.get("/api/v1/about").status_code == 200
    # The cookie of a server at another port, or with another token, opens nothing.
    value = written.partition("=")[2].partition(";")[0]
    host = f"127.0.0.1:{guarded.base_url.port}"
    cookie = {"host": host, "cookie": f"sdcpu-access-{guarded.base_url.port}={value}"}
    assert Access(token=TOKEN).problem("GET", cookie) is None
    assert Access(token="another token").problem("GET", cookie) is not None
    assert Access(token=TOKEN).problem("GET", cookie | {"host": "127.0.0.1:1"}) is not None


def test_the_token_in_an_address_opens_the_page_only(guarded: httpx2.Client) -> None:
    assert guarded.get("/api/v1/about", params={"token": TOKEN}).status_code == 401
    assert guarded.post("/", params={"token": TOKEN}).status_code == 401
    wrong = guarded.get("/", params={"token": "wrong"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    elsewhere = guarded.get("/", params={"token": TOKEN}, headers={"host": "evil.example"})
    assert elsewhere.status_code == 403


def test_a_browser_without_token_is_asked_for_it(guarded: httpx2.Client) -> None:
    answer = guarded.get("/", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 401
    assert 'name="token"' in answer.text
    assert guarded.get("/").json()["error"]["code"] == "token_needed"


def test_everything_is_behind_the_token(guarded: httpx2.Client) -> None:
    for path in ("/", "/openapi.json", "/api/v1/jobs", "/api/v1/events", "/v1/models", "/nothing"):
        assert guarded.get(path).status_code == 401, path
        assert guarded.get(path, headers=bearer("x" * 10_000)).status_code == 401, path
    assert guarded.get("/api/v1/jobs", headers=bearer(TOKEN)).status_code == 200
    named = guarded.get("/api/v1/jobs", headers=bearer(TOKEN) | {"host": "studio.example"})
    assert named.status_code == 200


def test_every_answer_tells_browsers_what_to_keep_out(client: httpx2.Client) -> None:
    for answer in (client.get("/api/v1/about"), client.get("/x"), client.post("/api/v1/jobs")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_a_wildcard_is_every_address_of_the_machine() -> None:
    assert addresses_of("192.168.1.7") == ["192.168.1.7"]
    assert addresses_of("0.0.0.0")[0] == "127.0.0.1"
