"""Every error that sdcpu raises on purpose.

    SdcpuError
    ├── InvalidRequestError (also ValueError)
    │   └── RequestTooLargeError
    ├── SettingsError
    ├── ModelError
    │   ├── UnknownModelError
    │   ├── RegistryError
    │   ├── ModelFileError
    │   ├── ModelNotDownloadedError
    │   └── DownloadError
    │       ├── ChecksumError
    │       ├── NotEnoughDiskError
    │       └── GatedModelError
    ├── BuildError
    │   ├── BuildNotInstalledError
    │   └── BuildUnusableError
    ├── NotEnoughMemoryError (also MemoryError)
    ├── EngineError
    │   ├── ModelLoadError
    │   ├── GenerationError
    │   ├── EngineCrashedError
    │   └── EngineBusyError
    ├── RemoteError
    ├── JobQueueError
    │   ├── QueueFullError
    │   ├── QueueClosedError
    │   ├── QueueFolderError
    │   ├── JobNotFoundError
    │   └── JobConflictError
    └── CancelledError

An error crosses the border between the engine's process and ours as its code, message, hint and
details, never pickled: `error_from_code` builds it again on the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

Detail = str | int | float | bool | None
"""What a detail may be: a plain value that JSON can carry."""


class SdcpuError(Exception):
    """Something sdcpu could not do, said so that a person can act on it.

    >>> raise SdcpuError("The disk is full.", hint="Free 2 GB and try again.")
    Traceback (most recent call last):
    ...
    sdcpu.errors.SdcpuError: The disk is full.
    """

    code: ClassVar[str] = "error"
    """A stable word for programs: it stays the same when the message changes."""

    def __init__(
        self, message: str, *, hint: str = "", details: Mapping[str, Detail] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Detail] = dict(details or {})


class InvalidRequestError(SdcpuError, ValueError):
    """The request for a picture cannot be right: a size, a number or a file in it."""

    code = "invalid_request"


class RequestTooLargeError(InvalidRequestError):
    """The request asks for more pixels, pictures or steps than the queue allows."""

    code = "request_too_large"


class SettingsError(SdcpuError):
    """The configuration file or an environment variable cannot be used."""

    code = "settings"


class ModelError(SdcpuError):
    """Something is wrong with a model."""

    code = "model"


class UnknownModelError(ModelError):
    """No model, file or repository answers to this name."""

    code = "unknown_model"


class RegistryError(ModelError):
    """A models.toml cannot be read."""

    code = "registry"


class ModelFileError(ModelError):
    """A model file is damaged, unreadable or of a kind that is refused."""

    code = "model_file"


class ModelNotDownloadedError(ModelError):
    """The model is known, its files are not here, and downloading is not allowed."""

    code = "model_not_downloaded"


class DownloadError(ModelError):
    """A download did not finish."""

    code = "download"


class ChecksumError(DownloadError):
    """A downloaded file is not the file that the registry pins; it was deleted."""

    code = "checksum"


class NotEnoughDiskError(DownloadError):
    """The disk has no room for the download."""

    code = "not_enough_disk"


class GatedModelError(DownloadError):
    """The hub wants a login, or its licence accepted, before it hands the file out."""

    code = "gated_model"


class BuildError(SdcpuError):
    """Something is wrong with a build of the engine."""

    code = "build"


class BuildNotInstalledError(BuildError):
    """The engine build that was asked for is not installed."""

    code = "build_not_installed"


class BuildUnusableError(BuildError):
    """The engine build is installed and cannot be used on this machine."""

    code = "build_unusable"


class NotEnoughMemoryError(SdcpuError, MemoryError):
    """The plan does not fit the memory; decided before anything was loaded."""

    code = "not_enough_memory"


class EngineError(SdcpuError):
    """The engine could not do its work."""

    code = "engine"


class ModelLoadError(EngineError):
    """The engine refused the model's files."""

    code = "model_load"


class GenerationError(EngineError):
    """The engine gave up while it made a picture."""

    code = "generation"


class EngineCrashedError(EngineError):
    """The engine's process ended or stopped answering; the next call starts a new one."""

    code = "engine_crashed"


class EngineBusyError(EngineError):
    """The generator is making another picture at this moment."""

    code = "engine_busy"


class RemoteError(SdcpuError):
    """Another machine, which was asked to draw, cannot be reached or answers something strange."""

    code = "remote"


class JobQueueError(SdcpuError):
    """A queue of jobs could not do what was asked."""

    code = "job_queue"


class QueueFullError(JobQueueError):
    """As many jobs wait as the queue allows."""

    code = "queue_full"

    @property
    def retry_after_seconds(self) -> int:
        """Seconds after which there should be room again; at least 1."""
        return max(1, int(self.details.get("retry_after_seconds") or 1))


class QueueClosedError(JobQueueError):
    """The queue has not begun to work yet, or works no more."""

    code = "queue_closed"


class QueueFolderError(JobQueueError):
    """The queue's folder cannot be used: another process has it, or the disk is full or broken."""

    code = "queue_folder"


class JobNotFoundError(JobQueueError):
    """There is no job of this id, or no result of this number."""

    code = "job_not_found"


class JobConflictError(JobQueueError):
    """What is asked for does not go together with what the job is now."""

    code = "job_conflict"


class CancelledError(SdcpuError):
    """The work was cancelled, by the user or by leaving the generator early."""

    code = "cancelled"


def _all_errors(root: type[SdcpuError]) -> list[type[SdcpuError]]:
    return [root] + [error for child in root.__subclasses__() for error in _all_errors(child)]


def error_from_code(
    code: str, message: str, *, hint: str = "", details: Mapping[str, Detail] | None = None
) -> SdcpuError:
    """Build the error that a code stands for; an unknown code gives a plain SdcpuError.

    >>> error_from_code("cancelled", "Cancelled by the user.")
    CancelledError('Cancelled by the user.')
    """
    by_code = {error.code: error for error in _all_errors(SdcpuError)}
    return by_code.get(code, SdcpuError)(message, hint=hint, details=details)
