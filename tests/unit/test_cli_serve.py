"""`sdcpu serve`: what its options mean; that it serves is in tests/native/test_server.py."""

import math
from dataclasses import replace
from typing import Any

import pytest

from sdcpu.cli import serve as module
from sdcpu.cli.commands import run
from sdcpu.cli.serve import _access, _addresses, _devices, _limits
from sdcpu.engine_choice import EngineChoice
from sdcpu.errors import SettingsError
from sdcpu.settings import load_settings

TOKEN = "correct horse battery"


def options(**given: Any) -> dict[str, Any]:
    usual = {"host": "127.0.0.1", "token": None, "names": (), "max_queue": None}
    return usual | {"keep_alive": None, "no_cache": False} | given


def test_this_machine_alone_needs_no_token() -> None:
    assert _access(options(), None).token is None
    assert _access(options(), TOKEN).token == TOKEN
    assert _access(options(token="another token"), TOKEN).token == "another token"


def test_a_network_needs_one() -> None:
    made_up = _access(options(host="0.0.0.0"), None).token
    assert made_up is not None
    assert len(made_up) >= 32
    assert _access(options(host="0.0.0.0"), TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "short", "with a\nline"])
def test_bad_tokens_are_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="token"):
        _access(options(token=token), None)


def test_names_are_added() -> None:
    names = _access(options(host="studio.lan", names=("Pictures.Example",)), None).names
    assert {"studio.lan", "pictures.example"} <= names


def test_limits_of_the_queue() -> None:
    limits = _limits(options(max_queue=3, keep_alive=math.inf, no_cache=True))
    assert (limits.most_waiting, limits.cached_results) == (3, 0)
    assert limits.keep_alive_seconds == math.inf
    assert _limits(options()).cached_results > 0


def test_each_card_draws_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineChoice, "devices", lambda _self: (0, 1))
    settings = load_settings({"SDCPU_CONFIG": "/nowhere.toml"})
    assert _devices(settings, None) == (0, 1)
    assert _devices(settings, 0) == ()
    assert _devices(replace(settings, device=1), None) == ()


def test_addresses() -> None:
    assert _addresses("127.0.0.1", 80, None) == ["http://127.0.0.1:80/"]
    assert _addresses("::1", 80, "a b&c") == ["http://[::1]:80/?token=a%20b%26c"]


def test_the_token_of_the_environment_is_not_shown() -> None:
    settings = load_settings({"SDCPU_TOKEN": TOKEN, "SDCPU_CONFIG": "/nowhere.toml"})
    assert settings.server_token == TOKEN
    assert TOKEN not in repr(settings)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "uvicorn" else name)
    assert run(["serve", "--port", "0"]) == 1
    assert 'pip install "sdcpu[server]"' in capsys.readouterr().err
