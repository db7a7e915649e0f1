"""What all tests share: the widened demo model, made once for a run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdcpu import demo
from sdcpu.families import FileRole


def pytest_sessionstart() -> None:
    """Take Ctrl-C as usual: what a shell runs in the background ignores it, children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder with the widened demo model; SDCPU_TEST_CACHE names one to keep and reuse."""
    if kept := os.environ.get("SDCPU_TEST_CACHE"):
        demo.demo_files(Path(kept))
        yield Path(kept)
        return
    folder = tmp_path_factory.mktemp("demo-model")
    demo.demo_files(folder)
    yield folder
    shutil.rmtree(folder)  # pytest keeps the folders of three runs: too much at 600 MB each


@pytest.fixture(scope="session")
def demo_files(demo_folder: Path) -> dict[FileRole, Path]:
    """The demo model's files, as the engine loads them."""
    return demo.demo_files(demo_folder)
