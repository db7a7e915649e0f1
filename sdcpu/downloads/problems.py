"""What can go wrong between the hub and this disk, in our words."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sdcpu.errors import (
    Detail,
    DownloadError,
    GatedModelError,
    ModelNotDownloadedError,
    NotEnoughDiskError,
    SdcpuError,
)

if TYPE_CHECKING:
    from sdcpu.models import ModelFile

_AGAIN = "Run the same command again: it goes on where it stopped."
_LATER = "Try again later: it goes on where it stopped."
_LOG_IN = "hf auth login (or set HF_TOKEN)"
_PASSING_STATUSES = {408, 416, 425, 429, 500, 502, 503, 504}
"""Answers after which the same question may get another one; 416 after the partial file is gone."""


class TruncationError(OSError):
    """The body ended before the file did."""


class OversizeError(OSError):
    """The body goes on after the file's end."""


class NotAHubError(OSError):
    """The answer is not one that a hub gives."""


def is_passing(error: Exception) -> bool:
    """Whether trying again makes sense."""
    import ssl

    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING_STATUSES
    lasting = (httpx2.UnsupportedProtocol, httpx2.ProxyError, httpx2.LocalProtocolError)
    causes = _chain(error)
    if isinstance(error, lasting) or any(
        isinstance(cause, ssl.SSLCertVerificationError) for cause in causes
    ):
        return False
    return isinstance(error, httpx2.TransportError | TruncationError)


def seconds_asked_for(error: Exception) -> float | None:
    """How long the hub asks to wait (Retry-After, or its rate limit's own header)."""
    from email.utils import parsedate_to_datetime

    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import parse_ratelimit_headers

    if not isinstance(error, HfHubHTTPError):
        return None
    headers: Mapping[str, str] = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if error.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def explain(error: Exception, file: ModelFile, url: str) -> SdcpuError:
    """Say what went wrong with a file, and what to do; the causes stay in the traceback only.

    Addresses are cut to their host: the store behind the hub signs them, which is as good as a key.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, SdcpuError):
        return error
    where = _host(url)
    if isinstance(error, HfHubHTTPError):
        return _refused(error, file, where)
    if isinstance(error, OfflineModeIsEnabled):
        return ModelNotDownloadedError(
            f"{file.path} is not here, and huggingface_hub is set to offline.",
            hint="Unset HF_HUB_OFFLINE to download it.",
            details=_details(file),
        )
    return _network_problem(error, file, where) or _disk_problem(error, file)


def _refused(error: Exception, file: ModelFile, where: str) -> SdcpuError:
    """An answer with a status that is no success."""
    from huggingface_hub import errors as hub

    assert isinstance(error, hub.HfHubHTTPError)  # noqa: S101 - for the type checker
    status = error.response.status_code
    details = _details(file, status=status)
    page = f"https://huggingface.co/{file.repository}"
    if isinstance(error, hub.GatedRepoError) or (file.gated and status in (401, 403)):
        return _gated(file, page, status)
    if isinstance(error, hub.RevisionNotFoundError):
        message = f"{file.repository} has no revision {file.revision!r}."
        hint = f"See {page}/branches, and correct the model's entry."
    elif isinstance(error, hub.RepositoryNotFoundError):
        message = f"There is no repository {file.repository} on {where}, or it is private."
        hint = f"Check the name; a private one needs a login: {_LOG_IN}."
    elif file.repository and status == 404:
        message = f"{file.repository} has no file {file.path}."
        hint = f"It may have been renamed: see {page}/tree/{file.revision}."
    elif status in _ANSWERS:
        text, hint = _ANSWERS[status]
        wait = seconds_asked_for(error)
        asked = f" and asks to wait {wait:.0f} seconds" if status == 429 and wait else ""
        message = f"{where} {text} ({status}){asked}: {file.path} was not downloaded."
    elif status >= 500:
        message = f"{where} has a problem of its own ({status}): {file.path} was not downloaded."
        hint = _LATER
    else:
        message = f"{where} answered with status {status}: {file.path} was not downloaded."
        hint = _AGAIN
    return DownloadError(message, hint=hint, details=details)


_ANSWERS = {
    401: (
        "does not accept the login",
        f"The token may be wrong or have expired: {_LOG_IN}, or unset HF_TOKEN to go without.",
    ),
    403: (
        "forbids this download",
        "The token may lack the right to read this repository, or a proxy may block the address.",
    ),
    404: ("has no such file", "It may have been moved: correct the model's entry."),
    416: (
        "cannot send the missing part of the file",
        "Run the same command again: it starts this file from the beginning.",
    ),
    429: (
        "limits how often it may be asked",
        f"Wait, then run the same command again. A login raises the limit: {_LOG_IN}.",
    ),
}


def _gated(file: ModelFile, page: str, status: int) -> GatedModelError:
    if status == 403:
        message = f"{file.repository} is gated, and this account has not been let in (403)."
        hint = f"Accept its licence at {page} with the account that the token belongs to."
    else:
        message = f"{file.repository} is gated: it is only for accounts that accepted its licence."
        hint = f"Accept it at {page}, then log in: {_LOG_IN}."
    return GatedModelError(message, hint=hint, details=_details(file, status=status))


def _network_problem(error: Exception, file: ModelFile, where: str) -> SdcpuError | None:
    import ssl

    import httpx2
    from huggingface_hub.errors import FileMetadataError, HFValidationError

    file_name = file.path
    network = f"Check the network connection. {_AGAIN}"
    address = "Check HF_ENDPOINT, or the url of the model's entry."
    # The first line that fits the error or one of its causes is taken.
    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
        (
            socket.gaierror,
            f"The name {where} cannot be looked up: is this machine connected?",
            network,
        ),
        (
            ssl.SSLCertVerificationError,
            f"The connection to {where} is not trusted: {error}.",
            "Check the clock, and the certificates of a proxy in between (SSL_CERT_FILE).",
        ),
        (
            httpx2.TimeoutException,
            f"{where} did not answer in time: {file_name} was not downloaded.",
            network,
        ),
        (
            httpx2.ProxyError,
            f"The proxy refuses the connection to {where}: {error}.",
            "Check HTTPS_PROXY and NO_PROXY.",
        ),
        (httpx2.ConnectError, f"Nothing answers at {where}: {error}.", network),
        (
            HFValidationError,
            f"{file.repository} cannot be the name of a repository: {error}",
            'Write it as "owner/name".',
        ),
        (
            (httpx2.UnsupportedProtocol, httpx2.InvalidURL, ValueError),
            f"The address of {file_name} cannot be used: {error}.",
            address,
        ),
        (
            httpx2.TooManyRedirects,
            f"{where} only sends from one address to the next: {file_name} was not found.",
            address,
        ),
        (
            (NotAHubError, FileMetadataError),
            f"{where} does not answer as a model hub does: {error}.",
            "Check HF_ENDPOINT, and whether a proxy or a login page of the network answers.",
        ),
        (
            OversizeError,
            f"{where} sends more for {file_name} than it announced: {error}. It was deleted.",
            _AGAIN,
        ),
        (
            (httpx2.HTTPError, TruncationError),
            f"The connection to {where} broke while {file_name} was downloaded: {error}.",
            network,
        ),
    )
    causes = list(_chain(error))
    for kinds, message, hint in table:
        if any(isinstance(cause, kinds) for cause in causes):
            return DownloadError(message, hint=hint, details=_details(file))
    return None


def _disk_problem(error: Exception, file: ModelFile) -> SdcpuError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughDiskError(
            f"The disk became full while {file.path} was downloaded.",
            hint=f"Free some space. {_AGAIN}",
            details=_details(file),
        )
    return DownloadError(
        f"{file.path} could not be written: {error}.",
        hint="Check the rights of the cache folder; HF_HOME moves the hub's cache.",
        details=_details(file),
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _details(file: ModelFile, **more: Detail) -> dict[str, Detail]:
    return {"file": file.path, "repository": file.repository, **more}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
