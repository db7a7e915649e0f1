"""Pictures for agents: a server of the Model Context Protocol, and a tool for AutoGen.

`Studio` makes the pictures, `PictureFolder` keeps them; both need no other package. `make_server`
needs the MCP SDK and `PictureTool` AutoGen, which come with `pip install "sdcpu[agents]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sdcpu.agents.commission import Commission
from sdcpu.agents.extra import extra_needed
from sdcpu.agents.known_models import KnownModel, known_models
from sdcpu.agents.picture_folder import PictureFolder
from sdcpu.agents.studio import Studio, Waiting

if TYPE_CHECKING:
    from sdcpu.agents.mcp_server import make_server
    from sdcpu.agents.picture_tool import PictureTool

__all__ = [
    "Commission",
    "KnownModel",
    "PictureFolder",
    "PictureTool",
    "Studio",
    "Waiting",
    "known_models",
    "make_server",
]

_OF_THE_EXTRA = {"PictureTool": "picture_tool", "make_server": "mcp_server"}
"""Names that need the extra, and their modules."""


def __getattr__(name: str) -> object:
    """Import what needs the extra when it is first used."""
    if name not in _OF_THE_EXTRA:
        raise AttributeError(f"module 'sdcpu.agents' has no attribute {name!r}")
    with extra_needed():
        return getattr(import_module(f"sdcpu.agents.{_OF_THE_EXTRA[name]}"), name)
