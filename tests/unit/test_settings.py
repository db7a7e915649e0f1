"""Settings: what wins over what, and what a mistake says."""

from pathlib import Path

import pytest

from sdcpu.errors import SettingsError
from sdcpu.settings import Settings, load_settings, parse_size


def settings_from(tmp_path: Path, text: str = "", **variables: str) -> Settings:
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    return load_settings({"SDCPU_CONFIG": str(config), **variables})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, 'threads = 3\nmemory_limit = "2 GiB"', SDCPU_THREADS="5")
    assert settings.threads == 5
    assert settings.memory_limit == 2 * 1024**3


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings({"SDCPU_CONFIG": str(tmp_path / "none.toml")})
    assert (settings.threads, settings.build, settings.offline) == (None, "auto", False)
    assert settings.models_file == tmp_path / "models.toml"


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"HF_HUB_OFFLINE": "1", "SDCPU_OFFLINE": "0"}, False),
        ({"SDCPU_OFFLINE": "yes"}, True),
        ({}, False),
    ],
)
def test_offline(tmp_path: Path, variables: dict[str, str], offline: bool) -> None:
    assert settings_from(tmp_path, **variables).offline is offline


def test_the_hub_cache_is_where_the_hub_client_has_it(tmp_path: Path) -> None:
    assert settings_from(tmp_path, HF_HOME="/h").hub_cache == Path("/h/hub")
    assert settings_from(tmp_path, HF_HOME="/h", HF_HUB_CACHE="/c").hub_cache == Path("/c")


def test_the_token_is_never_shown(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, HF_TOKEN="hf_secret")
    assert settings.hub_token == "hf_secret"
    assert "hf_secret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "variables", "words"),
    [
        ("threads = ", {}, ["config.toml", "cannot be read"]),
        ("thread = 4", {}, ["unknown key 'thread'"]),
        ("threads = 0", {}, ["'threads'", "0"]),
        ('threads = "many"', {}, ["'threads'", "many"]),
        ('offline = "yes"', {}, ["'offline'"]),
        ('memory_limit = "much"', {}, ["'memory_limit'", "not a size"]),
        ("", {"SDCPU_THREADS": "-2"}, ["SDCPU_THREADS", "-2"]),
        ("", {"SDCPU_OFFLINE": "perhaps"}, ["SDCPU_OFFLINE", "perhaps"]),
        ("", {"SDCPU_MEMORY_LIMIT": "x"}, ["SDCPU_MEMORY_LIMIT"]),
    ],
)
def test_a_mistake_names_its_place(
    tmp_path: Path, text: str, variables: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(tmp_path, text, **variables)
    assert all(word in caught.value.message for word in words)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1k", 1024),
        ("1 kB", 1000),
        ("4GiB", 4 * 1024**3),
        ("0.5 g", 2**29),
        ("7", 7),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1 GB", "1 XB", "1,5 GB"])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_size(text)
