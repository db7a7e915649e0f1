"""`sdcpu mcp` as agents use it: the SDK's own client, a real child, the demo model."""

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

from tests.pictures import describe

PROMPT = "a red circle on a blue background"
SMALL = {"width": 128, "height": 128, "steps": 2, "seed": 3}
Progress = list[tuple[float, str | None]]


@pytest.fixture
def environment(demo_folder: Path, tmp_path: Path) -> dict[str, str]:
    own = {"SDCPU_CACHE": demo_folder, "SDCPU_STATE": tmp_path / "state"}
    own |= {"SDCPU_CONFIG": tmp_path / "config.toml", "HF_HUB_CACHE": tmp_path / "hub"}
    return {**os.environ, **{name: str(path) for name, path in own.items()}}


def arguments(folder: Path, *more: str) -> list[str]:
    return ["-m", "sdcpu", "mcp", "-m", "demo", "--threads", "2", "-o", str(folder), *more]


def words(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def shown(result: CallToolResult) -> Image.Image:
    (part,) = [part for part in result.content if isinstance(part, ImageContent)]
    return Image.open(io.BytesIO(base64.b64decode(part.data)))


def facts(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, words(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def into(told: Progress) -> Any:
    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert total == 100
        told.append((progress, message))

    return note


async def cancelled_in_the_middle(client: Client) -> None:
    """Give a picture up while its steps are made; the one that waits is drawn at once."""
    told: Progress = []
    call = client.call_tool(
        "generate", {"prompt": PROMPT, "steps": 1000}, progress_callback=into(told)
    )
    given_up = asyncio.create_task(call)
    while not any("left" in (message or "") for _, message in told):
        assert not given_up.done()
        await asyncio.sleep(0.02)
    waiting: Progress = []
    last = asyncio.create_task(
        client.call_tool("generate", {"prompt": PROMPT, **SMALL}, progress_callback=into(waiting))
    )
    while not waiting:
        await asyncio.sleep(0.02)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert describe(shown(await asyncio.wait_for(last, 60)))[:2] == ("blue", "red")
    assert waiting[0][1] == "waiting for another picture"


def test_over_standard_input_and_output(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "pictures"
    server = StdioServerParameters(
        command=sys.executable, args=arguments(folder), env=environment, cwd=Path.cwd()
    )

    async def talk() -> None:
        async with Client(server) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"generate", "edit", "upscale", "list_models"}
            for tool in tools.values():
                assert len(tool.description or "") > 80
                assert tool.output_schema is not None
                for name, schema in tool.input_schema["properties"].items():
                    assert schema.get("description"), f"{tool.name} {name}"

            told: Progress = []
            result = await client.call_tool(
                "generate", {"prompt": PROMPT, **SMALL}, progress_callback=into(told)
            )
            made = facts(result)
            assert (made["width"], made["seed"], made["model"]) == (128, 3, "demo")
            path = Path(made["path"])
            assert path.parent == folder
            assert str(path) in words(result)
            with Image.open(path) as picture:
                assert describe(picture)[:2] == ("blue", "red")
            assert describe(shown(result))[:2] == ("blue", "red")
            numbers = [number for number, _ in told]
            assert numbers == sorted(set(numbers))
            assert told[-1] == (100, f"saved as {path.name}")

            whole = await client.call_tool("generate", {"prompt": PROMPT, **SMALL, "show": "full"})
            assert shown(whole).format == "PNG"
            assert facts(whole)["path"] != made["path"], "nothing is overwritten"

            change = {"prompt": "a green circle on a blue background", "seed": 3, "strength": 0.9}
            edited = await client.call_tool("edit", {**change, "image_path": path.name})
            assert describe(shown(edited))[:2] == ("blue", "green")
            mask = io.BytesIO()
            half = Image.new("L", (128, 128))
            half.paste(255, (0, 0, 64, 128))
            half.save(mask, "PNG")
            data = {
                "image_base64": base64.b64encode(path.read_bytes()).decode(),
                "mask_base64": base64.b64encode(mask.getvalue()).decode(),
            }
            painted = await client.call_tool("edit", {**change, **data, "show": "none"})
            with Image.open(facts(painted)["path"]) as after, Image.open(path) as before:
                right = (64, 0, 128, 128)
                assert after.crop(right).tobytes() == before.crop(right).tobytes()
                assert after.tobytes() != before.tobytes()

            models = facts(await client.call_tool("list_models", {"only_here": True}))
            assert models["default"] == "demo"
            (demo,) = [model for model in models["models"] if model["name"] == "demo"]
            assert demo["here"]
            assert demo["seconds"] > 0

            for name, wrong, reason in (
                ("generate", {"prompt": PROMPT, "model": "/etc/passwd"}, "no model named"),
                ("generate", {"prompt": PROMPT, "model": "sd-turbo"}, "sdcpu pull sd-turbo"),
                ("generate", {"prompt": PROMPT, "width": 3}, "width"),
                (
                    "edit",
                    {"prompt": PROMPT, "image_path": "/etc/hostname"},
                    "outside of the folder",
                ),
                ("edit", {"prompt": PROMPT}, "Give image_path or image_base64"),
                ("upscale", {"image_path": path.name}, "sdcpu pull realesrgan-x4plus"),
            ):
                failed = await client.call_tool(name, wrong)
                assert failed.is_error
                assert reason in words(failed)

            await cancelled_in_the_middle(client)

    asyncio.run(asyncio.wait_for(talk(), 110))


@contextmanager
def http_server(folder: Path, environment: dict[str, str], *more: str) -> Iterator[str]:
    """A server over HTTP; its address."""
    program = [sys.executable, *arguments(folder, "--http", "--port", "0", *more)]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            yield process.stderr.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert process.stdout.read() == ""


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def test_over_http(tmp_path: Path, environment: dict[str, str]) -> None:
    async def talk(url: str) -> None:
        async with over_http(url, "secret") as client:
            result = await client.call_tool("generate", {"prompt": PROMPT, **SMALL})
            assert describe(shown(result))[:2] == ("blue", "red")
            await cancelled_in_the_middle(client)

    with http_server(tmp_path / "pictures", {**environment, "SDCPU_TOKEN": "secret"}) as url:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Bearer secret", "Host": "elsewhere.example"}, 421),
            ({"Authorization": "Bearer secret", "Origin": "http://elsewhere.example"}, 403),
        ):
            assert httpx2.post(url, json=ask, headers=headers).status_code == status
        asyncio.run(asyncio.wait_for(talk(url), 110))


def test_nothing_but_the_protocol_is_on_standard_output(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Also when a signal ends it in the middle of a picture, and then no engine stays behind."""
    with subprocess.Popen(
        [sys.executable, *arguments(tmp_path / "pictures")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
        hello["clientInfo"] = {"name": "test", "version": "1"}
        call = {"name": "generate", "arguments": {"prompt": PROMPT, "steps": 1000}}
        call["_meta"] = {"progressToken": 1}
        for message in (
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": call},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
        lines = []
        for line in process.stdout:
            lines.append(json.loads(line))
            if "step" in lines[-1].get("params", {}).get("message", ""):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        lines += [json.loads(line) for line in process.stdout]
    assert {line["jsonrpc"] for line in lines} == {"2.0"}
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
