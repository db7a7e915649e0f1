"""The commands around drawing: help, models, show, plan, remove; without engine or network."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from sdcpu.cli.commands import COMMANDS, run, sdcpu
from sdcpu.recipe import save_picture
from sdcpu.registry import load_registry


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings and caches that are empty."""
    for name in [name for name in os.environ if name.startswith(("SDCPU_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SDCPU_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("SDCPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("SDCPU_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints to standard output."""
    assert run(arguments) == code
    return capsys.readouterr().out


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def command_named(name: str) -> click.Command:
    with click.Context(sdcpu) as context:
        command = sdcpu.get_command(context, name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_named(name).short_help == COMMANDS[name], "as in `sdcpu --help`"
    text = said(capsys, name, "--help")
    assert text.startswith(f"Usage: sdcpu {name} ")
    assert max(map(len, text.splitlines())) <= 80
    for parameter in command_named(name).params:
        assert not isinstance(parameter, click.Option) or parameter.help


EXAMPLES = [
    pytest.param(name, shlex.split(line)[2:], id=line.strip())
    for name in COMMANDS
    for line in (command_named(name).epilog or "").splitlines()
    if line.strip().startswith("sdcpu ")
]


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_examples_in_the_help_are_right(name: str, arguments: list[str]) -> None:
    for argument in arguments:
        if argument.endswith((".png", ".jpg", ".txt")):
            Path(argument).touch()
    if "<" in arguments:
        arguments = arguments[: arguments.index("<")]
    values = command_named(name).make_context(name, list(arguments)).params
    known = load_registry(None).models
    named = [values.get("model"), *values.get("models", ())]
    assert [model for model in named if model and model not in known] == []


def test_examples_are_there() -> None:
    assert len(EXAMPLES) >= 10


def test_the_whole_help(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--help")
    assert all(f"  {name} " in text for name in COMMANDS)
    assert '\n    sdcpu generate "a lighthouse at dawn"\n    sdcpu models\n' in text
    assert said(capsys) == text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version").startswith("sdcpu 0.")


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    captured = capsys.readouterr()
    heading, *rows = captured.out.splitlines()
    assert heading.split() == ["NAME", "HERE", "DOWNLOAD", "LICENCE", "GOOD", "FOR"]
    assert rows[0].startswith("demo ")
    assert "sdcpu models --all" in captured.err
    assert len(said(capsys, "models", "--all").splitlines()) > len(rows) + 10
    here = said(capsys, "models", "--here").splitlines()[1:]
    assert [row.split() for row in here] == [row.split() for row in rows[:4]]


def test_models_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    entries = reported(capsys, "models")
    here = [entry["model"]["name"] for entry in entries if entry["here"]]
    assert here == ["demo", "demo-q4_0", "demo-base", "demo-base-q4_0"]
    turbo = next(entry["model"] for entry in entries if entry["model"]["name"] == "sd-turbo")
    assert turbo["files"][0]["repository"] == "Green-Sky/SD-Turbo-GGUF"


def test_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "models", "--requirements").splitlines()
    assert lines[0].split()[:2] == ["NAME", "DOWNLOAD"]
    assert "MEMORY 512  MEMORY 1024" in lines[0]
    turbo = next(
        entry
        for entry in reported(capsys, "models", "--requirements")
        if entry["model"] == "sd-turbo"
    )
    small, large = turbo["pictures"]
    assert (small["side"], large["side"]) == (512, 1024)
    assert turbo["download"] < small["memory"] < large["memory"]


def test_a_machine_that_is_too_small(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPU_MEMORY_LIMIT", "3 GB")
    assert run(["models", "--requirements"]) == 0
    captured = capsys.readouterr()
    (line,) = [line for line in captured.out.splitlines() if line.startswith("qwen-image:q2_k ")]
    assert " GB !" in line
    assert "! does not fit" in captured.err


def test_show_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "sd-turbo")
    assert "licence   Stability AI Community" in text
    assert "sd_turbo-f16-q8_0.gguf" in text
    assert "not here" in text
    files = reported(capsys, "show", "sd-turbo")["files"]
    assert [file["found_at"] for file in files] == [None, None]


def test_show_a_picture_says_what_made_it_and_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipe = {
        "prompt": "a cat",
        "seed": 0,
        "extension": [0, 0, 0, 0],
        "control_strength": 0.9,
        "tiled": False,
        "styles": [],
        "control_step": "none",
    }
    path = save_picture(Image.new("RGB", (8, 8)), tmp_path / "cat.png", recipe)
    assert [line.split() for line in said(capsys, "show", str(path)).splitlines()] == [
        ["prompt", "a", "cat"],
        ["seed", "0"],
    ]
    assert reported(capsys, "show", str(path)) == recipe


def test_show_the_demo_lists_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "demo")
    assert "colours: red, orange," in text
    assert "a lighthouse by the sea" in text
    assert "colours" not in said(capsys, "show", "sd-turbo") + said(capsys, "show", "demo-outline")


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "plan", "sd-turbo", "-W", "640", "--quality", "draft")
    assert "model     sd-turbo" in text
    assert "Quality draft" in text
    plan = reported(capsys, "plan", "demo", "--threads", "1")
    assert plan["threads"] == 1
    assert plan["request"]["width"] == 256
    assert plan["reasons"]


def test_plan_without_a_model_says_why_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none may be downloaded" in said(capsys, "plan")


def test_remove_what_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "remove", "sd-turbo") == "sd-turbo: 0 bytes freed\n"
    assert reported(capsys, "remove", "sd-turbo") == [{"model": "sd-turbo", "bytes_freed": 0}]


def test_doctor_says_what_is_wrong(capsys: pytest.CaptureFixture[str], own_machine: Path) -> None:
    (own_machine / "config.toml").write_text("threads = 'many'")
    text = said(capsys, "doctor", code=1)
    assert "wrong  settings" in text
    assert "'threads'" in text
    assert "ok     memory" in text
