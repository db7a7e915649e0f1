"""The configuration for nginx in docs/many-servers.md: nginx takes it, and it does what is said."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from sdcpu.job_queue import JobQueue
from sdcpu.server.access import Access
from tests.fake_generators import Studio, settings_in
from tests.pages import ROOT, examples
from tests.serving import serving

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NAME = "pictures.example"
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
WISH = {"request": {"prompt": "a red circle", "seed": 7, "width": 64, "height": 64}}


def configuration(folder: Path, servers: Sequence[str] = (), port: int | None = None) -> Path:
    """The page's configuration as a whole file, with other addresses where some are given."""
    (example,) = examples("nginx", ROOT / "docs" / "many-servers.md")
    text = example.text
    if port is not None:
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
        lines = "\n".join(f"    server {server} max_fails=1;" for server in servers)
        text = re.sub(r"(    server 10\S+[^\n]*\n)+", lines + "\n", text)
        assert text.count(servers[0]) == 2
    places = "".join(
        f"{place}_temp_path {folder / place};\n"
        for place in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nerror_log stderr;\n"
    whole += f"events {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    path = folder / "nginx.conf"
    path.write_text(whole, encoding="utf-8")
    return path


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def listens(port: int) -> bool:
    with closing(socket.socket()) as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def balancing(folder: Path, servers: Sequence[str]) -> Iterator[httpx2.Client]:
    """A client of nginx before these servers."""
    assert NGINX is not None
    port = free_port()
    program = [NGINX, "-p", str(folder), "-c", str(configuration(folder, servers, port))]
    headers = {"Host": NAME, "Authorization": "Bearer secret"}
    with (
        subprocess.Popen(program, stderr=subprocess.DEVNULL) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
    ):
        try:
            deadline = time.monotonic() + 20
            while not listens(port):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            yield client
        finally:
            process.terminate()


def test_nginx_takes_it(tmp_path: Path) -> None:
    assert NGINX is not None
    program = [NGINX, "-t", "-p", str(tmp_path), "-c", str(configuration(tmp_path))]
    result = subprocess.run(program, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 0, result.stderr


def test_clients_come_back_to_their_server(tmp_path: Path) -> None:
    access = Access(token="secret", names=frozenset({NAME}))
    with ExitStack() as stack:
        queues, ends, urls = [], [], []
        for number in (1, 2):
            own = tmp_path / str(number)
            queue = JobQueue(
                own / "queue", settings=settings_in(own / "settings"), make_generator=Studio()
            )
            queues.append(stack.enter_context(queue))
            end = stack.enter_context(ExitStack())
            urls.append(end.enter_context(serving(queue, access=access)).removeprefix("http://"))
            ends.append(end)
        client = stack.enter_context(balancing(tmp_path, urls))
        ids = []
        for _ in range(3):
            answer = client.post("/api/v1/jobs", json=WISH)
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
        with client.stream("GET", f"/api/v1/jobs/{ids[-1]}/events") as events:
            assert any(line == "event: done" or '"done"' in line for line in events.iter_lines())
        for job in ids:
            assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "done"
            assert client.get(f"/api/v1/jobs/{job}/results/0").content.startswith(b"\x89PNG")
        (mine,) = [number for number in (0, 1) if queues[number].jobs()]
        for _ in range(2):
            drawn = client.post("/v1/images/generations", json={"prompt": "a cat"})
            assert drawn.status_code == 200, drawn.text
        refused = client.get("/api/v1/jobs", headers={"Host": "elsewhere.example"})
        assert refused.status_code == 403
        ends[mine].close()
        after = client.post("/api/v1/jobs", json=WISH)
        assert after.status_code == 202
        assert client.get(f"/api/v1/jobs/{after.json()['id']}").status_code == 200
        assert queues[1 - mine].jobs()
