"""What clients are told holds no folder of this machine."""

import json
from pathlib import Path

import pytest

from sdcpu.job_queue.discretion import Discretion


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The disk of /srv/a queue is full.", "The disk of a queue is full."),
        ("/srv/a queue/jobs/1/0.png is gone.", "jobs/1/0.png is gone."),
        ("/srv/a queuer is another.", "/srv/a queuer is another."),
        (f"{Path.home()}/secret.gguf", "secret.gguf"),
        (f"{Path.home()} is full.", "~ is full."),
    ],
)
def test_sentences_lose_the_folders(said: str, told: str) -> None:
    assert Discretion([Path("/srv/a queue")]).sentence(said) == told


def test_plans_keep_the_names_of_files_and_the_words_of_people() -> None:
    plan = {
        "build": {"library": "/opt/engine/lib.so"},
        "request": {"prompt": "/srv/q in a dream", "init_image": "/srv/q/jobs/1/inputs/init-0"},
        "reasons": ["The model lies in /srv/q/models."],
        "files": [r"C:\models\a.gguf", 5, None],
    }
    told = Discretion([Path("/srv/q")]).plan(plan)
    assert told == {
        "build": {"library": "lib.so"},
        "request": {"prompt": "/srv/q in a dream", "init_image": "init-0"},
        "reasons": ["The model lies in models."],
        "files": ["a.gguf", 5, None],
    }
    json.dumps(told)
