"""Many clients of a real server, which is killed meanwhile: no job may be lost or end twice.

Clients submit, cancel and wait; the engine's process is killed every few seconds, the server once,
with SIGKILL, and started again. Whoever gets no answer asks again with the same key.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
from PIL import Image

START_SECONDS = 60
PATIENCE_SECONDS = 900
"""For one job, in the queue and under way."""
MOST_WAITING = 12
"""Fewer than there are clients, so that some are sent away for a while."""
CANCELLED_PART = 0.3
FINAL = {"done", "failed", "cancelled"}
PROMPTS = ("a red circle", "a green heart on a white background", "a yellow star on black")
MODELS = ("demo", "demo-base")
FLAT_BYTES = 30_000_000
"""How much more memory the server may hold in the last quarter than in the second."""


@dataclass
class Server:
    """A server in a process of its own, always at the same address."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait for its address."""
        command = [sys.executable, "-m", "sdcpu", "serve", "--port", str(self.port)]
        command += ["--folder", str(self.folder), "--max-queue", str(MOST_WAITING)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None  # noqa: S101
        address = self.process.stdout.readline()
        if not address:
            sys.exit("The server did not start.")
        self.port = int(address.rstrip("/\n").rpartition(":")[2])

    def kill(self) -> None:
        """End it without a warning; its engine goes with it by itself."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        assert self.process is not None  # noqa: S101
        self.process.terminate()
        return self.process.wait(START_SECONDS)

    def kill_engine(self) -> bool:
        """Kill the engine's process; False where there is none now."""
        with contextlib.suppress(psutil.Error, AttributeError):
            assert self.process is not None  # noqa: S101
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if "sdcpu.worker" in " ".join(child.cmdline()):
                    child.kill()
                    return True
        return False

    def memory(self) -> int:
        """Bytes that the server itself holds, without the engine."""
        assert self.process is not None  # noqa: S101
        return int(psutil.Process(self.process.pid).memory_info().rss)


@dataclass
class Findings:
    """What was seen, by all threads together."""

    submitted: dict[str, str] = field(default_factory=dict)
    """The job's id by the key that it was submitted with."""
    ended: dict[str, str] = field(default_factory=dict)
    announced: dict[str, list[str]] = field(default_factory=dict)
    """The final announcements of each job, as a listener heard them."""
    sent_away: int = 0
    unanswered: int = 0
    engine_kills: int = 0
    problems: list[str] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    """How many jobs had ended, and the bytes that the server held."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """Submits jobs one after the other and waits for each."""

    def __init__(self, server: Server, findings: Findings, number: int, jobs: int) -> None:
        self._server = server
        self._findings = findings
        self._number = number
        self._jobs = jobs
        self._random = random.Random(number)  # noqa: S311

    def run(self) -> None:
        """Do all of them."""
        with httpx2.Client(timeout=30) as http:
            for count in range(self._jobs):
                try:
                    self._one(http, f"client-{self._number}-{count}")
                except (AssertionError, KeyError, ValueError) as error:
                    with self._findings.lock:
                        self._findings.problems.append(f"{type(error).__name__}: {error}")

    def _one(self, http: httpx2.Client, key: str) -> None:
        draw = self._random
        request = {
            "prompt": draw.choice(PROMPTS),
            "width": draw.choice((64, 128)),
            "height": 64,
            "steps": draw.choice((1, 2)),
            "count": draw.choice((1, 1, 2)),
            "seed": draw.randrange(12),  # few enough for the same request to come again
            "preview": draw.choice(("none", "proj")),
        }
        order = {"request": request, "model": draw.choice(MODELS), "priority": draw.randint(-2, 2)}
        job = self._asked(http, "POST", "/api/v1/jobs", json=order | {"key": key})
        with self._findings.lock:
            self._findings.submitted[key] = job["id"]
        if draw.random() < CANCELLED_PART:
            time.sleep(draw.random() * 4)
            self._asked(http, "POST", f"/api/v1/jobs/{job['id']}/cancel")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while job["state"] not in FINAL:
            assert time.monotonic() < deadline, f"{job['id']} is still {job['state']}"  # noqa: S101
            time.sleep(0.3)
            job = self._asked(http, "GET", f"/api/v1/jobs/{job['id']}")
        with self._findings.lock:
            self._findings.ended[job["id"]] = job["state"]

    def _asked(self, http: httpx2.Client, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The server's answer; whoever gets none, or is sent away, asks again."""
        while True:
            try:
                answer = http.request(method, self._server.url + path, **body)
            except httpx2.HTTPError:
                with self._findings.lock:
                    self._findings.unanswered += 1
                time.sleep(0.5)
                continue
            if answer.status_code not in (429, 503):
                found: dict[str, Any] = answer.json()
                # To cancel what has ended is no mistake of the server's.
                if answer.status_code >= 400 and not path.endswith("/cancel"):
                    raise ValueError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                return found
            with self._findings.lock:
                self._findings.sent_away += 1
            time.sleep(min(2.0, float(answer.headers["Retry-After"])) * self._random.random())


def listen(server: Server, findings: Findings, over: threading.Event) -> None:
    """Hear every announcement, and take up again where a connection broke."""
    last: str | None = None
    while not over.is_set():
        headers = {} if last is None else {"Last-Event-ID": last}
        with contextlib.suppress(httpx2.HTTPError):
            place = server.url + "/api/v1/events"
            with httpx2.stream("GET", place, headers=headers, timeout=20) as answer:
                kind = ""
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last = value
                    elif name == "event":
                        kind = value
                    elif name == "data" and kind in FINAL:
                        with findings.lock:
                            findings.announced.setdefault(json.loads(value)["id"], []).append(kind)
                    if over.is_set():
                        return
        time.sleep(0.2)


def disturb(server: Server, findings: Findings, over: threading.Event, seconds: float) -> None:
    """Kill the engine again and again, and note how much memory the server holds."""
    while not over.wait(seconds):
        findings.engine_kills += server.kill_engine()
        with contextlib.suppress(psutil.Error):
            findings.memory.append((len(findings.ended), server.memory()))


def check(server: Server, findings: Findings, wanted: int) -> Iterator[str]:
    """What is wrong."""
    yield from findings.problems
    if len(findings.submitted) != wanted:
        yield f"{len(findings.submitted)} jobs were taken, not {wanted}"
    if len(set(findings.submitted.values())) != len(findings.submitted):
        yield "two keys got the same job"
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        for job_id in findings.submitted.values():
            answer = http.get(f"/api/v1/jobs/{job_id}")
            if answer.status_code != 200:
                yield f"{job_id} is lost: {answer.status_code}"
                continue
            job = answer.json()
            if job["state"] != findings.ended.get(job_id):
                yield f"{job_id} ended as {findings.ended.get(job_id)}, and is {job['state']} now"
            yield from _check_results(http, job)
    for job_id, kinds in findings.announced.items():
        if len(kinds) > 1:
            yield f"{job_id} was announced to end {len(kinds)} times: {', '.join(kinds)}"


def _check_results(http: httpx2.Client, job: dict[str, Any]) -> Iterator[str]:
    wanted = job["request"]
    indexes = [result["index"] for result in job["results"]]
    if indexes != list(range(len(indexes))) or len(indexes) > wanted["count"]:
        yield f"{job['id']} has the results {indexes}"
    if job["state"] == "done" and len(indexes) != wanted["count"]:
        yield f"{job['id']} is done with {len(indexes)} of {wanted['count']} pictures"
    for index in indexes:
        answer = http.get(f"/api/v1/jobs/{job['id']}/results/{index}")
        try:
            with Image.open(io.BytesIO(answer.content)) as picture:
                picture.load()
                size = picture.size
        except OSError:
            size = (0, 0)
        if size != (wanted["width"], wanted["height"]):
            yield f"result {index} of {job['id']} is {size} ({answer.status_code})"


def growth(memory: list[tuple[int, int]]) -> int:
    """Bytes by which the last quarter lies above the second, by the middle of each."""
    quarter = max(1, len(memory) // 4)
    second, last = memory[quarter : 2 * quarter], memory[-quarter:]

    def middle(part: list[tuple[int, int]]) -> int:
        return sorted(held for _, held in part)[len(part) // 2]

    return middle(last) - middle(second) if second and last else 0


def main() -> int:
    """Run it and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=200)
    arguments.add_argument("--clients", type=int, default=20)
    arguments.add_argument("--seconds-between-kills", type=float, default=4.0)
    wanted = arguments.parse_args()
    findings, over = Findings(), threading.Event()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        each = wanted.jobs // wanted.clients
        clients = [Client(server, findings, number, each) for number in range(wanted.clients)]
        threads = [threading.Thread(target=client.run) for client in clients]
        others = [
            threading.Thread(target=listen, args=(server, findings, over)),
            threading.Thread(
                target=disturb, args=(server, findings, over, wanted.seconds_between_kills)
            ),
        ]
        for thread in (*threads, *others):
            thread.start()
        while len(findings.ended) < wanted.jobs // 5 and any(each.is_alive() for each in threads):
            time.sleep(0.2)
        server.kill()
        findings.memory.clear()
        server.start()
        for thread in threads:
            thread.join()
        over.set()
        seconds = time.monotonic() - began
        problems = list(check(server, findings, each * wanted.clients))
        code = server.stop()
        for thread in others:
            thread.join()
    states = Counter(findings.ended.values())
    held = [bytes_ for _, bytes_ in findings.memory] or [0]
    grown = growth(findings.memory)
    if grown > FLAT_BYTES:
        problems.append(f"the server's memory grew by {grown / 1e6:.1f} MB")
    if code:
        problems.append(f"the server ended with {code}")
    for what, figure in (
        ("jobs, clients", f"{len(findings.submitted)}, {wanted.clients}"),
        ("seconds", f"{seconds:.0f}"),
        ("ended", ", ".join(f"{count} {state}" for state, count in sorted(states.items()))),
        ("engine killed", f"{findings.engine_kills} times"),
        ("server killed", "once, with SIGKILL"),
        ("sent away (429)", f"{findings.sent_away} times"),
        ("without an answer", f"{findings.unanswered} times"),
        ("server's memory", f"{min(held) / 1e6:.1f} to {max(held) / 1e6:.1f} MB"),
        ("growth", f"{grown / 1e6:+.1f} MB from the second quarter to the last"),
        ("wrong", str(len(problems))),
    ):
        print(f"{what:20} {figure}")
    for problem in problems:
        print(f"- {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
