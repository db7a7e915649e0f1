"""What the server takes at most, so that no client can use up the machine."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimits:
    """Bounds of requests and uploads; those of pictures and of the queue are `QueueLimits`.

    >>> ServerLimits(most_upload_bytes=5 * MIB).body_bytes("/api/v1/uploads") >= 5 * MIB
    True
    """

    most_json_bytes: int = 1 * MIB
    """Of a request that carries no pictures."""
    most_upload_bytes: int = 20 * MIB
    """Of one uploaded picture, as a file."""
    most_body_bytes: int = 40 * MIB
    """Of a request that carries pictures, all together."""
    most_upload_pixels: int = 40_000_000
    """Width times height of one uploaded picture."""
    upload_seconds: float = 20.0
    """For decoding one uploaded picture."""
    upload_memory: int = 1536 * MIB
    """Address space of the process that decodes it."""
    most_uploads: int = 500
    """Kept at once; the oldest that no waiting job needs are deleted."""
    header_seconds: float = 15.0
    """Until a request's headers are here."""
    body_seconds: float = 120.0
    """Until its body is here."""
    most_requests: int = 200
    """In work at once, streams included; more are answered 503."""
    most_streams: int = 64
    """Event streams and sockets open at once."""
    wait_seconds: float = 3600.0
    """How long an answer that holds the finished picture is waited for."""

    def body_bytes(self, path: str) -> int:
        """The most bytes that a request to this path may carry."""
        if path == "/api/v1/uploads":
            return self.most_upload_bytes + 64 * KIB  # what multipart puts around the file
        if path.startswith(("/v1/images/", "/sdapi/")):
            return self.most_body_bytes
        return self.most_json_bytes
