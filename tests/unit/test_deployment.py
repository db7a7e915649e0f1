"""The files that let the server run for good agree with the command that they run."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml

from sdcpu.cli.serve import PORT, serve

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def rehearse() -> ModuleType:
    """The program that does a Dockerfile's steps without Docker."""
    found = importlib.util.spec_from_file_location("rehearse", DEPLOY / "rehearse.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def dockerfile(rehearse: ModuleType) -> dict[str, str]:
    """The last of each instruction."""
    return dict(rehearse.read_dockerfile((DEPLOY / "Dockerfile").read_text(encoding="utf-8")))


def parsed(words: list[str]) -> dict[str, object]:
    """What the command makes of these arguments; UsageError for one that it does not have."""
    assert words[0] == "serve"
    with click.Context(serve) as context:
        serve.parse_args(context, words[1:])
        return dict(context.params)


def test_the_image_serves_every_network_at_the_port_it_names(rehearse: ModuleType) -> None:
    instructions = dockerfile(rehearse)
    options = parsed(re.findall(r'"([^"]*)"', instructions["CMD"]))
    assert options["host"] == "0.0.0.0"
    assert options["port"] == int(instructions["EXPOSE"]) == PORT
    assert str(options["folder"]).startswith(f"{instructions['VOLUME']}/")
    assert instructions["USER"] != "root"


def test_every_instruction_can_be_rehearsed(rehearse: ModuleType) -> None:
    done = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "USER", "WORKDIR"}
    assert set(dockerfile(rehearse)) <= done | rehearse._TOLD_ONLY


def test_variables_are_put_in_as_docker_does(rehearse: ModuleType) -> None:
    assert rehearse.filled("${HERE}/x:$THERE:$", {"HERE": "/a"}) == "/a/x::$"


def test_compose_gives_nothing_to_the_network_and_needs_a_token() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
        assert ":?" in service["environment"]["SDCPU_TOKEN"]
        assert service["build"]["dockerfile"] == "deploy/Dockerfile"
        assert service["cap_drop"] == ["ALL"]


def test_the_unit_starts_a_server_for_this_machine_alone() -> None:
    text = (DEPLOY / "sdcpu.service").read_text(encoding="utf-8")
    found = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert found
    program, *words = shlex.split(found[1])
    assert program.endswith("/sdcpu")
    options = parsed(words)
    assert (options["host"], options["port"]) == ("127.0.0.1", PORT)
