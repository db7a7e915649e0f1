"""Which model draws when none is named."""

from dataclasses import replace

import pytest

from sdcpu.default_model import choose_model, usual_video_model
from sdcpu.errors import ModelNotDownloadedError
from sdcpu.registry import FileRole, Model, ModelFile, load_registry

DEMO = Model(
    name="demo",
    summary="small",
    family="sd1_tiny",
    files=(ModelFile(role=FileRole.MODEL, path="demo.gguf", built_in=True),),
)


def known(name: str, rank: int | None) -> Model:
    file = ModelFile(role=FileRole.MODEL, repository="a/b", path=f"{name}.gguf", size=10**9)
    return Model(
        name=name, summary="", family="sd1", license="mit", files=(file,), recommended_rank=rank
    )


BIG, SMALL, OTHER = known("big", 1), known("small", 2), known("other", None)
ALL = [DEMO, OTHER, SMALL, BIG]


@pytest.mark.parametrize(
    ("here", "fitting", "may_download", "chosen", "words"),
    [
        (ALL, ALL, True, BIG, "best model here"),
        ([SMALL], ALL, True, SMALL, "best model here"),
        ([BIG, SMALL], [SMALL], True, SMALL, "best model here"),
        ([OTHER], ALL, True, BIG, "1.0 GB to download, licence mit"),
        ([], [SMALL, DEMO], True, SMALL, "to download"),
        ([], ALL, False, DEMO, "none may be downloaded"),
        ([BIG], [DEMO], True, DEMO, "none of the known ones fits"),
    ],
)
def test_the_choice(
    here: list[Model], fitting: list[Model], may_download: bool, chosen: Model, words: str
) -> None:
    choice = choose_model(
        ALL,
        is_here=lambda model: model in here,
        fits=lambda model: model in fitting,
        may_download=may_download,
    )
    assert choice.model == chosen
    assert words in choice.reason


def test_without_any_model_the_error_says_how_to_get_one() -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        choose_model(
            [replace(BIG, recommended_rank=None)],
            is_here=lambda _: False,
            fits=lambda _: True,
            may_download=True,
        )
    assert "sdcpu pull" in caught.value.hint


@pytest.mark.parametrize(
    ("from_picture", "name"), [(False, "wan21-t2v-1_3b"), (True, "wan22-ti2v-5b")]
)
def test_the_first_model_that_makes_such_videos(from_picture: bool, name: str) -> None:
    models = load_registry(None).models.values()
    assert usual_video_model(models, from_picture=from_picture) == name


def test_a_registry_without_video_models() -> None:
    with pytest.raises(ModelNotDownloadedError, match="makes such videos"):
        usual_video_model([], from_picture=False)
