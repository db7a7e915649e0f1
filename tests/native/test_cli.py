"""The command line with the real engine, as a person uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(300)

SECONDS_TO_CANCEL = 2.0
"""A second is promised; a test machine may be busy with something else."""


@pytest.fixture
def environment(demo_folder: Path, tmp_path: Path) -> dict[str, str]:
    """A machine that knows of nothing but the demo model."""
    return {
        **os.environ,
        "SDCPU_CACHE": str(demo_folder),
        "SDCPU_STATE": str(tmp_path / "state"),
        "SDCPU_CONFIG": str(tmp_path / "config.toml"),
        "HF_HOME": str(tmp_path / "hub"),
        "SDCPU_OFFLINE": "1",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the command is called."""
    path = tmp_path / "my pictures"
    path.mkdir()
    return path


def start(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Begin to run sdcpu, in a process group of its own like a command in a shell."""
    return subprocess.Popen(
        [sys.executable, "-m", "sdcpu", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    """Run sdcpu to its good end: standard output and standard error."""
    with start(arguments, folder, environment) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out, err


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


def test_a_picture_and_the_same_again(folder: Path, environment: dict[str, str]) -> None:
    prompt = "🙂 a red circle on a blue background — café"
    out, err = run(["generate", prompt, "--seed", "7", "--steps", "2"], folder, environment)
    first = folder / out.rstrip("\n")
    assert [path.name for path in folder.iterdir()] == [first.name]
    assert first.name == "a-red-circle-on-a-blue-background-café-7.png"
    assert "demo: 256x256" in err
    assert "none may be downloaded" in err, "why the demo model was taken"
    shown, _ = run(["show", first.name], folder, environment)
    assert prompt in shown
    run(["generate", "--from", first.name, "-o", "again.png"], folder, environment)
    assert pixels(folder / "again.png") == pixels(first)


def test_several_pictures_with_a_report(folder: Path, environment: dict[str, str]) -> None:
    out, _ = run(
        [
            *("generate", "a green star", "-n", "2", "--seed", "1", "--steps", "2", "--json"),
            *("--report", "report.json", "--preview-dir", "steps"),
        ],
        folder,
        environment,
    )
    pictures = json.loads(out)["pictures"]
    assert [picture["seed"] for picture in pictures] == [1, 2]
    assert pixels(Path(pictures[0]["path"])) != pixels(Path(pictures[1]["path"]))
    steps = sorted(path.name for path in (folder / "steps").iterdir())
    assert steps == [f"a-green-star-{seed}-step-00{step}.png" for seed in (1, 2) for step in (1, 2)]
    last = pixels(folder / "steps" / steps[1])
    assert last == pixels(Path(pictures[0]["path"])), "the tiny decoder makes previews and picture"
    report = json.loads((folder / "report.json").read_text())
    stages = {stage["stage"]: stage for stage in report["stages"]}
    assert {"load", "sample", "decode"} <= stages.keys()
    assert stages["sample"]["seconds"] > 0
    assert stages["sample"]["children_peak"] > 500_000_000, "the model is in the child"
    assert stages["sample"]["parent_peak"] < 300_000_000
    assert report["machine"]["memory_total"] > 0
    assert report["plan"]["model"]["name"] == "demo"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent in another way there")
def test_ctrl_c_cancels_at_once_and_leaves_nothing(
    folder: Path, environment: dict[str, str]
) -> None:
    arguments = ["generate", "a red circle", "--steps", "1000", "-o", "circle.png"]
    with start(arguments, folder, environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("drawing"):
                break
        else:
            pytest.fail("it ended before it drew")
        time.sleep(0.3)
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        seconds = time.monotonic() - pressed
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "sdcpu: cancelled"
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []
    assert seconds < SECONDS_TO_CANCEL


def test_a_reader_that_goes_away_is_no_error(folder: Path, environment: dict[str, str]) -> None:
    with start(["models", "--all"], folder, environment) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_quantize(folder: Path, environment: dict[str, str], demo_folder: Path) -> None:
    (source,) = demo_folder.rglob("*taesd*.safetensors")
    out, err = run(["quantize", str(source), "small.gguf", "--type", "q8_0"], folder, environment)
    assert out == "small.gguf\n"
    assert "MB became" in err
    assert [path.name for path in folder.iterdir()] == ["small.gguf"]


def test_bench_measures_remembers_and_forgets(folder: Path, environment: dict[str, str]) -> None:
    began = time.monotonic()
    out, told = run(["bench", "--budget", "15", "--json"], folder, environment)
    assert time.monotonic() - began < 60  # of which Python and a busy machine may take a part
    found = json.loads(out)
    assert found["best"]["seconds"] > 0
    assert found["failed"] == []
    assert found["best"]["kernels"] in told
    # A machine that is too busy to compare two ways in that time has nothing to remember.
    assert found["remembered"] == (len(found["ways"]) > 1 or not found["left_out"])
    planned = json.loads(run(["plan", "demo", "--json"], folder, environment)[0])
    used = [reason for reason in planned["reasons"] if "sdcpu bench measured" in reason]
    assert bool(used) == found["remembered"]
    doctor, _ = run(["doctor"], folder, environment)
    assert (f" s for {found['best']['picture']}" in doctor) == found["remembered"]
    if found["remembered"]:
        assert planned["kernels"] == found["best"]["kernels"]
        assert run(["bench", "--forget"], folder, environment)[0] == "forgotten\n"
    assert run(["bench", "--forget"], folder, environment)[0] == "nothing was remembered\n"
    assert "nothing yet" in run(["doctor"], folder, environment)[0]


def test_doctor_finds_nothing_wrong(folder: Path, environment: dict[str, str]) -> None:
    out, _ = run(["doctor", "--json"], folder, environment)
    findings = json.loads(out)
    assert {"versions", "processor", "memory", "models", "engine"} <= {f["name"] for f in findings}
    assert not [finding for finding in findings if finding["problem"]]
