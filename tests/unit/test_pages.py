"""What README.md and docs/ say is so; their examples are executed in tests/native/test_pages.py."""

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest

from sdcpu.cli.commands import COMMANDS, sdcpu
from sdcpu.registry import load_registry
from sdcpu.settings import load_settings
from sdcpu.styles import load_styles
from tests.pages import PAGES, README, ROOT, Example, examples

TEXT = README.read_text(encoding="utf-8")
ALL = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("arguments", [a for e in examples("console") for a in e.own_commands])
def test_commands_and_options_exist(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in arguments:
        if re.fullmatch(r"[\w-]+\.(png|jpg|webp|mp4|safetensors|txt|csv)", argument):
            Path(argument).touch()
    name, *rest = arguments
    with click.Context(sdcpu) as context:
        command = sdcpu.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        assert command.make_context(name, rest).params


@pytest.mark.parametrize("example", examples("python"), ids=lambda e: e.place)
def test_python_examples_are_python(example: Example) -> None:
    ast.parse(example.text)


def test_scripts_exist() -> None:
    named = set(re.findall(r"scripts/(\w+)", ALL)) - {"benchmarks"}
    assert named >= {"run", "test", "check", "bench"}
    assert {name for name in named if not (ROOT / "scripts" / name).is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_linked_files_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    files = [page.parent / link for link in links if "://" not in link]
    assert [str(file) for file in files if not file.exists()] == []


def test_every_page_is_linked() -> None:
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in TEXT


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    _, example = examples("toml", README)
    config = tmp_path / "config.toml"
    config.write_text(example.text, encoding="utf-8")
    settings = load_settings({"SDCPU_CONFIG": str(config)})
    written = tomllib.loads(example.text)
    assert (settings.default_model, settings.threads) == (
        written["default_model"],
        written["threads"],
    )


def test_the_models_file_is_accepted(tmp_path: Path) -> None:
    example, _ = examples("toml", README)
    own = tmp_path / "models.toml"
    own.write_text(example.text, encoding="utf-8")
    registry = load_registry(own)
    assert len(registry.find("portraits").files) == 3
    assert registry.find("sd-turbo").defaults.steps == 2


def test_the_styles_file_is_accepted(tmp_path: Path) -> None:
    (example,) = examples("toml", ROOT / "docs" / "many-pictures.md")
    own = tmp_path / "styles.toml"
    own.write_text(example.text, encoding="utf-8")
    assert load_styles(own)["at-sea"].around("a cat").startswith("a cat, by the sea")


def test_environment_variables_are_the_real_ones() -> None:
    source = (ROOT / "sdcpu" / "settings.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:SDCPU|HF)_[A-Z_]+\b", ALL))
    assert named
    assert {name for name in named if name not in source} == set()


def test_the_table_of_models_is_the_registry() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|$", TEXT, re.M)
    models = load_registry(None).models.values()
    assert rows == [
        (model.name, model.summary, model.license) for model in models if model.kind == "image"
    ]


def test_the_tree_names_every_module() -> None:
    tree = TEXT.partition("```\nsdcpu/\n")[2].partition("```")[0]
    modules = {
        path.stem
        for path in (ROOT / "sdcpu").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    left_out = {"__init__", "__main__"}
    assert {name for name in modules - left_out if not re.search(rf"\b{name}\b", tree)} == set()


def test_the_commands_are_all_mentioned() -> None:
    assert {name for name in COMMANDS if f"sdcpu {name}" not in ALL} == set()
