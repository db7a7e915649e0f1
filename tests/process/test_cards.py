"""Builds for cards: which one draws, the processor that steps in, and the proof before all that."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import sdcpu
from sdcpu import engine_choice, engine_run, proving
from sdcpu.builds import find_build
from sdcpu.builds.installed import device_environment, device_name, own_build
from sdcpu.builds.states import build_states
from sdcpu.generator import ImageGenerator
from sdcpu.gpus import Driver
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from tests.fake_cards import CARD, COMMAND, DRIVER, install_card_build


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    """A machine with the demo model and a folder for builds."""
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(
        empty,
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        builds_folder=tmp_path / "builds",
        offline=True,
    )


@pytest.fixture(autouse=True)
def _one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = partial(EngineProcess, command=COMMAND)
    monkeypatch.setattr(engine_run, "EngineProcess", fake)
    monkeypatch.setattr(proving, "EngineProcess", fake)
    see(monkeypatch, DRIVER)


def see(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    def detect(apis: Sequence[str], **_: object) -> tuple[Driver, ...]:
        return (driver,) if "cuda" in apis else ()

    for module in (engine_choice, proving):
        monkeypatch.setattr(module, "detect_gpus", detect)
    monkeypatch.setattr("sdcpu.builds.states.detect_gpus", detect)


def draw(settings: Settings, **request: object) -> tuple[list[sdcpu.EnginePlan], list[int]]:
    """The plans that were told, and the seeds of the pictures."""
    with ImageGenerator("demo", settings=settings) as generator:
        events = list(generator.stream("a red circle", seed=5, **request))
    plans = [event for event in events if isinstance(event, sdcpu.EnginePlan)]
    pictures = [event for event in events if isinstance(event, sdcpu.GeneratedImage)]
    assert [picture.index for picture in pictures] == list(range(len(pictures)))
    return plans, [picture.seed for picture in pictures]


def test_a_proved_build_that_is_faster_draws_by_itself(settings: Settings) -> None:
    library = install_card_build(settings)
    ((plan,), seeds) = draw(settings)
    assert (plan.build.name, plan.build.library, plan.card) == ("cuda", library, CARD)
    assert (plan.kernels, plan.flash_attention, plan.vae_conv_direct) == ("off", True, False)
    assert plan.memory_available == CARD.memory_free
    assert seeds == [5]


def test_the_processor_is_one_option_away(settings: Settings) -> None:
    install_card_build(settings)
    ((plan,), _) = draw(replace(settings, build="cpu"))
    assert (plan.build.name, plan.card) == ("cpu", None)


@pytest.mark.parametrize("verdict", ["slower", "fails", None])
def test_a_build_that_is_not_proved_faster_is_not_chosen(
    settings: Settings, verdict: str | None
) -> None:
    install_card_build(settings, verdict=verdict)  # type: ignore[arg-type]
    assert find_build("auto", settings, [DRIVER]).name == "cpu"
    if verdict == "slower":
        assert find_build("cuda", settings, [DRIVER]).name == "cuda"
    else:
        with pytest.raises(sdcpu.BuildUnusableError) as caught:
            find_build("cuda", settings, [DRIVER])
        assert "sdcpu builds prove cuda" in caught.value.hint


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (replace(DRIVER, devices=()), "no card for it"),
        (replace(DRIVER, devices=(), problem="it does not answer"), "does not answer"),
    ],
)
def test_a_card_that_is_gone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, driver: Driver, problem: str
) -> None:
    install_card_build(settings)
    see(monkeypatch, driver)
    ((plan,), _) = draw(settings)
    assert plan.build.name == "cpu"
    with pytest.raises(sdcpu.BuildUnusableError, match=problem):
        draw(replace(settings, build="cuda"))


@pytest.mark.parametrize(
    ("behaviour", "build", "verdict"), [("good", "cuda", "faster"), ("wrong", "cpu", "fails")]
)
def test_a_build_is_proved_again_by_itself_when_the_driver_changes(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    build: str,
    verdict: str,
) -> None:
    install_card_build(settings, behaviour)
    new = replace(DRIVER, devices=(replace(CARD, driver="590.2"),))
    see(monkeypatch, new)
    assert find_build("auto", settings, [new]).name == "cpu"
    with pytest.raises(sdcpu.BuildUnusableError, match="has changed") as caught:
        find_build("cuda", settings, [new])
    assert caught.value.hint == "Prove it: sdcpu builds prove cuda"
    ((plan,), _) = draw(settings)
    assert plan.build.name == build
    assert f"proved again: {verdict}" in plan.surprises[0]
    ((plan,), _) = draw(settings)
    assert (plan.build.name, plan.surprises) == (build, ())


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("dies", "SIGABRT"), ("full", "CUDA out of memory"), ("blind", "finds no card")],
)
@pytest.mark.parametrize("build", ["auto", "cuda"])
def test_a_card_that_fails_does_not_cost_the_picture(
    settings: Settings, behaviour: str, words: str, build: str
) -> None:
    install_card_build(settings, behaviour)
    (first, second), seeds = draw(replace(settings, build=build))
    assert (first.build.name, second.build.name) == ("cuda", "cpu")
    assert "the processor draws" in second.surprises[0]
    assert words in second.surprises[0]
    assert seeds == [5]


def test_pictures_that_a_card_finished_are_not_drawn_again(settings: Settings) -> None:
    install_card_build(settings, "dies later")
    plans, seeds = draw(settings, count=3)
    assert [plan.build.name for plan in plans] == ["cuda", "cpu"]
    assert seeds == [5, 6, 7]


def test_a_card_that_is_too_small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    install_card_build(settings)
    see(monkeypatch, replace(DRIVER, devices=(replace(CARD, memory_free=100_000_000),)))
    ((plan,), _) = draw(settings)
    assert plan.build.name == "cpu"
    assert "card's memory is too small" in plan.surprises[0]
    with pytest.raises(sdcpu.NotEnoughMemoryError, match="free memory on the NVIDIA Test"):
        draw(replace(settings, build="cuda"))


def test_a_card_that_is_slower_for_a_size_is_not_used_for_it(settings: Settings) -> None:
    install_card_build(settings, "crawls")
    assert [plan.build.name for plan in draw(settings)[0]] == ["cuda"]
    draw(replace(settings, build="cpu"))  # now there is something to compare it with
    ((again,), _) = draw(settings)
    assert again.build.name == "cuda"
    assert "measured less than twice" in again.reasons[-1]
    ((plan,), _) = draw(settings)
    assert plan.build.name == "cpu"
    assert "takes less time than the NVIDIA Test" in plan.surprises[0]
    ((asked,), _) = draw(replace(settings, build="cuda"))
    assert asked.build.name == "cuda"


def test_a_picture_that_is_too_large_for_a_card_does_not_cost_the_others_the_card(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_card_build(settings)
    see(monkeypatch, replace(DRIVER, devices=(replace(CARD, memory_free=1_700_000_000),)))
    with ImageGenerator("demo", settings=settings) as generator:
        sizes: tuple[dict[str, int], ...] = ({}, {"width": 1536, "height": 1536}, {})
        names = [generator.plan("a red circle", **size).build.name for size in sizes]
    assert names == ["cuda", "cpu", "cuda"]


def test_a_card_that_is_not_there(settings: Settings) -> None:
    install_card_build(settings)
    with pytest.raises(sdcpu.InvalidRequestError, match="no device 1") as caught:
        draw(replace(settings, device=1))
    assert "0 (NVIDIA Test)" in caught.value.hint


@pytest.mark.parametrize(
    ("behaviour", "verdict", "words"),
    [
        ("good", "faster", "for a step"),
        ("slow", "slower", "not faster"),
        ("dies", "fails", "SIGABRT"),
        ("full", "fails", "out of memory"),
        ("black", "fails", "one colour"),
        ("wrong", "fails", "not the processor's"),
    ],
)
def test_a_proof_says_what_a_build_is_good_for(
    settings: Settings, behaviour: str, verdict: str, words: str
) -> None:
    install_card_build(settings, behaviour, verdict=None)
    proof = proving.prove_build("cuda", settings)
    assert (proof.verdict, proof.driver) == (verdict, CARD.driver)
    assert words in proof.reason
    build = own_build("cuda", settings)
    assert build is not None
    assert build.proof == proof
    states = {state.name: state.state for state in build_states(settings)}
    chosen = {"faster": ("chosen", "usable"), "slower": ("usable", "chosen")}
    assert (states["cuda"], states["cpu"]) == chosen.get(verdict, ("unusable", "chosen"))


@pytest.mark.parametrize(
    ("behaviour", "driver", "verdict", "words"),
    [
        ("slow", "llvmpipe, Mesa 25.0.7", "slower", "for a step at 64x64"),
        ("good", "llvmpipe, Mesa 25.0.7", "faster", "for a step at 256x256"),
        ("dies", "llvmpipe, Mesa 25.0.7", "fails", "SIGABRT"),
        ("wrong", "llvmpipe, Mesa 25.0.7", "fails", "not the processor's"),
        ("good", "llvmpipe, Mesa 22.3.6", "fails", "Mesa 22 draws in software with memory"),
    ],
)
def test_a_program_that_plays_a_card_begins_with_small_pictures(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    driver: str,
    verdict: str,
    words: str,
) -> None:
    install_card_build(settings, behaviour, verdict=None)
    rasteriser = replace(CARD, kind="software", driver=driver)
    see(monkeypatch, replace(DRIVER, devices=(rasteriser,)))
    proof = proving.prove_build("cuda", settings)
    assert (proof.verdict, proof.driver) == (verdict, driver)
    assert words in proof.reason
    explanations = {state.name: state.explanation for state in build_states(settings)}
    assert words in explanations["cuda"]
    if verdict == "slower":
        assert f"driver {driver}. Its process took " in explanations["cuda"]


def test_a_card_that_cannot_be_seen_now_does_not_spoil_a_proof(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_card_build(settings, "blind")
    before = own_build("cuda", settings)
    with pytest.raises(sdcpu.BuildUnusableError, match="finds no card"):
        proving.prove_build("cuda", settings)
    see(monkeypatch, replace(DRIVER, devices=(), problem="cuInit() answers there is no card"))
    with pytest.raises(sdcpu.BuildUnusableError, match="there is no card"):
        proving.prove_build("cuda", settings)
    assert own_build("cuda", settings) == before


def test_each_card_has_a_proof_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_card_build(settings)
    second = replace(settings, device=1)
    see(monkeypatch, replace(DRIVER, devices=(CARD, replace(CARD, index=1))))
    with pytest.raises(sdcpu.BuildUnusableError, match="on device 1 yet") as caught:
        draw(second)
    assert caught.value.hint == "Prove it: sdcpu builds prove cuda --device 1"
    (settings.builds_folder / "cuda" / "libstable-diffusion.so").touch()  # both are needed anew
    for each in (second, settings):
        proving.prove_build("cuda", each)
    for each in (second, settings):
        ((plan,), _) = draw(each)
        assert plan.card is not None
        assert plan.card.index == each.device


def test_cards_that_the_user_hid(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert device_name("cuda", 1) == "1"
    assert device_name("cuda", 0) == "3"
    install_card_build(settings)
    build = own_build("cuda", settings)
    assert build is not None
    assert build.proof is None  # that of the card "0", which cannot be seen
    assert device_environment(build, 0)["CUDA_VISIBLE_DEVICES"] == "3"


def test_nothing_to_prove(settings: Settings) -> None:
    with pytest.raises(sdcpu.BuildNotInstalledError, match="'cuda'"):
        proving.prove_build("cuda", settings)


def test_a_proof_on_a_card_that_is_not_there(settings: Settings) -> None:
    install_card_build(settings, verdict=None)
    with pytest.raises(sdcpu.InvalidRequestError, match="no device 3"):
        proving.prove_build("cuda", replace(settings, device=3))
