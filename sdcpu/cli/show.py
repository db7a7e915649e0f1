"""`sdcpu show`: a model, or a picture and how it was made."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_fields, print_json
from sdcpu.cli.plan_text import licence_text
from sdcpu.figures import size_text

if TYPE_CHECKING:
    from sdcpu.models import Model, ModelFile


@click.command(
    short_help="Show a model, or a picture and how it was made.",
    epilog="""\b
Examples:
  sdcpu show sd-turbo
  sdcpu show lighthouse.png
  sdcpu show some-model.gguf""",
)
@click.argument("name", metavar="MODEL_OR_IMAGE")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what a model is and where its files are, or a picture of sdcpu and how it was made.

    The picture itself, or a video's first frame, is shown in a terminal with colours.
    """
    from sdcpu.recipe import FORMATS
    from sdcpu.video_files import ENDINGS, read_video_recipe

    if Path(name).suffix.lower() in (*FORMATS, *ENDINGS):
        if not as_json:
            _show_picture(Path(name))
        recipe = read_video_recipe(Path(name))
        if as_json:
            print_json(recipe)
        else:
            print_fields(
                [
                    (key.replace("_", " "), _value_text(value))
                    for key, value in recipe.items()
                    if _is_worth_saying(key, value, recipe)
                ]
            )
        return
    from sdcpu.adapters import Adapters
    from sdcpu.catalog import Catalog
    from sdcpu.settings import load_settings

    settings = load_settings()
    catalog = Catalog(settings)
    model = Adapters(catalog, settings).described(name) or catalog.find(name)
    located = catalog.locate(model)
    if as_json:
        from sdcpu.report import plain

        described: Any = plain(model)
        for file, path in zip(described["files"], located.values(), strict=True):
            file["found_at"] = plain(path)
        print_json(described)
    else:
        print_fields(_model_fields(model, located))


def _is_worth_saying(key: str, value: object, recipe: Mapping[str, Any]) -> bool:
    """Whether a value of a recipe did anything: 0 may be a seed, four of them extend nothing."""
    if value is None or value is False or value in ("", "none", [], [0, 0, 0, 0]):
        return False
    return key != "control_strength" or "control_image" in recipe


def _show_picture(path: Path) -> None:
    """Draw a picture, or a video's first frame; nothing in a pipe or where there are no colours."""
    if not sys.stdout.isatty():
        return
    from rich.console import Console

    from sdcpu.cli.terminal_pictures import TerminalPictures, can_show_pictures
    from sdcpu.video_files import first_frame

    console = Console()
    if can_show_pictures(console):
        TerminalPictures(console).show(first_frame(path))


def _model_fields(model: Model, located: Mapping[ModelFile, Path | None]) -> list[tuple[str, str]]:
    """List what a model is, for people."""
    defaults = dataclasses.asdict(model.defaults)
    fields = [
        ("name", model.name),
        ("good for", model.summary),
        ("kind", f"{model.kind}, family {model.family or 'unknown until downloaded'}"),
        ("licence", licence_text(model)),
    ]
    fields += [
        (
            "quantisation",
            f"-m {each.name}: {size_text(each.download_size)} with all its parts"
            + (", shown here" if each.files == model.files else ""),
        )
        for each in model.variants
    ]
    if model.kind in ("image", "video"):
        fields.append(("defaults", f"{defaults.pop('width')}x{defaults.pop('height')}"))
        fields += [
            ("defaults", f"{name.replace('_', ' ')} {_value_text(value)}")
            for name, value in defaults.items()
            if value is not None
        ]
    for file, path in located.items():
        no_address = "the package itself" if file.built_in else "your disk"
        source = file.repository or file.url or no_address
        size = "size unknown" if file.size is None else size_text(file.size)
        about = "about " if file.size_is_approximate else ""
        fields.append(("file", f"{file.role}: {file.path}"))
        fields.append(("", f"{about}{size}, from {source}"))
        if file.quantize:
            fields.append(("", f"made smaller here: {file.quantize}"))
        fields.append(("", str(path) if path else "not here"))
    if model.built_in and model.kind == "image":
        from sdcpu.demo import vocabulary

        fields += [("knows", f"{kind}: {words}") for kind, words in vocabulary().items()]
    if model.notes:
        fields.append(("notes", model.notes))
    return fields


def _value_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
