"""Styles: the shipped ones, the user's own, and words put around a prompt."""

from pathlib import Path

import pytest

from sdcpu.errors import InvalidRequestError, SettingsError
from sdcpu.images import ImageRequest
from sdcpu.styles import Style, apply_styles, load_styles, words_without_styles


def test_the_shipped_styles_are_complete() -> None:
    styles = load_styles()
    assert 15 <= len(styles) <= 25
    for style in styles.values():
        assert style.prompt.count("{prompt}") == 1, style.name
        assert style.negative_prompt, style.name
        assert 5 < len(style.summary) < 60, style.name
    assert len({style.prompt for style in styles.values()}) == len(styles)


def test_styles_are_put_around_one_another() -> None:
    styles = {
        "ink": Style(name="ink", prompt="ink drawing of {prompt}", negative_prompt="colour"),
        "sea": Style(name="sea", prompt="by the sea", negative_prompt="people"),
    }
    asked = ImageRequest(prompt="a cat", negative_prompt="dogs", styles=("ink", "sea"))
    styled = apply_styles(asked, styles)
    assert styled.prompt == "ink drawing of a cat, by the sea"
    assert styled.negative_prompt == "dogs, colour, people"
    assert apply_styles(styled, styles) == styled, "applied once"


def test_braces_of_a_prompt_are_no_place(tmp_path: Path) -> None:
    styles = {"ink": Style(name="ink", prompt="ink, {prompt}")}
    asked = ImageRequest(prompt="{prompt} {0} %s", styles=("ink", "ink"))
    assert apply_styles(asked, styles).prompt == "ink, ink, {prompt} {0} %s"


def test_the_users_styles_add_and_replace(tmp_path: Path) -> None:
    own = tmp_path / "styles.toml"
    own.write_text('[anime]\nprompt = "mine"\n[new]\nsummary = "New"\n', encoding="utf-8")
    styles = load_styles(own)
    assert styles["anime"].around("a cat") == "a cat, mine"
    assert styles["new"].around("a cat") == "a cat"
    assert list(styles)[: len(load_styles())] == list(load_styles())
    assert load_styles(tmp_path / "none.toml") == load_styles()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ink\n", "cannot be read"),
        ("ink = 3\n", "style ink: write"),
        ("[ink]\nprompts = 'x'\n", "unknown key 'prompts'; known: prompt, negative_prompt"),
        ("[ink]\nprompt = 3\n", "prompt must be text"),
    ],
)
def test_a_mistake_in_the_users_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    own = tmp_path / "styles.toml"
    own.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        load_styles(own)


def test_an_unknown_style_is_named_with_those_that_are_meant() -> None:
    with pytest.raises(InvalidRequestError, match="no style 'watercolor'") as raised:
        apply_styles(ImageRequest(prompt="a cat", styles=("watercolor",)), load_styles())
    assert "Did you mean watercolour" in raised.value.hint
    with pytest.raises(InvalidRequestError, match="must be a tuple"):
        ImageRequest(prompt="a cat", styles="anime")  # type: ignore[arg-type]


def test_damaged_words_in_a_recipe_are_passed_over() -> None:
    assert words_without_styles({"words": "a cat"}) == {}
    assert words_without_styles({"words": {"prompt": 3}}) == {}
