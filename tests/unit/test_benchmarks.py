"""What benchmarks of pictures, neighbours and LoRAs are made of; no figures are tested."""

from itertools import islice

import psutil
import pytest
from demo import steps_drawn
from demo_engine import Picture
from lora import lora_shapes
from neighbours import neighbours, report
from pictures import all_prompts
from PIL import Image

from sdcpu.demo.words import COLOURS, SCENES, SHAPES, unknown_words


def test_the_prompts_are_the_demo_models_and_each_another() -> None:
    prompts = list(islice(all_prompts(), 86))
    assert len(set(prompts)) == 86
    assert set(SCENES) < set(prompts)
    assert [prompt for prompt in prompts if unknown_words(prompt)] == []
    assert all(any(shape in prompt for prompt in prompts) for shape in SHAPES)
    things = prompts[len(SCENES) :]
    colours = [[word for word in prompt.split() if word in COLOURS] for prompt in things]
    assert [pair for pair in colours if len(set(pair)) != 2] == []


def test_neighbours_are_there_for_as_long_as_they_are_wanted() -> None:
    before = set(psutil.Process().children())
    with neighbours(2):
        busy = set(psutil.Process().children()) - before
        assert len(busy) == 2
    assert set(psutil.Process().children()) <= before


def test_ours_are_compared_with_their_fair_share(capsys: pytest.CaptureFixture[str]) -> None:
    def pictures(*seconds: float) -> list[Picture]:
        image = Image.new("RGB", (8, 8))
        return [
            Picture(image=image, seconds=each, processor_seconds=2.0, stages={}) for each in seconds
        ]

    drawn = {
        ("off", 0): pictures(2.0, 9.0, 2.0),
        ("off", 100): pictures(900.0),
        ("int8", 0): pictures(1.0),
        ("int8", 100): pictures(75.0, 80.0, 70.0),
    }
    numbers = range(0, 101, 100)
    _, times_fair = report(["off", "int8"], numbers, drawn, threads=50)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:4] == ["off", "0", "2.000", "1.00"]
    assert lines[4][:3] == ["100", "75.000", "75.00"]
    assert times_fair == pytest.approx(75 / float(lines[4][3]), rel=0.01)


@pytest.mark.parametrize(
    ("steps", "strength", "drawn"),
    [(4, 0.1, 1), (4, 0.25, 2), (4, 0.75, 4), (4, 1.0, 4), (20, 0.75, 16), (20, 0.0, 1)],
)
def test_one_step_more_is_drawn_than_the_strength_is_worth(
    steps: int, strength: float, drawn: int
) -> None:
    assert steps_drawn(steps, strength) == drawn


def test_a_lora_has_two_halves_for_every_layer_that_the_engine_knows() -> None:
    shapes = dict(lora_shapes(4))
    assert shapes["model.diffusion_model.out.2.lora_down.weight"] == (4, 320, 3, 3)
    assert shapes["model.diffusion_model.out.2.lora_up.weight"] == (4, 4, 1, 1)
    assert len(shapes) > 200
    assert not any("time_embed" in name for name in shapes)
