"""AutoGen's own agent with our tool, over a faked engine in a real process."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import CreateResult, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from sdcpu import engine_run
from sdcpu.agents import PictureFolder, PictureTool, Studio
from sdcpu.agents.picture_tool import PictureWords
from sdcpu.process import EngineProcess
from sdcpu.settings import load_settings
from tests.engines import command

KNOWS = ModelInfo(
    vision=False, function_calling=True, json_output=False, family="test", structured_output=False
)


@pytest.fixture
def tool(
    tmp_path: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PictureTool]:
    monkeypatch.setattr(engine_run, "EngineProcess", partial(EngineProcess, command=command()))
    settings = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    settings = replace(settings, cache_folder=demo_folder, state_folder=tmp_path / "state")
    with Studio(model="demo", settings=settings) as studio:
        yield PictureTool(studio, PictureFolder(tmp_path / "pictures"))


def painter(tool: PictureTool, *wishes: dict[str, Any]) -> AssistantAgent:
    """An agent whose language model asks for pictures, one after the other."""
    answers = [
        CreateResult(
            finish_reason="function_calls",
            content=[FunctionCall(id="1", name=tool.name, arguments=json.dumps(wish))],
            usage=RequestUsage(prompt_tokens=0, completion_tokens=0),
            cached=False,
        )
        for wish in wishes
    ]
    model = ReplayChatCompletionClient(answers, KNOWS)
    return AssistantAgent("painter", model_client=model, tools=[tool])


def executed(agent: AssistantAgent, token: CancellationToken | None = None) -> tuple[str, bool]:
    """What the tool answered, and whether that is an error."""
    result = asyncio.run(agent.run(task="Paint.", cancellation_token=token))
    (event,) = [event for event in result.messages if isinstance(event, ToolCallExecutionEvent)]
    return event.content[0].content, bool(event.content[0].is_error)


def test_an_agent_makes_a_picture(tool: PictureTool, tmp_path: Path) -> None:
    wish = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 7}
    answer, is_error = executed(painter(tool, wish))
    path = tmp_path / "pictures" / "a-red-circle-7.png"
    assert answer.startswith(f"Saved as {path} (64x64 pixels, demo, seed 7")
    assert path.is_file()
    assert not is_error


def test_what_cannot_be_is_told_to_the_agent(tool: PictureTool) -> None:
    for wish, reason in (
        ({"prompt": "a cat", "model": "/etc/passwd"}, "There is no model named"),
        ({"prompt": "a cat", "model": "sd-turbo"}, "sdcpu pull sd-turbo"),
        ({"prompt": "a cat", "steps": 0}, "The steps is 0"),
        ({"prompt": "killed"}, "The engine"),
    ):
        answer, is_error = executed(painter(tool, wish))
        assert is_error
        assert reason in answer


def test_the_schema_explains_every_parameter(tool: PictureTool) -> None:
    parameters = tool.schema["parameters"]
    assert parameters["required"] == ["prompt"]
    assert all(each["description"] for each in parameters["properties"].values())


def test_the_token_stops_the_engine(tool: PictureTool, tmp_path: Path) -> None:
    async def give_up() -> None:
        token = CancellationToken()
        agent = painter(tool, {"prompt": "slow"})
        task = asyncio.create_task(agent.run(task="Paint.", cancellation_token=token))
        await asyncio.sleep(0.5)
        token.cancel()
        # The engine is free again, although AutoGen's agent still waits for its tool (0.7.5).
        one = PictureWords(prompt="one", seed=1)
        await asyncio.wait_for(tool.run(one, CancellationToken()), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["one-1.png"]


def test_a_token_that_is_cancelled_already(tool: PictureTool) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(tool.run_json({"prompt": "one"}, token))
