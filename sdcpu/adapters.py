"""What a request brings along to change a model: LoRAs, a ControlNet, embeddings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from sdcpu.catalog import Catalog
from sdcpu.control_nets import check_control_net, find_control_net
from sdcpu.embeddings import check_embedding, embeddings_in, prepared, used_in
from sdcpu.errors import InvalidRequestError, ModelFileError, UnknownModelError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.images import ImageRequest
from sdcpu.local_models import find_addition, local_addition, possible_path
from sdcpu.loras.fit import check_lora
from sdcpu.loras.origin import origin_of
from sdcpu.loras.tags import check_without_tags, take_tags
from sdcpu.models import Defaults, Model, ModelFile, family_defaults
from sdcpu.quality import FEW_STEPS
from sdcpu.settings import Settings
from sdcpu.weights import read_header

LORA_FOLDER = "loras"
"""The user's own LoRAs, beside models.toml: each is known by its file's name without the ending."""
EMBEDDING_FOLDER = "embeddings"
"""The user's own textual inversions, beside models.toml."""
LCM = "lcm"
"""As a LoRA's name: the one that makes the model's family draw in few steps."""
_ENDINGS = (".safetensors", ".gguf")
_VALUES = {
    "steps": "{} steps",
    "cfg_scale": "cfg {:g}",
    "sampler": "sampler {}",
    "scheduler": "scheduler {}",
}
"""What a LoRA's defaults may change, and how that is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapted:
    """A model with everything that a request adds to it."""

    model: Model
    """Its files hold the ControlNet and those of the LoRAs, with their weights."""
    request: ImageRequest
    """Names are spelled so that they mean the same from any folder."""
    additions: tuple[Model, ...] = ()
    """ControlNet and LoRAs, to be downloaded where they are not here."""
    notes: tuple[str, ...] = ()
    """What a person should hear beforehand."""


class Adapters:
    """Finds what requests name, for the models of one catalog."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._folder = settings.models_file.parent / LORA_FOLDER
        self._embedding_folder = settings.models_file.parent / EMBEDDING_FOLDER
        self._cache_folder = settings.cache_folder / EMBEDDING_FOLDER

    def join(self, model: Model, request: ImageRequest) -> Adapted:
        """Join to a model what a request names, as far as it is here checked to fit.

        Tags such as <lora:name:0.8> in the prompt are taken out of it.

        Raises:
            InvalidRequestError: a tag cannot be read, or stands in the negative prompt.
            UnknownModelError: nothing answers to a name.
            ModelFileError: a file is missing or damaged, or does not fit the model.
        """
        prompt, tagged = take_tags(request.prompt)
        check_without_tags(request.negative_prompt)
        request = replace(request, prompt=prompt, loras=(*request.loras, *tagged))
        adapted = Adapted(model=model, request=request)
        if request.control_net is not None:
            adapted = self._with_control_net(adapted, request.control_net)
        if request.loras:
            adapted = self._with_loras(adapted)
        if request.embeddings or self._embedding_folder.is_dir():
            adapted = self._with_embeddings(adapted)
        return adapted

    def find_lora(self, name: str, family: str = "") -> Model:
        """Find a LoRA: a known one, one of the user's folder, a file, or "owner/name/file".

        Raises:
            UnknownModelError: nothing answers to the name.
            ModelFileError: the path leads nowhere, or to a kind of file that is refused.
        """
        known = self._catalog.registry.models.get(name.lower())
        if name.lower() == LCM:
            known = self._lcm_lora(family)
        if known is not None:
            if known.kind != "lora":
                raise InvalidRequestError(
                    f"{known.name} is not a LoRA.", hint=f"Use it as a model: -m {known.name}."
                )
            return known
        own = [lora for lora in self.own_loras() if lora.name == name]
        if len(own) > 1:
            paths = " or ".join(str(lora.files[0].local_path) for lora in own)
            raise InvalidRequestError(f"{name} may be {paths}.", hint="Give the path of one.")
        return own[0] if own else self._file(name)

    def described(self, name: str) -> Model | None:
        """The LoRA that a person means with a name or a path; None where it is something else."""
        if name.lower() in self._catalog.registry.models:
            return None
        own = next((lora for lora in self.own_loras() if lora.name == name), None)
        if own is None and (path := possible_path(name)) is not None and path.is_file():
            own = local_addition(path, "lora", name=str(path.absolute()), summary="A LoRA")
            if origin_of(read_header(path)) is None:
                return None
        return described(own) if own else None

    def known_loras(self) -> list[Model]:
        """List the LoRAs that can be named: known ones, then the user's."""
        known = self._catalog.registry.models.values()
        return [model for model in known if model.kind == "lora"] + self.own_loras()

    def own_loras(self) -> list[Model]:
        """List the files in the user's folder, and in folders inside it."""
        paths = self._folder.rglob("*") if self._folder.is_dir() else ()
        return [
            local_addition(path, "lora", name=path.stem, summary="One of yours")
            for path in sorted(paths)
            if path.suffix.lower() in _ENDINGS and path.is_file()
        ]

    def _with_control_net(self, plain: Adapted, name: str) -> Adapted:
        """Take the ControlNet of this name, in place of the model's own."""
        model = plain.model
        control_net = find_control_net(name, self._catalog)
        for header in self._catalog.headers(control_net).values():
            check_control_net(header, model)
        others = (file for file in model.files if file.role is not FileRole.CONTROL_NET)
        return replace(
            plain,
            model=replace(model, files=(*others, *control_net.files)),
            additions=(*plain.additions, control_net),
        )

    def _with_loras(self, plain: Adapted) -> Adapted:
        model, request = plain.model, plain.request
        wanted: dict[str, tuple[Model, float]] = {}
        notes: list[str] = []
        for name, weight in request.loras:
            if name.lower() == LCM and _draws_in_few_steps(model):
                notes.append(
                    f"{model.name} draws in {model.defaults.steps} steps without an LCM-LoRA."
                )
                continue
            lora = self.find_lora(name, model.family)
            wanted[lora.name] = (lora, weight)  # named again, its last weight counts
        joined = model
        for lora, weight in wanted.values():
            if weight:
                joined, note = self._joined(joined, lora, weight, request)
                notes += [note] if note else []
        notes += self._fitting(joined, model)
        exact = tuple((name, weight) for name, (_, weight) in wanted.items())
        loras = (lora for lora, weight in wanted.values() if weight)
        return Adapted(
            model=joined,
            request=replace(request, loras=exact),
            additions=(*plain.additions, *loras),
            notes=(*plain.notes, *notes),
        )

    def _with_embeddings(self, plain: Adapted) -> Adapted:
        """Join the textual inversions whose names stand in the prompts."""
        model, request = plain.model, plain.request
        named = [Path(place).expanduser() for place in request.embeddings]
        given = [embedding for place in named for embedding in embeddings_in(place)]
        own = embeddings_in(self._embedding_folder) if self._embedding_folder.is_dir() else []
        used = used_in([*given, *own], (request.prompt, request.negative_prompt))
        notes = [
            f"The embedding {embedding.name} changes nothing: the prompt does not name it."
            for embedding in given
            if embedding not in used and any(embedding.path == path.absolute() for path in named)
        ]
        files = []
        for embedding in list(used):
            header = read_header(embedding.path)
            try:
                check_embedding(header, model.family)
            except InvalidRequestError as error:
                if embedding in given:
                    raise
                notes.append(f"{embedding.path.name} of your folder is not used: {error.message}")
                used.remove(embedding)
                continue
            path = prepared(header, self._cache_folder)
            size = path.stat().st_size
            files.append(
                ModelFile(role=FileRole.EMBEDDING, path=path.name, size=size, local_path=path)
            )
        return replace(
            plain,
            model=replace(model, files=(*model.files, *files)),
            request=replace(request, embeddings=tuple(embedding.path for embedding in used)),
            notes=(*plain.notes, *notes),
        )

    def _lcm_lora(self, family: str) -> Model:
        for model in self._catalog.registry.models.values():
            is_lcm = model.kind == "lora" and model.defaults.sampler == "lcm"
            if is_lcm and model.family == family:
                return model
        title = FAMILIES[family].title if family in FAMILIES else "this model"
        raise InvalidRequestError(
            f"No LCM-LoRA is known for {title}.",
            hint="There are some for Stable Diffusion 1.x and XL; other families have models of "
            "few steps: `sdcpu models`.",
        )

    def _file(self, name: str) -> Model:
        found = find_addition(name, "lora", self._catalog.registry)
        if found is not None:
            return found
        if "/" in name or name.lower().endswith(_ENDINGS):
            raise ModelFileError(
                f"There is no file {name!r} to use as a LoRA.", hint="Check the path."
            )
        names = [lora.name for lora in self.known_loras()]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        raise UnknownModelError(
            f"There is no LoRA named {name[:80]!r}.",
            hint=(f"Did you mean {' or '.join(close)}? " if close else "")
            + f"`sdcpu models --kind lora` lists those that have names; files in {self._folder} "
            "have theirs; a path works too.",
        )

    def _joined(
        self, model: Model, lora: Model, weight: float, request: ImageRequest
    ) -> tuple[Model, str]:
        """The model with a LoRA's files and wishes, and a note about them."""
        files = tuple(replace(file, weight=weight * file.weight) for file in lora.files)
        if any(_same_file(file, other) for file in files for other in model.files):
            return model, f"{model.name} has {lora.name} already: it is not applied twice."
        wishes = _wishes(lora)
        said = [
            _VALUES[name].format(value)
            for name, value in wishes.items()
            if name in _VALUES and getattr(request, name) is None
        ]
        joined = replace(
            model,
            files=(*model.files, *files),
            defaults=replace(model.defaults, **wishes),
            license=_licences(model, lora),
            gated=model.gated or lora.gated,
            draft=lora.draft if wishes else model.draft,
            best=lora.best if wishes else model.best,
        )
        return joined, f"{lora.name} wants {', '.join(said)}." if said else ""

    def _fitting(self, joined: Model, model: Model) -> Iterator[str]:
        """Check the LoRAs that are here; yield a note for each that is used in part."""
        headers = self._catalog.headers(joined)
        own = {file: header for file, header in headers.items() if file in model.files}
        for file, header in headers.items():
            if file.role is FileRole.LORA and file not in own:
                note = check_lora(header, model, own)
                if note:
                    yield note


def described(lora: Model) -> Model:
    """A LoRA of the user's with what its tensors tell of it, or what is wrong with them."""
    path = lora.files[0].local_path
    if lora.kind != "lora" or lora.source != "user" or path is None or lora.family != "lora":
        return lora
    try:
        origin = origin_of(read_header(path))
    except ModelFileError as error:
        return replace(lora, summary=error.message)
    if origin is None:
        return replace(lora, summary=f"{path} is not a LoRA")
    return replace(lora, summary=f"A LoRA for {origin.title}") if origin.title else lora


def _draws_in_few_steps(model: Model) -> bool:
    return 0 < model.defaults.steps <= FEW_STEPS and model.defaults.cfg_scale == 1


def _wishes(lora: Model) -> dict[str, Any]:
    """What a LoRA's entry says of steps and sampling, where it is not as its family has it."""
    usual = family_defaults(lora.family)
    return {
        field.name: getattr(lora.defaults, field.name)
        for field in fields(Defaults)
        if getattr(lora.defaults, field.name) != getattr(usual, field.name)
    }


def _licences(model: Model, lora: Model) -> str:
    if lora.license in ("unknown", model.license):
        return model.license
    return f"{model.license}; {lora.name}: {lora.license}"


def _same_file(file: ModelFile, other: ModelFile) -> bool:
    return replace(file, weight=1.0) == replace(other, weight=1.0)
