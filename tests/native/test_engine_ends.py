"""The real engine's process dies, leaks nothing, prints nothing, and is what we think it is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sdcpu.errors import BuildUnusableError, EngineCrashedError, ModelLoadError
from sdcpu.families import FileRole
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn, Generate, GenerateSettings, Load, LoadSettings, Reached

SMALL = GenerateSettings(
    prompt="a red circle on a blue background",
    width=64,
    height=64,
    steps=1,
    cfg_scale=1.0,
    guidance=3.5,
    sampler="lcm",
    scheduler="lcm",
    seed=7,
)
LONG = replace(SMALL, width=512, height=512, steps=20)
"""Minutes of work: one step alone takes seconds."""


@pytest.fixture(scope="module")
def load(demo_files: dict[FileRole, Path]) -> Load:
    files = {str(role): str(path) for role, path in demo_files.items()}
    return Load(
        settings=LoadSettings(
            files=files,
            threads=1,
            flash_attention=True,
            diffusion_conv_direct=True,
            vae_conv_direct=True,
        )
    )


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    with EngineProcess(environment=os.environ) as engine:
        yield engine


def picture(engine: EngineProcess, load: Load) -> bytes:
    list(engine.run(load))
    events = list(engine.run(Generate(settings=SMALL)))
    return next(event.pixels.data for event in events if isinstance(event, Drawn))


def strike_in_a_step(engine: EngineProcess, number: signal.Signals) -> None:
    """Send a signal to the process once the native code samples."""
    pid = engine.pid
    for event in engine.run(Generate(settings=LONG)):
        if isinstance(event, Reached) and event.stage == "sample":
            time.sleep(0.2)
            os.kill(pid or 0, number)


def test_deaths_in_native_code_are_errors_and_the_next_call_works(
    engine: EngineProcess, load: Load
) -> None:
    before = picture(engine, load)
    for number, cause in (
        (signal.SIGKILL, "out of memory"),
        (signal.SIGSEGV, "native fault"),
        (signal.SIGABRT, "native error"),
    ):
        with pytest.raises(EngineCrashedError) as raised:
            strike_in_a_step(engine, number)
        assert raised.value.details["signal"] == number.name
        assert raised.value.details["cause"] == cause
        assert "generating image: 1/1" in str(raised.value.details["log"])
        assert picture(engine, load) == before


def test_a_hang_in_native_code_is_an_error_and_the_next_call_works(load: Load) -> None:
    with EngineProcess(environment=os.environ, silence_timeout=3.0) as engine:
        list(engine.run(load))
        with pytest.raises(EngineCrashedError, match="said nothing for 3 s"):
            strike_in_a_step(engine, signal.SIGSTOP)
        list(engine.run(load))
        assert engine.alive


LITTLE_MEMORY = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from sdcpu.worker import main
main()
"""


def engine_in(memory: int) -> EngineProcess:
    command = (sys.executable, "-c", LITTLE_MEMORY, str(memory))
    return EngineProcess(environment=os.environ, command=command)


def test_too_little_memory_for_the_model_is_an_error(load: Load) -> None:
    with engine_in(600_000_000) as engine:
        with pytest.raises(ModelLoadError, match="insufficient memory") as raised:
            list(engine.run(load))
        assert "smaller" in raised.value.hint
        assert engine.alive


def test_an_assert_of_the_native_code_is_an_error(load: Load) -> None:
    """Memory for the model, and none for the tokens: ggml ends its process with abort()."""

    def draw_in(engine: EngineProcess) -> None:
        list(engine.run(load))
        list(engine.run(Generate(settings=replace(SMALL, width=1024, height=1024))))

    with engine_in(850_000_000) as engine:
        with pytest.raises(
            EngineCrashedError, match=r"SIGABRT: ggml\.c:\d+: GGML_ASSERT"
        ) as raised:
            draw_in(engine)
        assert raised.value.details["cause"] == "out of memory"
        assert "smaller" in raised.value.hint
        assert "#0 " not in str(raised.value.details["log"])  # no debugger was started
        assert engine.start()


PARENT = """
import os, sys
from sdcpu.process import EngineProcess
from tests.native.test_engine_ends import LONG
from sdcpu.protocol import Generate, Load, LoadSettings, Reached
engine = EngineProcess(environment=os.environ)
files = {"model": sys.argv[1], "tiny_decoder": sys.argv[2]}
list(engine.run(Load(settings=LoadSettings(files=files, threads=1))))
for event in engine.run(Generate(settings=LONG)):
    if isinstance(event, Reached) and event.stage == "sample":
        print(engine.pid, flush=True)
"""


def test_the_death_of_the_parent_ends_native_code_and_nothing_is_printed(load: Load) -> None:
    files = load.settings.files
    command = [sys.executable, "-c", PARENT, files["model"], files["tiny_decoder"]]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        engine = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        assert not parent.stdout.read()  # neither progress bars nor log lines of native code
    gone, _ = psutil.wait_procs([engine], timeout=10)
    assert gone


MOST_GROWTH = 8_000
"""Bytes a picture. One forgotten buffer of 64 x 64 x 3 is 12,288; `scripts/bench leak` draws 1,000
pictures and measures less than 1,000 bytes for each."""


def test_many_pictures_do_not_let_the_memory_grow(engine: EngineProcess, load: Load) -> None:
    list(engine.run(load))
    process = psutil.Process(engine.pid)
    sizes = []
    for number in range(145):
        settings = replace(SMALL, seed=number, preview=("none", "proj", "tae")[number % 3])
        list(engine.run(Generate(settings=settings)))
        sizes.append(process.memory_info().rss)
    # The first pictures fill the allocator's pools. A pool that grows once more later, by some MB,
    # is in 15 of these 100 differences; what is forgotten with every picture is in all of them.
    growth = sorted((sizes[number + 15] - sizes[number]) / 15 for number in range(30, 130))
    assert growth[50] < MOST_GROWTH


CHANGES = {
    "another version": (
        "import importlib.metadata as m; m.version = lambda name: '0.4.8'",
        "0.4.8 is installed; sdcpu knows version 0.4.7 only",
    ),
    "no binding": (
        "import sdcpu.engine.library as e; e.BINDING = 'no-such-package'",
        "no-such-package is not installed",
    ),
    "another struct": (
        "import ctypes, stable_diffusion_cpp.stable_diffusion_cpp as n\n"
        "class sd_ctx_params_t(ctypes.Structure):\n"
        "    _fields_ = n.sd_ctx_params_t._fields_[1:]\n"
        "n.sd_ctx_params_t = sd_ctx_params_t",
        "sd_ctx_params_t has 184 bytes there and 176 here",
    ),
    "another order": (
        "import ctypes, stable_diffusion_cpp.stable_diffusion_cpp as n\n"
        "f = n.sd_img_gen_params_t._fields_\n"
        "class sd_img_gen_params_t(ctypes.Structure):\n"
        "    _fields_ = [*f[:11], f[12], f[11], *f[13:]]\n"
        "n.sd_img_gen_params_t = sd_img_gen_params_t",
        "sd_img_gen_params_t.width is not in its place",
    ),
    "another sampler": (
        "import sdcpu.native as n; n.SAMPLERS = ('euler', 'heun')",
        "'heun' is not in its place",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_binding_is_not_trusted(change: str) -> None:
    code, words = CHANGES[change]
    program = f"{code}\nfrom sdcpu.worker import main\nmain()"
    command = (sys.executable, "-c", program)
    with (
        EngineProcess(environment=os.environ, command=command) as engine,
        pytest.raises(BuildUnusableError) as raised,
    ):
        engine.start()
    assert words in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("library", ["libm.so.6", "nowhere.so", "text.so"])
def test_another_library_is_not_trusted(library: str, tmp_path: Path) -> None:
    path = Path(library)
    if library == "libm.so.6":
        maps = Path("/proc/self/maps").read_text().split()
        path = next(Path(word) for word in maps if word.endswith(library))
    elif library == "text.so":
        path = tmp_path / library
        path.write_text("no library")
    with (
        EngineProcess(environment=os.environ, library=path) as engine,
        pytest.raises(BuildUnusableError, match="library cannot be used"),
    ):
        engine.start()


def test_memory_is_given_back_when_the_engine_stops(engine: EngineProcess, load: Load) -> None:
    before = psutil.Process().memory_info().rss
    list(engine.run(load))
    pid = engine.pid
    grown = psutil.Process().memory_info().rss - before
    engine.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert grown < 50_000_000  # the model's 600 MB were never ours
