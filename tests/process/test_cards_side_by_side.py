"""A batch on several cards: a worker for each, as far as they are proved."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import sdcpu
from sdcpu import engine_choice, engine_run, proving
from sdcpu.batch import Batch, BatchSummary, LineDone, LineProgress
from sdcpu.builds.records import read_record
from sdcpu.cli.commands import run
from sdcpu.engine_choice import EngineChoice, devices_to_prove
from sdcpu.gpus import Driver
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from tests.fake_cards import CARD, COMMAND, DRIVER, install_card_build

THREE = replace(DRIVER, devices=tuple(replace(CARD, index=number) for number in range(3)))


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine with the demo model and three cards."""

    def detect(apis: Sequence[str], **_: object) -> tuple[Driver, ...]:
        return (THREE,) if "cuda" in apis else ()

    fake = partial(EngineProcess, command=COMMAND)
    for module in (engine_run, proving):
        monkeypatch.setattr(module, "EngineProcess", fake)
    for module in (engine_choice, proving):
        monkeypatch.setattr(module, "detect_gpus", detect)
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(
        empty,
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        builds_folder=tmp_path / "builds",
        offline=True,
    )


def drawn(settings: Settings, folder: Path, **options: Any) -> tuple[dict[int, set[str]], int]:
    """What each worker drew on, and how many there were; every line must be drawn."""
    path = folder / "prompts.txt"
    path.write_text("\n".join(f"a red circle {number}" for number in range(6)))
    size = {"width": 64, "height": 64, "steps": 1}
    batch = Batch(path, folder / "out", model="demo", defaults=size, settings=settings, **options)
    used: dict[int, set[str]] = {}
    lines = 0
    for event in batch.draw():
        if isinstance(event, LineProgress) and isinstance(event.event, sdcpu.EnginePlan):
            card = event.event.card
            used.setdefault(event.worker, set()).add(f"card {card.index}" if card else "processor")
        lines += isinstance(event, LineDone)
        if isinstance(event, BatchSummary):
            workers = event.workers
    assert lines == 6
    return used, workers


@pytest.mark.parametrize(
    ("options", "places"),
    [
        pytest.param({"workers": "auto"}, ["card 0", "card 2"], id="one for each proved card"),
        pytest.param({"workers": 3}, ["card 0", "card 2", "card 0"], id="they take turns"),
        pytest.param({"workers": 1}, ["card 0"], id="one draws on the first"),
        pytest.param({"workers": 2, "device": 2}, ["card 2", "card 2"], id="a card that was named"),
        pytest.param({"workers": 2, "build": "cpu"}, ["processor"] * 2, id="the processor"),
    ],
)
def test_workers_take_turns_among_the_cards(
    settings: Settings, tmp_path: Path, options: dict[str, Any], places: list[str]
) -> None:
    install_card_build(settings, devices=(0, 2))
    used, workers = drawn(settings, tmp_path, **options)
    assert workers == len(places)
    # A quick worker may leave nothing for another.
    assert used
    assert all(cards == {places[number]} for number, cards in used.items())


def test_cards_to_share(settings: Settings) -> None:
    assert EngineChoice(settings).devices() == ()
    install_card_build(settings, devices=(0, 2))
    assert EngineChoice(settings).devices() == (0, 2)
    assert EngineChoice(replace(settings, build="cpu")).devices() == ()
    install_card_build(settings, verdict="slower", devices=(0, 1))
    assert EngineChoice(settings).devices() == ()
    assert EngineChoice(replace(settings, build="cuda")).devices() == (0, 1)


def test_a_build_is_proved_on_all_cards_or_on_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sdcpu.settings.load_settings", lambda: settings)
    folder = install_card_build(settings, verdict=None).parent
    for arguments, devices in ((["--device", "1"], {"1"}), ([], {"0", "1", "2"})):
        assert run(["builds", "prove", "cuda", *arguments]) == 0
        record = read_record(folder)
        assert record is not None
        assert record.proofs.keys() == devices
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("cuda: faster")
    assert [line.partition(":")[0] for line in shown[1:]] == [
        f"cuda on device {number}" for number in range(3)
    ]
    assert devices_to_prove("cuda", replace(settings, device=2)) == (2,)
    assert devices_to_prove("cpu", settings) == (0,)
