"""Which models and files a request may name: known ones, and what lies in chosen folders.

A request comes from elsewhere. Nothing in it makes this machine open another file, or download one
unless that is allowed; and it cannot be used to find out which files there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdcpu.adapters import LCM, Adapters
from sdcpu.catalog import Catalog
from sdcpu.errors import InvalidRequestError, UnknownModelError
from sdcpu.local_models import model_on_hub
from sdcpu.loras.tags import take_tags

_HUB_FILE = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*/[^\\:]+")


class AllowedNames:
    """What requests may name."""

    def __init__(
        self,
        catalog: Catalog,
        adapters: Adapters,
        *,
        folders: Sequence[Path],
        allow_downloads: bool,
        default_model: str | None,
    ) -> None:
        self._catalog = catalog
        self._adapters = adapters
        self._folders = [folder.resolve() for folder in folders]
        self._allow_downloads = allow_downloads
        self._default_model = default_model

    def model(self, name: str) -> str:
        """The name of a model, as a generator takes it.

        Raises:
            UnknownModelError: it is not known, and neither a file in an allowed folder nor one on
                the hub that may be downloaded.
        """
        if name == self._default_model:
            return name
        return self._named(name, name.lower().partition(":")[0] in self._known, "model")

    def upscaler(self, name: str) -> str:
        """The name of an upscaler; UnknownModelError as for a model."""
        return self._named(name, name.lower() in self._known, "upscaler")

    def lora(self, name: str) -> str:
        """The name of a LoRA; UnknownModelError as for a model."""
        own = any(lora.name == name for lora in self._adapters.own_loras())
        known = own or name.lower() == LCM or name.lower() in self._known
        return self._named(name, known, "LoRA")

    def control_net(self, name: str) -> str:
        """The name of a ControlNet; UnknownModelError as for a model."""
        return self._named(name, name.lower() in self._known, "ControlNet")

    def file(self, name: str, what: str) -> Path:
        """A file in an allowed folder.

        Raises:
            InvalidRequestError: it is in none, or is not there.
        """
        path = self._inside(name)
        if path is None or not path.is_file():  # a pipe would be waited for
            raise InvalidRequestError(
                f"{name[:200]!r} cannot be used as {what}.",
                hint="Upload a picture, or name a result of another job."
                if not self._folders
                else "Name an uploaded picture, a result, or a file in an allowed folder.",
            )
        return path

    def in_request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request whose models and files all may be named, spelled as a generator takes them.

        The pictures in it are left as they are.

        Raises:
            UnknownModelError: as above.
            InvalidRequestError: an embedding in no allowed folder, or a tag that cannot be read.
        """
        allowed = dict(request)
        prompt = request.get("prompt")
        if isinstance(prompt, str):
            for name, _ in take_tags(prompt)[1]:
                self._check_tag(name)
        if isinstance(request.get("loras"), list | tuple):
            allowed["loras"] = [self._lora_pair(pair) for pair in request["loras"]]
        if isinstance(request.get("embeddings"), list | tuple):
            files = (self.file(str(each), "an embedding") for each in request["embeddings"])
            allowed["embeddings"] = [str(file) for file in files]
        for field, named in (("control_net", self.control_net), ("upscaler", self.upscaler)):
            if isinstance(request.get(field), str):
                allowed[field] = named(request[field])
        return allowed

    @property
    def _known(self) -> Mapping[str, object]:
        return self._catalog.registry.models

    def _lora_pair(self, pair: object) -> object:
        match pair:
            case [str(name), weight]:
                return [self.lora(name), weight]
        return pair  # what is no pair is refused with the request itself

    def _check_tag(self, name: str) -> None:
        """A tag stays in the prompt, so that it must mean the same to whoever reads it."""
        if self.lora(name) != name:
            raise UnknownModelError(
                f"There is no LoRA named {name[:80]!r}.",
                hint="Write the whole path of a file, without links.",
            )

    def _named(self, name: str, known: bool, what: str) -> str:
        if known:
            return name
        path = self._inside(name)
        if path is not None and (path.is_file() or path.is_dir()):
            return str(path)
        if self._allow_downloads and _HUB_FILE.fullmatch(name) and not _is_file(name):
            model_on_hub(name, self._catalog.registry)
            return name
        hint = "Choose a known one."
        if _HUB_FILE.fullmatch(name) and not self._allow_downloads:
            hint = "Choose a known one: downloads by request are not allowed here."
        raise UnknownModelError(f"There is no {what} named {name[:80]!r}.", hint=hint)

    def _inside(self, name: str) -> Path | None:
        """The path that a name spells, links followed, if it leads into an allowed folder."""
        if not self._folders:
            return None
        try:
            path = Path(name)
            resolved = path.resolve() if path.is_absolute() else None
        except (OSError, ValueError, RuntimeError):
            return None
        if resolved is None or not any(map(resolved.is_relative_to, self._folders)):
            return None
        return resolved


def _is_file(name: str) -> bool:
    """Whether a text that looks like an address spells a file of this machine."""
    try:
        return Path(name).exists() or Path(name.partition("/")[0]).exists()
    except (OSError, ValueError):
        return True
