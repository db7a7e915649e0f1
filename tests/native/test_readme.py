"""The examples of README.md do what they say, with the model that ships with the package."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sdcpu import expand_prompt
from tests.readme import Example, examples

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run one after the other: later ones use what earlier ones made."""
    path = tmp_path_factory.mktemp("readme")
    (table,) = examples("csv")
    (path / "prompts.csv").write_text(table.text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def environment(demo_folder: Path, folder: Path) -> dict[str, str]:
    """A person's environment, offline, with nothing but the demo model."""
    return {
        **os.environ,
        "SDCPU_CACHE": str(demo_folder),
        "SDCPU_STATE": str(folder / "state"),
        "SDCPU_CONFIG": str(folder / "no-config.toml"),
        "SDCPU_OFFLINE": "1",
    }


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run Python with arguments; what it wrote to standard output."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


COMMANDS = [
    pytest.param(arguments, id=shlex.join(arguments)[:60])
    for example in examples("console")
    if example.executed
    for arguments in example.own_commands
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_command(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    printed = run(["-m", "sdcpu", *arguments], folder, environment)
    if arguments[0] == "generate":
        options = dict(pairwise(arguments))
        sample = int(options["--sample"]) if "--sample" in options else None
        prompts = 1 if "--from" in options else len(expand_prompt(arguments[1], sample=sample))
        count = int(options.get("-n", 1)) * prompts
        paths = printed.splitlines()
        assert len(paths) == count
        assert all((folder / path).stat().st_size > 1000 for path in paths)


@pytest.mark.parametrize("example", examples("python"), ids=lambda e: f"line {e.line}")
def test_python(example: Example, folder: Path, environment: dict[str, str]) -> None:
    run(["-c", example.text], folder, environment)
