"""Which model draws when none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sdcpu.errors import ModelNotDownloadedError
from sdcpu.families import FAMILIES
from sdcpu.figures import size_text
from sdcpu.models import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The model that was chosen, and why."""

    model: Model
    reason: str


def choose_model(
    models: Iterable[Model],
    *,
    is_here: Callable[[Model], bool],
    fits: Callable[[Model], bool],
    may_download: bool,
) -> Choice:
    """Take the best model that is here and fits the memory, else the recommended one to download.

    When nothing is here and nothing may be downloaded, it is the one that ships with the package.

    Raises:
        ModelNotDownloadedError: no model is left to take.
    """
    candidates = list(models)
    ranked = sorted(
        (model for model in candidates if model.recommended_rank is not None),
        key=lambda model: (model.recommended_rank, model.name),
    )
    here = next((model for model in ranked if is_here(model) and fits(model)), None)
    if here:
        return Choice(
            model=here, reason=f"{here.name} is the best model here that fits the memory."
        )
    recommended = next((model for model in ranked if fits(model)), None)
    if recommended and may_download:
        return Choice(
            model=recommended,
            reason=f"No model is here yet: {recommended.name} suits this machine "
            f"({_download(recommended)}licence {recommended.license}).",
        )
    shipped = shipped_model(candidates)
    why = "none may be downloaded" if recommended else "none of the known ones fits the memory"
    return Choice(
        model=shipped,
        reason=f"No other model is here and {why}: drawing with {shipped.name}, "
        "the small model that ships with sdcpu.",
    )


def usual_video_model(models: Iterable[Model], *, from_picture: bool) -> str:
    """The name of the first model that makes videos: from text alone, or from a first frame too.

    Raises:
        ModelNotDownloadedError: a registry without one.
    """
    for model in models:
        family = FAMILIES.get(model.family)
        if model.kind != "video" or family is None:
            continue
        takes_picture = family.starts_from_picture or family.may_start_from_picture
        if takes_picture if from_picture else not family.starts_from_picture:
            return model.name
    raise ModelNotDownloadedError(
        "No model is known that makes such videos.", hint="Describe one in your models.toml."
    )


def shipped_model(models: Iterable[Model]) -> Model:
    """The model that needs no download.

    Raises:
        ModelNotDownloadedError: a registry without one.
    """
    for model in models:
        if model.built_in and model.kind == "image":
            return model
    raise ModelNotDownloadedError(
        "No model is here.", hint="Download one: sdcpu pull MODEL; sdcpu models lists them."
    )


def _download(model: Model) -> str:
    """The size; of several quantisations none is chosen yet."""
    return "" if model.variants else f"{size_text(model.download_size)} to download, "
