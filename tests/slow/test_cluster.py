"""A batch on two real Dask workers with the real engine, one of which is killed in the middle."""

import os
from pathlib import Path

import pytest
from PIL import Image

from sdcpu.batch import Batch, LineDone
from tests.dask_workers import dask_cluster
from tests.pictures import describe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WISHES = [
    (ground, colour) for ground in ("white", "black") for colour in ("red", "green", "yellow")
]


def test_pictures_of_a_lost_worker_are_drawn_elsewhere(tmp_path: Path, demo_folder: Path) -> None:
    path = tmp_path / "prompts.txt"
    prompts = [f"a {colour} circle on a {ground} background\n" for ground, colour in WISHES * 2]
    path.write_text("".join(prompts), encoding="utf-8")
    own = {"SDCPU_STATE": str(tmp_path / "state"), "SDCPU_CONFIG": str(tmp_path / "config.toml")}
    with dask_cluster(tmp_path, 2, {**os.environ, **own, "SDCPU_OFFLINE": "1"}) as cluster:
        batch = Batch(
            path,
            tmp_path / "out",
            model="demo",
            defaults={"width": 128, "height": 128, "seed": 3},
            cluster=cluster.address,
            shared_cache=demo_folder,
        )
        drawn: dict[int, Path] = {}
        for event in batch.draw():
            if isinstance(event, LineDone):
                assert event.line.number not in drawn
                drawn[event.line.number] = event.files[0]
                if len(drawn) == 4:
                    cluster.kill(0)
    assert len(drawn) == len(prompts)
    for number, wish in enumerate(WISHES * 2, 1):
        with Image.open(drawn[number]) as picture:
            assert describe(picture)[:2] == wish
