"""A program that downloads one file and tells how far it is, to be killed and to be run twice.

python -m tests.process.downloads.program FOLDER ENDPOINT
"""

import sys
from pathlib import Path

from sdcpu.downloads import Patience, download_model
from tests.process.downloads.conftest import model_of, one_file, settings_below

if __name__ == "__main__":
    settings = settings_below(Path(sys.argv[1]), sys.argv[2])
    for progress in download_model(model_of(one_file()), settings, patience=Patience(timeout=5.0)):
        sys.stdout.write(f"{progress.done} {progress.total}\n")
        sys.stdout.flush()
    sys.stdout.write("finished\n")
