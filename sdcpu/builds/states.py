"""The state of every build that there could be, for a list that a person reads."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from sdcpu.builds.installed import find_build, list_builds
from sdcpu.builds.recipes import RECIPES, Recipe
from sdcpu.builds.tools import find_tools
from sdcpu.errors import BuildError
from sdcpu.gpus import APIS, Driver, detect_gpus
from sdcpu.settings import Settings, child_environment

State = Literal["chosen", "usable", "unusable", "can be made", "no card", "lacks tools"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildState:
    """One build and how it stands here."""

    name: str
    title: str
    state: State
    explanation: str


def build_states(settings: Settings) -> tuple[BuildState, ...]:
    """Every build that this system can have; what is installed comes first.

    >>> from sdcpu.settings import load_settings
    >>> "cpu" in [state.name for state in build_states(load_settings())]
    True
    """
    drivers = detect_gpus(APIS)
    try:
        chosen = find_build(settings.build, settings, drivers).name
    except BuildError:
        chosen = ""
    states = []
    installed = list_builds(settings)
    for build in installed:
        try:
            find_build(build.name, settings, drivers)
        except BuildError as error:
            state: State = "unusable"
            explanation = f"{error.message} {error.hint}".strip()
        else:
            state = "chosen" if build.name == chosen else "usable"
            explanation = build.proof.facts if build.proof else build.note
        states.append(
            BuildState(name=build.name, title=build.title, state=state, explanation=explanation)
        )
    names = {build.name for build in installed}
    others = (recipe for recipe in RECIPES.values() if recipe.name not in names)
    states += [_possible(recipe, drivers) for recipe in others if sys.platform in recipe.systems]
    return tuple(states)


def _possible(recipe: Recipe, drivers: tuple[Driver, ...]) -> BuildState:
    """A build that is not there: what it would take."""
    state: State = "can be made"
    explanation = f"sdcpu builds install {recipe.name}"
    driver = next((driver for driver in drivers if driver.api == recipe.name), None)
    if driver is not None and not any(card.is_card for card in driver.devices):
        state = "no card"
        explanation = driver.problem or "no card was found" if driver.installed else "no driver"
        if driver.devices:
            explanation = f"only {driver.devices[0].name}, a program that plays a card"
    else:
        try:
            find_tools(recipe, child_environment())
        except BuildError as error:
            state, explanation = "lacks tools", f"{error.message} {error.hint}"
    return BuildState(name=recipe.name, title=recipe.title, state=state, explanation=explanation)
