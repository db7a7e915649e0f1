"""Many pictures with the demo model: each shows what its words ask for."""

import pytest

import sdcpu
from tests.pictures import describe


@pytest.fixture(autouse=True)
def _nothing_but_the_demo_model(
    demo_folder: object, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPU_CACHE", str(demo_folder))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path_factory.mktemp("state")))


def test_alternatives_show_in_the_pictures() -> None:
    prompts = sdcpu.expand_prompt("a {red|green} circle on a {white|black} background")
    requests = [{"prompt": prompt, "width": 128, "height": 128, "seed": 3} for prompt in prompts]
    with sdcpu.ImageGenerator("demo", offline=True) as generator:
        events = list(sdcpu.stream_series(generator, requests))
    pictures = [event for event in events if isinstance(event, sdcpu.GeneratedImage)]
    assert [describe(picture.image)[:2] for picture in pictures] == [
        ("white", "red"),
        ("black", "red"),
        ("white", "green"),
        ("black", "green"),
    ]
    assert [picture.index for picture in pictures] == [0, 1, 2, 3]
    progress = [event for event in events if isinstance(event, sdcpu.Progress)]
    assert {event.pictures for event in progress} == {4}
    assert [event.picture for event in progress] == sorted(event.picture for event in progress)
    assert {event.picture for event in progress if event.stage == "load"} == {1}
