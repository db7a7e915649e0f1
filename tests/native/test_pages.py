"""The examples of README.md and docs/ do what they say, with the demo model."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sdcpu import expand_prompt
from tests.pages import PAGES, Example, examples

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Where a page's examples run one after the other: later ones use what earlier ones made."""
    made = {page: tmp_path_factory.mktemp(page.stem) for page in PAGES}
    for table in examples("csv"):
        (made[table.page] / "prompts.csv").write_text(table.text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def environment(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A person's environment, offline, with nothing but the demo model."""
    own = tmp_path_factory.mktemp("own")
    return {
        **os.environ,
        "SDCPU_CACHE": str(demo_folder),
        "SDCPU_STATE": str(own / "state"),
        "SDCPU_CONFIG": str(own / "no-config.toml"),
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
    pytest.param(example.page, arguments, id=shlex.join(arguments)[:60])
    for example in examples("console")
    if example.executed
    for arguments in example.own_commands
]


@pytest.mark.parametrize(("page", "arguments"), COMMANDS)
def test_command(
    page: Path, arguments: list[str], folders: dict[Path, Path], environment: dict[str, str]
) -> None:
    folder = folders[page]
    printed = run(["-m", "sdcpu", *arguments], folder, environment)
    if arguments[0] == "generate":
        options = dict(pairwise(arguments))
        sample = int(options["--sample"]) if "--sample" in options else None
        prompts = 1 if "--from" in options else len(expand_prompt(arguments[1], sample=sample))
        count = int(options.get("-n", 1)) * prompts
        paths = printed.splitlines()
        assert len(paths) == count
        assert all((folder / path).stat().st_size > 1000 for path in paths)


@pytest.mark.parametrize(
    "example", [e for e in examples("python") if e.executed], ids=lambda e: e.place
)
def test_python(example: Example, folders: dict[Path, Path], environment: dict[str, str]) -> None:
    run(["-c", example.text], folders[example.page], environment)
