"""Several processes and the demo model."""

import subprocess
import sys
from pathlib import Path

MAKE_SLOWLY = """
import hashlib, sys, time
from pathlib import Path
from sdcpu.demo import files
from sdcpu.families import FileRole

folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def write(file):
    with log.open("a") as stream:
        stream.write("made\\n")
    time.sleep(0.5)
    file.write(b"weights")

files.DEMO_FILES = (
    files.DemoFile(role=FileRole.MODEL, name="model.gguf", size=7, write=write, models=("demo",),
                   sha256=hashlib.sha256(b"weights").hexdigest()),
)
print(files.demo_files(folder)[FileRole.MODEL].read_text())
"""


def test_processes_that_need_the_files_at_the_same_time_make_them_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", MAKE_SLOWLY, str(tmp_path / "cache"), str(log)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [child.communicate(timeout=30)[0] for child in children]
    assert outputs == ["weights\n"] * 3
    assert log.read_text() == "made\n"


def test_asking_for_the_demo_model_does_not_load_numpy() -> None:
    code = "import sys, sdcpu.demo; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
