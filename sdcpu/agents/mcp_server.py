"""The MCP server: its tools with the words that a language model reads, on two transports."""

from __future__ import annotations

from typing import Any

from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from pydantic import AnyHttpUrl

from sdcpu.agents.mcp_access import OneToken
from sdcpu.agents.mcp_tools import Tools
from sdcpu.agents.picture_folder import PictureFolder
from sdcpu.agents.studio import Studio

_NO_ISSUER = AnyHttpUrl("http://localhost")
"""The SDK wants to know who gives out tokens; ours is told by the user, so nothing refers to it."""

_GENERATE = """Make a picture from words on the user's own computer, and save it as a PNG file.

Takes seconds to minutes, as its progress tells: the computer may have no graphics card. Leave \
width, height and steps out unless the user wants something else, since each model has its own. \
One picture is made at a time; for several, call again with another seed. {default}"""
_EDIT = """Make a picture from another one, and save it as a PNG file.

Without a mask the whole picture is painted over, as far from it as strength says; with a mask \
only its white part is. Describe what the finished picture shows, not the change. Models of \
list_models with edits_by_prompt are different: without mask and strength they do what the prompt \
says, such as "make it night". Takes as long as generate."""
_UPSCALE = """Make a picture 2 or 4 times as wide and high, with details that suit it, and save it \
as a PNG file. Takes seconds to minutes."""
_LIST_MODELS = """List the models that generate and edit can use: what each is good for, the size \
of its pictures, whether it is on this computer, and how many seconds a picture takes there, where \
that is known. {downloads}"""
_INSTRUCTIONS = """Pictures from words, made on the user's own computer by Stable Diffusion and \
relatives. Pictures are saved in {folder}; answers have a small preview and the path. Call \
list_models before you name a model."""


def make_server(
    studio: Studio, folder: PictureFolder, *, token: str | None = None
) -> MCPServer[Any]:
    """An MCP server with the tools generate, edit, upscale and list_models.

    With a token, clients that come over HTTP must show it.

    >>> import tempfile
    >>> make_server(Studio(), PictureFolder(tempfile.mkdtemp())).name
    'sdcpu'
    """
    from sdcpu import __version__

    server: MCPServer[Any] = MCPServer(
        "sdcpu",
        title="Pictures from text",
        version=__version__,
        instructions=_INSTRUCTIONS.format(folder=folder.path),
        log_level="WARNING",
        auth=AuthSettings(issuer_url=_NO_ISSUER, resource_server_url=None) if token else None,
        token_verifier=OneToken(token) if token else None,
    )
    tools = Tools(studio, folder)
    makes = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool, title, description, kind in (
        (tools.generate, "Make a picture", _GENERATE.format(default=_default(studio)), makes),
        (tools.edit, "Edit a picture", _EDIT, makes),
        (tools.upscale, "Enlarge a picture", _UPSCALE, makes),
        (
            tools.list_models,
            "List models",
            _LIST_MODELS.format(downloads=_downloads(studio)),
            reads,
        ),
    ):
        server.add_tool(tool, title=title, description=description, annotations=kind)
    return server


def _default(studio: Studio) -> str:
    name = studio.default_model
    return f"Without model, {name or 'the best one on this computer'} draws."


def _downloads(studio: Studio) -> str:
    if studio.allows_downloads:
        return "Models that are not here are downloaded when they are used, which may take long."
    return "Models that are not here cannot be used; the user fetches one with: sdcpu pull NAME"
