"""The files of the page: its texts in every language, and nothing from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from sdcpu.errors import SdcpuError
from sdcpu.server.app import PAGE

MOST_LINES = 400
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
MODULES = [path for path in FILES if path.suffix == ".js"]
LANGUAGES = {path.stem: json.loads(path.read_text()) for path in PAGE.glob("languages/*.json")}
ENGLISH = LANGUAGES["en"]
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)


def used_keys() -> set[str]:
    """The keys that stand in the page and in its modules; "stage.*" where the end is found out."""
    in_html = re.findall(r'data-(?:text|label|placeholder|title)="([^"]+)"', HTML)
    in_scripts = re.findall(r'"([a-z_]+\.[a-z_]+)"', SCRIPTS)
    made = re.findall(r"`([a-z_]+\.)\$\{", SCRIPTS)
    return {*in_html, *(key for key in in_scripts if known(key)), *(f"{key}*" for key in made)}


def known(key: str) -> bool:
    return key in ENGLISH or f"{key}.other" in ENGLISH


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("name", sorted(LANGUAGES))
def test_languages_have_the_same_texts(name: str) -> None:
    texts = LANGUAGES[name]
    assert list(texts) == list(ENGLISH)
    assert [key for key, text in texts.items() if not text.strip()] == []
    assert [key for key, text in texts.items() if places(text) != places(ENGLISH[key])] == []


def test_german_is_german() -> None:
    same = {key for key, text in LANGUAGES["de"].items() if text == ENGLISH[key] and " " in text}
    figures = {key for key in same if key.startswith("time.")}
    assert same - figures == {"form.prompt_example"}, "models understand English"


def test_texts_of_the_page_are_there_and_used() -> None:
    asked_for = set(re.findall(r'\btext\("([^"]+)"', SCRIPTS))
    assert {key for key in used_keys() | asked_for if key[-1] != "*" and not known(key)} == set()
    keys = {re.sub(r"\.(one|other)$", "", key) for key in ENGLISH}
    starts = tuple(key[:-1] for key in used_keys() if key.endswith("*"))
    assert {key for key in keys - used_keys() - asked_for if not key.startswith(starts)} == set()


def test_codes_with_a_text_are_real_codes() -> None:
    def codes(error: type[SdcpuError]) -> set[str]:
        return {error.code, *(code for child in error.__subclasses__() for code in codes(child))}

    own = {"unreachable", "retry_after"}
    named = {key.partition(".")[2] for key in ENGLISH if key.startswith(("error.", "hint."))}
    assert named - codes(SdcpuError) - own == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_short_and_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert text.endswith("\n")
    assert re.findall(r"https?://(?!www\.w3\.org/)\S+", text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"/\*\* .+\. \*/\n|/\*\* .+\n", text)
    imported = re.findall(r'^import .* from "([^"]+)";$', text, re.M)
    assert [name for name in imported if not (path.parent / name).is_file()] == []


def test_everything_in_the_page_is_a_file_of_ours() -> None:
    """The policy forbids scripts and styles in the page itself."""
    linked = re.findall(r'(?:href|src)="([^"#]+)', HTML)
    assert [name for name in linked if not (PAGE / name).is_file()] == []
    assert re.findall(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", HTML) == []


def test_icons_that_are_used_are_there() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (PAGE / "icons.svg").read_text()))
    in_scripts = re.findall(r'\bicon\("([\w-]+)"\)', SCRIPTS)
    assert {*re.findall(r"icons\.svg#([\w-]+)", HTML), *in_scripts} <= drawn
    unused = {name for name in drawn if f"#{name}" not in HTML and f'"{name}"' not in SCRIPTS}
    assert unused == set()
