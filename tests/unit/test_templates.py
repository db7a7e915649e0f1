"""Prompt templates: what stays, what is chosen, and what cannot be."""

import time
from pathlib import Path

import pytest

from sdcpu.errors import InvalidRequestError
from sdcpu.templates import expand_prompt, parse_template


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wildcard files."""
    (tmp_path / "animal.txt").write_text("# animals\n\ncat  # small\ndog\n", encoding="utf-8-sig")
    (tmp_path / "thing.txt").write_text("a {red|green} car\nan __animal__\n", encoding="utf-8")
    (tmp_path / "places").mkdir()
    (tmp_path / "places" / "far_away.txt").write_text("Ísland\n", encoding="utf-8")
    (tmp_path / "circle.txt").write_text("a __round__\n", encoding="utf-8")
    (tmp_path / "round.txt").write_text("a __circle__\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n# nothing\n", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("a cat", ["a cat"]),
        ("", [""]),
        ("{red|green} {car|boat}", ["red car", "red boat", "green car", "green boat"]),
        ("a {|very }big cat", ["a big cat", "a very big cat"]),
        ("{a|{b|c} d}", ["a", "b d", "c d"]),
        (r"\{red\|green\} {x\}|y\|z}", ["{red|green} x}", "{red|green} y|z"]),
        ('{"scene": {"light": "{dim|bright}"}}', [
            '{"scene": {"light": "dim"}}',
            '{"scene": {"light": "bright"}}',
        ]),
        ("either | or", ["either | or"]),
        (r"(cat:1.2) \(dog\) [fox] <lora:my__ink__v2:0.8>", [
            r"(cat:1.2) \(dog\) [fox] <lora:my__ink__v2:0.8>"
        ]),
        ("<lora:ink:{0.5|1}>", ["<lora:ink:0.5>", "<lora:ink:1>"]),
        ("snake_case, ____, a__b__c and __", ["snake_case, ____, a__b__c and __"]),
        (r"\__animal__", ["__animal__"]),
    ],
)  # fmt: skip
def test_what_a_template_stands_for(text: str, prompts: list[str]) -> None:
    assert expand_prompt(text, wildcards=[]) == prompts


def test_wildcards_are_lines_of_files(folder: Path) -> None:
    def expand(text: str) -> list[str]:
        return expand_prompt(text, wildcards=[folder])

    assert expand("one __animal__") == ["one cat", "one dog"]
    assert expand("__thing__") == ["a red car", "a green car", "an cat", "an dog"]
    assert expand("in __places/far_away__!") == ["in Ísland!"]
    assert len(expand("__animal__ and __animal__")) == 4
    assert expand("{a __animal__|a bird}") == ["a cat", "a dog", "a bird"]


def test_the_first_folder_wins(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    own = tmp_path_factory.mktemp("own")
    (own / "animal.txt").write_text("horse\n", encoding="utf-8")
    assert expand_prompt("__animal__", wildcards=[own, folder]) == ["horse"]
    assert len(expand_prompt("__thing__", wildcards=[own, folder])) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {red|green car", "opened and never closed"),
        ("a red|green} car", "closed and was not opened"),
        ("an __animl__", "no wildcard file animl.txt"),
        ("a __x/../../secret__", "no wildcard file"),
        ("a __circle__", "__circle__ → __round__ → __circle__"),
        ("__empty__", "no lines"),
        ("__binary__", "cannot be read"),
        ("{a|" * 30 + "b" + "}" * 30, "within more than 20"),
    ],
)
def test_what_cannot_be_is_said(text: str, message: str, folder: Path) -> None:
    (folder.parent / "secret.txt").write_text("secret\n", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match=message):
        expand_prompt(text, wildcards=[folder])


def test_a_missing_wildcard_names_those_that_are_there(folder: Path) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        expand_prompt("an __animl__", wildcards=[folder])
    assert "Did you mean __animal__?" in raised.value.hint
    assert "places/far_away" in raised.value.hint


def test_without_folders_the_users_own_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(folder.parent / "wildcards")
    monkeypatch.setenv("SDCPU_CONFIG", str(folder.parent / "config.toml"))
    assert expand_prompt("an __animal__") == ["an cat", "an dog"]


def test_too_many_are_counted_and_refused_in_no_time() -> None:
    many = "{a|b|c|d|e|f|g|h|i|j}" * 40
    began = time.monotonic()
    with pytest.raises(InvalidRequestError, match=r"10,000,000,000.* at most 1,000") as raised:
        expand_prompt(many)
    assert "--sample" in raised.value.hint
    sample = expand_prompt(many, sample=50, seed=3)
    assert time.monotonic() - began < 1
    assert len(set(sample)) == 50
    assert all(len(prompt) == 40 for prompt in sample)
    assert sample == expand_prompt(many, sample=50, seed=3)
    assert sample != expand_prompt(many, sample=50, seed=4)


def test_a_sample_larger_than_all_is_all() -> None:
    assert expand_prompt("{a|b}", sample=5) == ["a", "b"]
    with pytest.raises(InvalidRequestError, match="sample of 0"):
        expand_prompt("{a|b}", sample=0)


def test_every_number_is_a_prompt_of_its_own() -> None:
    template = parse_template("{a|{b|c} {d|e|f}} {x|y}")
    assert len({template.text(number) for number in range(template.count)}) == template.count == 14
    with pytest.raises(IndexError):
        template.text(14)
