"""scripts/run and its kin, in a copy whose Python only pretends to install."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="they are bash scripts")

PRETENDER = """#!/usr/bin/env bash
# A Python that notes what it is asked, and makes what would be there afterwards.
echo "$*" >> "$PRETENDED"
case "$*" in
    "-c import sys; sys.exit"*) exit "${TOO_OLD:-0}" ;;
    "-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"; cp -- "$0" "$folder/bin/python" ;;
    "-m pip install "*)
        [ -z "${PIP_FAILS-}" ] || exit 1
        printf '#!/bin/sh\\nprintf "%%s\\\\n" "$@"\\n' > "$(dirname -- "$0")/sdcpu"
        chmod +x "$(dirname -- "$0")/sdcpu" ;;
esac
"""


class Copy:
    """A copy of the repository's scripts, with a pretended Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a copy"
        (self.root / "sdcpu" / "accel").mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        self.source = self.root / "sdcpu" / "accel" / "door.cpp"
        self.source.write_text("int door;")
        self._python = folder / "python"
        self._python.write_text(PRETENDER)
        self._python.chmod(0o755)
        self._notes = folder / "notes"

    def call(self, script: str, *arguments: str, code: int = 0, **environment: str) -> str:
        """Call a script from another folder; what it printed to standard output."""
        result = subprocess.run(
            [self.root / "scripts" / script, *arguments],
            cwd=self.root.parent,
            env={
                **os.environ,
                "PYTHON": str(self._python),
                "PRETENDED": str(self._notes),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert result.returncode == code, result.stderr
        self.said = result.stderr
        return result.stdout

    def installations(self) -> list[str]:
        """What was installed since this was last asked."""
        notes = self._notes.read_text().splitlines() if self._notes.exists() else []
        self._notes.write_text("")
        return [note.partition("--editable ")[2] for note in notes if "pip install" in note]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_first_call_installs_and_the_second_does_not(copy: Copy) -> None:
    printed = copy.call("run", "generate", "a red circle", "-n", "2")
    assert printed.splitlines() == ["generate", "a red circle", "-n", "2"]
    assert "takes 2 to 5 minutes" in copy.said
    assert copy.installations() == [f"{copy.root}[server]"]
    assert copy.call("run", "models").splitlines() == ["models"]
    assert copy.said == ""
    assert copy.installations() == []


def test_changed_sources_are_installed_again(copy: Copy) -> None:
    copy.call("run")
    copy.installations()
    copy.source.write_text("int other_door;")
    copy.call("run")
    assert copy.installations() == [f"{copy.root}[server]"]
    assert "minutes" not in copy.said, "the engine is compiled already"


def test_a_broken_off_installation_is_done_again(copy: Copy) -> None:
    copy.call("run", code=1, PIP_FAILS="1")
    copy.installations()
    copy.call("run", "models")
    assert copy.installations() == [f"{copy.root}[server]"]


def test_what_tests_need_stays(copy: Copy) -> None:
    copy.call("run")
    copy.installations()
    copy.call("test", "-q")
    assert copy.installations() == [f"{copy.root}[dev]"]
    copy.call("check", code=127)  # nothing was really installed
    copy.call("run")
    assert copy.installations() == []
    copy.source.write_text("int other_door;")
    copy.call("run")
    assert copy.installations() == [f"{copy.root}[dev]"]


def test_an_old_python_is_refused_before_anything_is_made(copy: Copy) -> None:
    copy.call("run", code=1, TOO_OLD="1")
    assert "Python 3.11 or newer" in copy.said
    assert not (copy.root / ".venv").exists()


def test_the_engine_is_compiled_with_its_fast_matrix_products(copy: Copy) -> None:
    shown = '. "$1"/scripts/environment; echo "$CMAKE_ARGS"'
    for given, expected in ((None, "-DGGML_LLAMAFILE=ON"), ("", ""), ("-DX=1", "-DX=1")):
        environment = {**os.environ, **({} if given is None else {"CMAKE_ARGS": given})}
        if given is None:
            environment.pop("CMAKE_ARGS", None)
        result = subprocess.run(
            ["bash", "-c", shown, "bash", copy.root],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.rstrip("\n") == expected


def test_benchmarks_are_listed(copy: Copy) -> None:
    listed = copy.call("bench")
    for path in (ROOT / "scripts" / "benchmarks").glob("*.py"):
        assert f"  {path.stem} " in listed
    copy.call("bench", "nothing-like-this", code=1)


@pytest.mark.parametrize("script", ["scripts/run", "scripts/test", "scripts/check", ".ci/run"])
def test_scripts_can_be_executed(script: str) -> None:
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR
