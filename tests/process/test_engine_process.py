"""The engine's process from outside: work, deaths, cancels, ends. Real processes, a fake engine."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdcpu.errors import (
    BuildUnusableError,
    CancelledError,
    EngineBusyError,
    EngineCrashedError,
    GenerationError,
)
from sdcpu.process import EngineProcess
from sdcpu.protocol import (
    Drawn,
    Finished,
    Generate,
    GenerateSettings,
    Load,
    Loaded,
    LoadSettings,
    Previewed,
    Quantize,
    Reached,
    Stop,
)
from tests.engines import command

PATIENCE = 10.0
"""Seconds after which a process that should have ended fails the test."""


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    with fake() as engine:
        yield engine


def fake(beginning: str = "ready", **options: float) -> EngineProcess:
    return EngineProcess(command=command(beginning), environment=os.environ, **options)  # type: ignore[arg-type]


def draw(prompt: str = "a cat", **settings: object) -> Generate:
    values: dict[str, object] = {
        "prompt": prompt,
        "width": 16,
        "height": 16,
        "steps": 2,
        "cfg_scale": 1.0,
        "guidance": 0.0,
        "sampler": "lcm",
        "scheduler": "lcm",
        "seed": 7,
    }
    return Generate(settings=GenerateSettings(**(values | settings)))  # type: ignore[arg-type]


LOAD = Load(settings=LoadSettings(files={"model": "/m.gguf"}, threads=1))


def picture(engine: EngineProcess, **settings: object) -> bytes:
    (drawn,) = [event for event in engine.run(draw(**settings)) if isinstance(event, Drawn)]  # type: ignore[arg-type]
    return drawn.pixels.data


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_tells_what_it_does_in_order(engine: EngineProcess) -> None:
    assert engine.pid is None
    assert [type(event) for event in engine.run(LOAD)] == [Reached, Loaded, Finished]
    events = list(engine.run(draw(count=2, preview="proj")))
    assert isinstance(events[-1], Finished)
    assert events[-1].stage_seconds == {"text": 0.1, "sample": 0.2, "decode": 0.1}
    drawn = [event for event in events if isinstance(event, Drawn)]
    assert [(event.index, event.seed) for event in drawn] == [(0, 7), (1, 8)]
    assert len([event for event in events if isinstance(event, Previewed)]) == 4
    stages = [event.stage for event in events if isinstance(event, Reached)]
    assert stages == ["text", "sample", "sample", "sample", "decode"] * 2


def test_the_same_model_is_loaded_once(engine: EngineProcess) -> None:
    list(engine.run(LOAD))
    loaded, finished = engine.run(LOAD)
    assert loaded == Loaded(seconds=0.0)
    assert finished == Finished(stage_seconds={"load": 0.0})


def test_the_process_stays_between_pictures(engine: EngineProcess) -> None:
    first = picture(engine)
    pid = engine.pid
    assert picture(engine) == first
    assert engine.pid == pid
    assert engine.alive


def test_an_error_of_the_engine_arrives_whole_and_leaves_it_running(engine: EngineProcess) -> None:
    pid = engine.start() and engine.pid
    with pytest.raises(GenerationError, match="It cannot be drawn") as raised:
        list(engine.run(draw("refuse")))
    assert raised.value.hint == "Draw another."
    assert raised.value.details == {"layer": 3}
    assert picture(engine)
    assert engine.pid == pid


def test_a_second_run_is_refused_while_one_goes_on(engine: EngineProcess) -> None:
    work = engine.run(draw())
    next(work)
    with pytest.raises(EngineBusyError):
        next(engine.run(draw()))
    assert isinstance(list(work)[-1], Finished)
    assert picture(engine)


def test_what_native_code_prints_does_not_disturb_the_messages(engine: EngineProcess) -> None:
    assert picture(engine, prompt="print")
    until(lambda: "printed by Python" in engine.recent_log)
    assert {"printed by printf", "printed by Python"} <= set(engine.recent_log)
    assert any("written to descriptor 1" in line for line in engine.recent_log)


def test_the_log_is_bounded() -> None:
    with fake(log_lines=50) as engine:
        assert picture(engine, prompt="log")
        until(lambda: "last line" in engine.recent_log)
        assert len(engine.recent_log) == 50
        assert max(len(line) for line in engine.recent_log) <= 2000
        assert "line 1999" in engine.recent_log  # the long line counts as one


def test_a_slow_listener_does_not_hold_the_engine_up(engine: EngineProcess) -> None:
    work = engine.run(draw("log"))
    next(work)
    until(lambda: "last line" in engine.recent_log)  # after more than a pipe holds
    assert isinstance(list(work)[-1], Finished)


def test_the_library_is_named_to_the_process() -> None:
    with EngineProcess(
        command=command(), environment=os.environ, library=Path("/lib/other.so")
    ) as engine:
        assert engine.start().version == "/lib/other.so"
        assert engine.library == Path("/lib/other.so")


def test_the_environment_is_the_one_that_was_given_with_our_habits_below_it() -> None:
    given = {"PATH": os.environ["PATH"], "GOMP_SPINCOUNT": "7"}
    with EngineProcess(command=command(), environment=given) as engine:
        engine.start()
        variables = Path(f"/proc/{engine.pid}/environ").read_text().split("\0")
    assert {"GOMP_SPINCOUNT=7", "GGML_NO_BACKTRACE=1"} <= set(variables)
    assert not [variable for variable in variables if variable.startswith("HOME=")]


def test_files_in_the_folder_do_not_stand_in_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    with EngineProcess(environment=os.environ) as engine:
        assert "AVX" in engine.start().system_info or "NEON" in engine.start().system_info


DEATHS = [
    ("killed", "out of memory", "SIGKILL"),
    ("fault", "native fault", "SIGSEGV"),
    ("assert", "assert", "SIGABRT: ggml.c:1234: GGML_ASSERT(a->ne[0] == b->ne[0]) failed"),
    ("bad alloc", "out of memory", "bad_alloc"),
    ("silent abort", "native error", "SIGABRT"),
    ("other processor", "wrong build", "SIGILL"),
    ("short file", "model file", "SIGBUS"),
    ("terminated", "signal", "SIGTERM"),
    ("exit", "exit", "exit code 3"),
]


@pytest.mark.parametrize(("prompt", "cause", "words"), DEATHS)
def test_a_death_is_an_error_and_the_next_call_works(
    engine: EngineProcess, prompt: str, cause: str, words: str
) -> None:
    before = picture(engine)
    with pytest.raises(EngineCrashedError) as raised:
        list(engine.run(draw(prompt)))
    assert raised.value.details["cause"] == cause
    assert words in raised.value.message
    assert f"fake.cpp:1 - drawing {prompt}" in str(raised.value.details["log"])
    assert not engine.alive
    assert engine.pid is None
    assert picture(engine) == before


@pytest.mark.parametrize("prompt", ["hang", "frozen"])
def test_a_hang_is_an_error_and_the_next_call_works(prompt: str) -> None:
    with fake(silence_timeout=1.5) as engine:
        begin = time.monotonic()
        with pytest.raises(EngineCrashedError, match=r"said nothing for 1\.5 s") as raised:
            list(engine.run(draw(prompt)))
        assert raised.value.details["cause"] == "hang"
        assert 1.5 <= time.monotonic() - begin < PATIENCE
        assert picture(engine)


def test_a_death_between_two_pictures_goes_unnoticed(engine: EngineProcess) -> None:
    before = picture(engine)
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not engine.alive)
    assert picture(engine) == before
    assert engine.pid != pid


@pytest.mark.parametrize(
    ("beginning", "error", "words"),
    [
        ("dead", EngineCrashedError, "exit code 1: ImportError: no such thing"),
        ("mute", EngineCrashedError, "was not ready after 0.5 s"),
        ("unusable", BuildUnusableError, "another version"),
    ],
)
def test_a_start_that_fails(beginning: str, error: type[Exception], words: str) -> None:
    with fake(beginning, start_timeout=0.5 if beginning == "mute" else 60.0) as engine:
        for _ in range(2):
            with pytest.raises(error, match=words):
                engine.start()
            assert not engine.alive


@pytest.mark.parametrize(
    ("beginning", "words"), [("garbage", "sent a message of"), ("half frame", "exit code 0")]
)
def test_messages_that_are_none(beginning: str, words: str) -> None:
    with fake(beginning) as engine:
        engine.start()
        with pytest.raises(EngineCrashedError, match=words):
            list(engine.run(draw()))


def cancel_during(engine: EngineProcess, prompt: str) -> float:
    """Cancel from another thread once the work goes on; return how long that took."""
    asked = 0.0

    def cancel() -> None:
        nonlocal asked
        asked = time.monotonic()
        engine.cancel()

    timer = threading.Timer(0.2, cancel)
    work = engine.run(draw(prompt))
    next(work)
    timer.start()
    with pytest.raises(CancelledError):
        list(work)
    timer.join()
    return time.monotonic() - asked


def test_a_cancel_keeps_the_process(engine: EngineProcess) -> None:
    before = picture(engine)
    pid = engine.pid
    assert cancel_during(engine, "slow") < 1.0
    assert engine.pid == pid
    assert picture(engine) == before


@pytest.mark.parametrize("prompt", ["hang", "frozen"])
def test_a_cancel_that_is_not_heard_ends_the_process_within_a_second(
    engine: EngineProcess, prompt: str
) -> None:
    before = picture(engine)
    assert cancel_during(engine, prompt) < 1.0
    assert not engine.alive
    assert picture(engine) == before


def test_a_cancel_without_work_does_nothing(engine: EngineProcess) -> None:
    engine.cancel()
    assert picture(engine)
    engine.cancel()
    assert picture(engine)


def test_a_cancel_takes_effect_while_the_listener_sleeps(engine: EngineProcess) -> None:
    work = engine.run(draw("hang"))
    next(work)
    engine.cancel()
    until(lambda: not engine.alive)
    with pytest.raises(CancelledError):
        list(work)


def test_a_cancel_before_the_work_is_sent(engine: EngineProcess) -> None:
    """From the first moment: while the process starts."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            list(engine.run(draw("slow")))
        except CancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: engine._work is not None)
    engine.cancel()
    thread.join(PATIENCE)
    assert len(raised) == 1
    assert picture(engine)


def test_leaving_early_cancels(engine: EngineProcess) -> None:
    before = picture(engine)
    pid = engine.pid
    for _ in range(3):
        for event in engine.run(draw("slow")):
            assert event
            break
        assert picture(engine) == before
    assert engine.pid == pid


def test_leaving_early_ends_a_process_that_does_not_listen(engine: EngineProcess) -> None:
    work = engine.run(draw("hang"))
    next(work)
    begin = time.monotonic()
    work.close()
    assert time.monotonic() - begin < 1.0
    assert picture(engine)


def test_a_cancelled_rewrite_leaves_no_half_file(engine: EngineProcess, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    message = Quantize(source="a", target=str(target), tensor_type="hang")

    def cancel() -> None:
        until(Path(message.unfinished).exists)
        engine.cancel()

    threading.Thread(target=cancel).start()
    with pytest.raises(CancelledError):
        list(engine.run(message))
    assert list(tmp_path.iterdir()) == []
    list(engine.run(Quantize(source="a", target=str(target), tensor_type="q8_0")))
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_a_killed_rewrite_leaves_no_half_file(engine: EngineProcess, tmp_path: Path) -> None:
    message = Quantize(source="a", target=str(tmp_path / "b.gguf"), tensor_type="killed")
    with pytest.raises(EngineCrashedError):
        list(engine.run(message))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prompt", ["", "hang", "frozen"])
def test_stop_ends_the_process(engine: EngineProcess, prompt: str) -> None:
    engine.start()
    pid = engine.pid
    assert pid is not None
    raised: list[BaseException] = []

    def work() -> None:
        try:
            list(engine.run(draw(prompt)))
        except CancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    if prompt:
        thread.start()
        until(lambda: f"fake.cpp:1 - drawing {prompt}" in engine.recent_log)
    begin = time.monotonic()
    engine.stop()
    # A frozen process has to be killed: it waits 2 s for it to end, then terminates it, then kills.
    assert time.monotonic() - begin < (6.0 if prompt == "frozen" else 2.0)
    assert not is_running(pid)
    if prompt:
        thread.join(PATIENCE)
        assert len(raised) == 1
    engine.stop()
    assert picture(engine)


def test_a_forgotten_engine_ends(engine: EngineProcess) -> None:
    forgotten = fake()
    forgotten.start()
    pid = forgotten.pid
    assert pid is not None
    del forgotten
    gc.collect()
    assert not is_running(pid)


PROGRAM = """
import json, os, sys, threading, time
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn
from tests.engines import command
from tests.process.test_engine_process import LOAD, draw
engine = EngineProcess(command=command(), environment=os.environ)
engine.start()
def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


@contextlib.contextmanager
def program(text: str) -> Iterator[subprocess.Popen[str]]:
    """A user's program, in a session of its own as in a terminal."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        pytest.fail(process.stderr.read())
    facts: dict[str, object] = json.loads(line)
    return facts


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("", signal.SIGKILL),
        ("slow", signal.SIGKILL),
        ("hang", signal.SIGKILL),
        ("hang", signal.SIGTERM),
    ],
)
def test_the_death_of_the_parent_ends_the_process(prompt: str, number: signal.Signals) -> None:
    wait = f"for event in engine.run(draw({prompt!r})): pass" if prompt else "time.sleep(60)"
    with program(f"tell(pid=engine.pid)\n{wait}") as process:
        pid = told(process)["pid"]
        assert isinstance(pid, int)
        if prompt:
            time.sleep(0.3)
        assert is_running(pid)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        until(lambda: not is_running(pid))


def test_the_end_of_a_program_that_did_not_stop_it_ends_the_process() -> None:
    with program("tell(pid=engine.pid)") as process:
        pid = told(process)["pid"]
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert errors == ""
        assert isinstance(pid, int)
        assert not is_running(pid)


def test_an_exception_in_the_middle_ends_the_program_and_the_process() -> None:
    text = """
tell(pid=engine.pid)
for event in engine.run(draw("hang")):
    raise ValueError("mine")
"""
    with program(text) as process:
        pid = told(process)["pid"]
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert errors.splitlines()[-1] == "ValueError: mine"
        assert isinstance(pid, int)
        assert not is_running(pid)


@pytest.mark.parametrize(("prompt", "survives"), [("slow", True), ("hang", False)])
def test_ctrl_c_cancels_and_the_next_picture_works(prompt: str, survives: bool) -> None:
    text = f"""
before = [event for event in engine.run(draw()) if isinstance(event, Drawn)]
pid = engine.pid
tell(pid=pid)
try:
    for event in engine.run(draw({prompt!r})):
        pass
except KeyboardInterrupt:
    tell(interrupted=time.monotonic())
after = [event for event in engine.run(draw()) if isinstance(event, Drawn)]
tell(same_picture=after == before, same_process=engine.pid == pid)
engine.stop()
"""
    with program(text) as process:
        assert told(process)["pid"]
        time.sleep(0.5)
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the engine's process as well
        interrupted = told(process)["interrupted"]
        assert isinstance(interrupted, float)
        assert interrupted - begin < 1.0  # one clock for all processes
        assert told(process) == {"same_picture": True, "same_process": survives}
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")


def test_many_interrupts_leave_no_half_read_stream() -> None:
    """Ctrl-C at any moment: whatever it hits, the next picture is right."""
    text = """
import random, signal
before = [event for event in engine.run(draw()) if isinstance(event, Drawn)]
moments = random.Random(1)
hits = right = 0
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
for number in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, moments.random() * 0.004 + 1e-5)
        for event in engine.run(draw(steps=50, preview="proj")):
            pass
        time.sleep(1)
    except KeyboardInterrupt:
        hits += 1
    right += [event for event in engine.run(draw()) if isinstance(event, Drawn)] == before
tell(hits=hits, right=right)
"""
    with program(text) as process:
        assert told(process) == {"hits": 60, "right": 60}


def test_a_fork_does_not_end_the_process_of_its_parent() -> None:
    text = """
child = os.fork()
if child == 0:
    engine.stop()
    os._exit(0)
os.waitpid(child, 0)
drawn = [event for event in engine.run(draw()) if isinstance(event, Drawn)]
tell(alive=engine.alive, pictures=len(drawn))
"""
    with program(text) as process:
        assert told(process) == {"alive": True, "pictures": 1}
        process.communicate(timeout=PATIENCE)


def test_stop_is_no_work() -> None:
    """The types say so; a caller without types gets an error, not a hang."""
    with fake(silence_timeout=1.0) as engine, pytest.raises(EngineCrashedError, match="exit code"):
        list(engine.run(Stop()))  # type: ignore[arg-type]
