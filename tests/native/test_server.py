"""`sdcpu serve` with the demo model: what docs/server.md says, and how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest
from PIL import Image

from sdcpu.recipe import read_recipe
from tests.pages import ROOT, Example, examples

pytestmark = pytest.mark.timeout(300)

PAGE = ROOT / "docs" / "server.md"
ADDRESS = "http://127.0.0.1:7860"
SECONDS = 60


@contextmanager
def served(
    folder: Path, demo_folder: Path, *options: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server in a process of its own, without a slash at the end."""
    environment = {
        **os.environ,
        "SDCPU_CACHE": str(demo_folder),
        "SDCPU_STATE": str(folder / "state"),
        "SDCPU_CONFIG": str(folder / "no-config.toml"),
        "SDCPU_MODEL": "demo",
        "SDCPU_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "sdcpu", "serve", "--port", "0", *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert address, server.communicate(timeout=SECONDS)[1]
            yield address.rstrip("/"), server
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=SECONDS)


def wait_for(client: httpx2.Client, job: str, *states: str) -> dict[str, object]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found: dict[str, object] = client.get(f"/api/v1/jobs/{job}").json()
        if found["state"] in states:
            return found
        time.sleep(0.05)
    raise AssertionError(f"the job is still {found['state']}")


def asked() -> list[Example]:
    """The examples that ask a running server, in their order."""
    found = [*examples("console", PAGE), *examples("python", PAGE)]
    return sorted((e for e in found if ADDRESS in e.text), key=lambda e: e.line)


def test_what_the_page_says(tmp_path: Path, demo_folder: Path) -> None:
    with served(tmp_path, demo_folder) as (address, _):
        for example in asked():
            text = example.text.replace(ADDRESS, address)
            if example.kind == "python":
                command = [sys.executable, "-c", text]
            else:
                lines = "\n".join(line[2:] for line in text.splitlines())
                command = ["bash", "-euo", "pipefail", "-c", lines.replace("curl -s", "curl -fs")]
            run = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
            )
            assert run.returncode == 0, f"{example.place}: {run.stdout}\n{run.stderr}"
    assert len(asked()) == 3
    assert read_recipe(tmp_path / "circle.png")["seed"] == 7
    assert read_recipe(tmp_path / "circle.webp")["seed"] == 7
    assert read_recipe(tmp_path / "star.png")["seed"] == 42
    with Image.open(tmp_path / "star.png") as star:
        assert star.size == (256, 256)
    assert json.loads((tmp_path / "upload.json").read_text())["recipe"]["seed"] == 7


def test_ctrl_c_puts_the_picture_back_into_the_queue(tmp_path: Path, demo_folder: Path) -> None:
    options = ("--folder", str(tmp_path / "queue"))
    long = {"request": {"prompt": "a red circle", "steps": 140, "seed": 1}}
    with served(tmp_path, demo_folder, *options) as (address, server):
        with httpx2.Client(base_url=address, timeout=SECONDS) as client:
            job = client.post("/api/v1/jobs", json=long).json()["id"]
            wait_for(client, job, "running")
        engines = psutil.Process(server.pid).children(recursive=True)
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=SECONDS)
        assert server.returncode == 0
        assert "Traceback" not in said
    assert psutil.wait_procs(engines, timeout=SECONDS)[1] == []
    with (
        served(tmp_path, demo_folder, *options) as (address, _),
        httpx2.Client(base_url=address, timeout=SECONDS) as client,
    ):
        assert wait_for(client, job, "running", "done")["error"] is None
        client.post(f"/api/v1/jobs/{job}/cancel")


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, demo_folder: Path) -> None:
    with (
        served(tmp_path, demo_folder) as (address, server),
        httpx2.stream("GET", f"{address}/api/v1/events", timeout=SECONDS) as events,
    ):
        next(events.iter_lines())
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGINT)
        assert server.wait(SECONDS) in (130, 0)  # 0 where the first was quicker


def test_a_network_needs_a_token(tmp_path: Path, demo_folder: Path) -> None:
    with served(tmp_path, demo_folder, "--host", "0.0.0.0") as (address, _):
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/\?token=([\w-]{32})", address)
        assert found
        base, token = found.groups()
        assert httpx2.get(f"{base}/api/v1/about", timeout=SECONDS).status_code == 401
        known = {"authorization": f"Bearer {token}"}
        assert httpx2.get(f"{base}/api/v1/about", headers=known, timeout=SECONDS).status_code == 200


def test_a_port_that_is_taken(tmp_path: Path, demo_folder: Path) -> None:
    with served(tmp_path, demo_folder) as (address, _):
        port = address.rpartition(":")[2]
        command = [sys.executable, "-m", "sdcpu", "serve", "--port", port]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "--port 0" in run.stderr
    assert "Traceback" not in run.stderr
