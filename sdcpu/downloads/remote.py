"""What the other side says about a file before it is downloaded."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.downloads import places
from sdcpu.downloads.checksums import is_sha256
from sdcpu.downloads.problems import NotAHubError
from sdcpu.errors import ChecksumError

if TYPE_CHECKING:
    import httpx2

    from sdcpu.models import ModelFile
    from sdcpu.settings import Settings

_PLAIN_NAME = re.compile(r"[\w-]+")
"""An etag becomes the name of a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A file that can be downloaded now, and where it will lie."""

    file: ModelFile
    url: str
    """Asked anew by each attempt: what it redirects to is signed, and expires."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The login is among them, so they are never shown."""
    size: int | None
    """Bytes; None where the server does not say."""
    sha256: str | None
    """What the content must hash to; None where neither the registry nor the hub knows it."""
    commit: str | None = None
    """The repository's commit; None for a file that is not on the hub."""
    target: Path
    partial: Path
    """What has arrived so far; the same name in every run."""
    lock: Path

    @property
    def missing(self) -> int:
        """Bytes still to come."""
        if self.target.is_file():
            return 0
        return max(0, (self.size or self.file.size or 0) - places.size_of(self.partial))


def describe(file: ModelFile, settings: Settings, timeout: float) -> Remote:
    """Ask for the size and the checksum of a file.

    Raises:
        ChecksumError: the hub has another file than the one that is pinned.
        Exception: what httpx2 and huggingface_hub raise; see `problems.explain`.
    """
    return (
        _describe_plain(file, settings, timeout)
        if file.url
        else _describe_on_hub(file, settings, timeout)
    )


def _describe_on_hub(file: ModelFile, settings: Settings, timeout: float) -> Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    from sdcpu import __version__

    repository = file.repository or ""
    endpoint = settings.hub_endpoint.rstrip("/") if settings.hub_endpoint else None
    url = hf_hub_url(repository, file.path, revision=file.revision, endpoint=endpoint)
    # token=None: huggingface_hub looks for a login itself (HF_TOKEN, the file that `hf auth login`
    # writes), unless HF_HUB_DISABLE_IMPLICIT_TOKEN forbids it.
    headers = build_hf_headers(
        token=settings.hub_token, library_name="sdcpu", library_version=__version__
    )
    found = get_hf_file_metadata(url, headers=headers, timeout=timeout, endpoint=endpoint)
    if not found.commit_hash or not found.etag or not _PLAIN_NAME.fullmatch(found.etag):
        raise NotAHubError("the headers X-Repo-Commit and ETag are missing")
    announced = found.etag if is_sha256(found.etag) else None
    if file.sha256 and announced and announced != file.sha256:
        raise ChecksumError(
            f"{repository} has another {file.path} than the one sdcpu knows: "
            f"expected sha256 {file.sha256}, the hub has {announced}. Nothing was downloaded.",
            hint="It was replaced there. If you trust the new one, pin it in your models.toml.",
            details={"file": file.path, "expected": file.sha256, "got": announced},
        )
    blobs = places.repository_folder(repository, settings) / "blobs"
    return Remote(
        file=file,
        url=hf_hub_url(repository, file.path, revision=found.commit_hash, endpoint=endpoint),
        headers=headers,
        size=found.size,
        sha256=file.sha256 or announced,
        commit=found.commit_hash,
        target=blobs / found.etag,
        partial=blobs / places.partial_name(file, found.etag),
        lock=places.lock_path(repository, found.etag, settings),
    )


def _describe_plain(file: ModelFile, settings: Settings, timeout: float) -> Remote:
    """Ask for one byte: unlike HEAD, a server that hands files out has to understand it."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status

    url = file.url or ""
    ask = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=ask, timeout=timeout) as response:
        hf_raise_for_status(response)
        size, etag = whole_size(response), response.headers.get("ETag", "")
    target = places.plain_path(file, settings)
    version = hashlib.sha256((file.sha256 or etag).encode()).hexdigest()[:8]
    return Remote(
        file=file,
        url=url,
        size=size,
        sha256=file.sha256,
        target=target,
        partial=target.with_name(f"{target.name}.{version}.incomplete"),
        lock=target.with_name(f"{target.name}.lock"),
    )


def whole_size(response: httpx2.Response) -> int | None:
    """The size of the whole file that this answer gives, or gives a part of."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code != 206:
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


_quiet_lock = threading.Lock()
_quiet_users = 0
_loud: dict[str, object] = {}


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Let huggingface_hub print, report and accelerate nothing while we use it.

    - Its warnings would appear between our lines; what matters comes back as our own errors.
    - Its user agent would ask huggingface.co for a list of other programs (`_detect_agent.py`),
      also where HF_ENDPOINT names another hub: nothing is asked that the user did not ask for.
    - Its Xet client is left out: it is a second, native protocol without resume after a break,
      while the hub serves every file over plain HTTP as well, where each failure can be tested.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging as hub_logging

    global _quiet_users  # noqa: PLW0603 - one library, one switch, however many threads
    with _quiet_lock:
        if _quiet_users == 0:
            _loud.update({name: getattr(constants, name) for name in _QUIET})
            _loud["verbosity"] = hub_logging.get_verbosity()
            for name in _QUIET:
                setattr(constants, name, True)
            hub_logging.set_verbosity(logging.CRITICAL)
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                hub_logging.set_verbosity(int(str(_loud.pop("verbosity"))))
                for name in _QUIET:
                    setattr(constants, name, _loud.pop(name))


_QUIET = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET")
