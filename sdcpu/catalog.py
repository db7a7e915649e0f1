"""The models of this machine: which are known, which are here, fetching and removing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.demo import make_demo_files, ready_demo_files, remove_demo_files
from sdcpu.downloads import download_model, locate_files, remove_model
from sdcpu.downloads.places import locate as locate_file
from sdcpu.errors import ModelFileError
from sdcpu.families import FileRole
from sdcpu.local_models import complete_model, resolve_model
from sdcpu.models import Model, ModelFile
from sdcpu.registry import Registry, load_registry
from sdcpu.settings import Settings
from sdcpu.weights import WeightsHeader, is_pickle, read_header

if TYPE_CHECKING:
    from sdcpu.events import DownloadProgress

Quantizer = Callable[[Path, Path, str], None]
"""Writes the model file `source` to `target` with its tensors in another type."""


class Catalog:
    """Known models and their files, wherever a file comes from: package, disk or hub."""

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        self._settings = settings
        self.registry = registry or load_registry(settings.models_file)
        self._headers: dict[tuple[Path, int, int], WeightsHeader] = {}

    def find(self, name: str | Path) -> Model:
        """Find a model by its name, a path on disk, or "owner/repository/file" on the hub.

        A file on the hub tells what it is only when it is here: until then its family is "".

        Raises:
            UnknownModelError: nothing answers to the name.
            ModelFileError: a file on disk cannot be used.
        """
        return self.completed(resolve_model(str(name), self.registry, self._file_is_here))

    def completed(self, model: Model) -> Model:
        """Let the header of a downloaded file say what the model is and which parts it needs."""
        path = None if model.family else self.locate(model)[model.files[0]]
        return complete_model(model, path, self.registry, self._file_is_here) if path else model

    def locate(self, model: Model) -> dict[ModelFile, Path | None]:
        """Say where each file is; None for what is not here. Looks at the disk only."""
        found = locate_files(_without_built_in(model), self._settings)
        made = ready_demo_files(self._settings.cache_folder)
        return {file: made.get(file.name) if file.built_in else found[file] for file in model.files}

    def is_here(self, model: Model) -> bool:
        """Whether nothing would have to be downloaded; what ships with the package always is.

        A model that can be had in several quantisations is here when one of them is.
        """
        return any(
            all(path is not None or file.built_in for file, path in self.locate(variant).items())
            for variant in model.variants or (model,)
        )

    def fetch(self, model: Model, quantize: Quantizer) -> Iterator[DownloadProgress]:
        """Download what is missing and make what ships with the package.

        Raises:
            DownloadError: see `sdcpu.downloads`; ModelNotDownloadedError when offline.
            ModelFileError: a file that should be on this disk is not.
        """
        for file in model.files:
            if file.local_path is not None and not file.local_path.exists():
                raise ModelFileError(
                    f"{model.name} needs {file.local_path}, which does not exist.",
                    hint="Correct the path in your models.toml.",
                )
        yield from download_model(_without_built_in(model), self._settings, quantize)
        if made_here := {file.name for file in model.files if file.built_in}:
            make_demo_files(self._settings.cache_folder, made_here)

    def remove(self, model: Model) -> int:
        """Delete the model's files that no other model here needs; return the bytes freed.

        They are the files of every quantisation, unless the name says one.
        """
        everything = replace(model, files=model.all_files)
        freed = remove_model(
            _without_built_in(everything), self._settings, keep=self._shared_files(model)
        )
        if model.built_in:
            freed += remove_demo_files(self._settings.cache_folder, model.name)
        return freed

    def headers(self, model: Model) -> dict[ModelFile, WeightsHeader]:
        """Read the headers of the files that are here.

        Raises:
            ModelFileError: a file is damaged.
        """
        return {
            file: self._header(path)
            for file, path in self.locate(model).items()
            if path is not None and not (file.role is FileRole.UPSCALER and is_pickle(path))
        }

    def _header(self, path: Path) -> WeightsHeader:
        """Read a header once, as long as the file does not change: it has a thousand tensors."""
        try:
            status = path.stat()
        except OSError:  # read_header says what is wrong
            return read_header(path)
        seen = (path, status.st_size, status.st_mtime_ns)
        if seen not in self._headers:
            self._headers[seen] = read_header(path)
        return self._headers[seen]

    def _file_is_here(self, file: ModelFile) -> bool:
        if file.built_in:
            return file.name in ready_demo_files(self._settings.cache_folder)
        return locate_file(file, self._settings) is not None

    def _shared_files(self, model: Model) -> set[ModelFile]:
        gone = {model.name, *(variant.name for variant in model.variants)}
        others = (
            variant
            for known in self.registry.models.values()
            for variant in known.variants or (known,)
            if variant.name not in gone
        )
        return {file for other in others if self.is_here(other) for file in other.files}


def _without_built_in(model: Model) -> Model:
    return replace(model, files=tuple(file for file in model.files if not file.built_in))
