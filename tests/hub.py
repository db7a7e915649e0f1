"""A model hub on loopback, which behaves like the real one and misbehaves when it is told to.

Like the real one it redirects to a store on another origin for the bytes of a large file, names the
file's sha256 in X-Linked-Etag, and refuses with an X-Error-Code.

>>> with HubServer() as hub:
...     hub.add_file("owner/name", "model.gguf", b"bytes")
...     hub.fault("cut", after=2)
...     # Settings(hub_endpoint=hub.endpoint, ...), download, then look at hub.requests
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""The commit that every branch of every repository is at."""
_CHUNK = 16 * 1024

FaultKind = Literal[
    "status",  # answer with `status` and `headers`, no file
    "cut",  # close the connection after `after` bytes of the body, although more were announced
    "reset",  # the same with a TCP reset
    "short",  # announce and send only `after` bytes
    "long",  # announce and send bytes after the end of the file
    "hang",  # fall silent for `seconds` after `after` bytes; before the headers when after is None
    "pause",  # wait after `after` bytes until `go_on` is called, then send the rest
    "slow",  # `seconds` between two pieces of 16 KiB
    "wrong_bytes",  # the right length, other content
    "ignore_range",  # the whole file, whatever part was asked for
    "starts_over",  # the same, and the connection is closed after `after` bytes
    "wrong_range",  # another part than the one that was asked for
    "stranger",  # 200 with a page, none of the hub's headers: a login page of some network
]


@dataclass(kw_only=True)
class HubFile:
    """A file that the hub has."""

    data: bytes
    gated: bool = False
    """Only for those who send the hub's token."""
    lfs: bool = True
    """Large: in the store, with its sha256 as etag. Else small, with an etag that is no sha256."""
    announced_size: int | None = None
    """The size the hub tells, where it is wrong about it."""
    announced_sha256: str | None = None
    """The sha256 the hub tells, where it is wrong about it."""

    @property
    def etag(self) -> str:
        if not self.lfs:
            return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()
        return self.announced_sha256 or hashlib.sha256(self.data).hexdigest()


@dataclass(kw_only=True)
class Request:
    """One request, as it is answered."""

    method: str
    path: str
    """Without the query."""
    start: int | None
    """The first byte that was asked for; None without a Range."""
    token: str | None
    """The token that was sent along."""
    status: int
    sent: int = 0
    """Bytes of the file that were sent; counted just before they are."""


@dataclass(kw_only=True)
class _Fault:
    kind: FaultKind
    path: str | None
    method: str
    times: int | None
    after: int | None
    skip: int
    status: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)


class HubServer:
    """The hub: a context manager; `endpoint` is what HF_ENDPOINT or Settings.hub_endpoint gets."""

    def __init__(self, *, token: str = "hf_the_right_one", accepted: bool = True) -> None:
        self.token = token
        """The token that opens gated files."""
        self.accepted = accepted
        """Whether the token's account has accepted the licences."""
        self.files: dict[tuple[str, str], HubFile] = {}
        self.plain: dict[str, HubFile] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.going_on = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._servers = [_Server(("127.0.0.1", 0), _Handler) for _ in ("hub", "store")]
        for server in self._servers:
            server.hub = self
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.005,), name="hub")
            for server in self._servers
        ]

    @property
    def endpoint(self) -> str:
        return self._address(0)

    @property
    def store(self) -> str:
        """The other origin, where the bytes of large files come from."""
        return self._address(1)

    def add_file(
        self,
        repository: str,
        path: str,
        data: bytes,
        *,
        gated: bool = False,
        lfs: bool = True,
        announced_size: int | None = None,
        announced_sha256: str | None = None,
    ) -> str:
        """Put a file into a repository; return its sha256."""
        self.files[repository, path] = HubFile(
            data=data,
            gated=gated,
            lfs=lfs,
            announced_size=announced_size,
            announced_sha256=announced_sha256,
        )
        return hashlib.sha256(data).hexdigest()

    def add_plain(self, path: str, data: bytes) -> str:
        """Put up a file that belongs to no repository, as on GitHub; return its address."""
        self.plain[f"/plain/{path}"] = HubFile(data=data)
        return f"{self.endpoint}/plain/{path}"

    def fault(
        self,
        kind: FaultKind,
        *,
        path: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
        times: int | None = 1,
        after: int | None = 0,
        skip: int = 0,
        status: int = 500,
        seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Misbehave `times` times (None: always) for files whose path ends with `path`.

        The first `skip` requests are answered well. A fault of the body waits for the request that
        sends bytes: the one to the store.
        """
        with self._lock:
            self._faults.append(
                _Fault(
                    kind=kind,
                    path=path,
                    method=method,
                    times=times,
                    after=after,
                    skip=skip,
                    status=status,
                    seconds=seconds,
                    headers=headers or {},
                )
            )

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def go_on(self) -> None:
        """End every "pause"."""
        self.going_on.set()

    def downloads(self, path: str = "") -> list[Request]:
        """The requests that were answered with bytes of a file whose path ends with `path`."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and request.sent and request.path.endswith(path)
        ]

    def take_fault(self, method: str, path: str, kinds: set[str]) -> _Fault | None:
        """The fault that this request meets, if any; used up by this."""
        with self._lock:
            for fault in self._faults:
                if (
                    fault.kind in kinds
                    and fault.method == method
                    and fault.times != 0
                    and path.endswith(fault.path or "")
                ):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.going_on.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.drop_connections()
            server.server_close()

    def _address(self, index: int) -> str:
        return f"http://127.0.0.1:{self._servers[index].server_port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what these tests are about; nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path in self.hub.plain:
            name = path
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name = match[3]
        elif path.startswith("/store/"):
            name = path.split("/", 5)[5]
        else:
            self._answer_api(path)
            return
        if path.startswith("/store/"):
            self._send_file(path, name, self._stored(path))
        elif fault := self.hub.take_fault(self.command, name, {"status", "stranger"}):
            status = 200 if fault.kind == "stranger" else fault.status
            self._send(path, status, fault.headers, b"<html>welcome to this network</html>")
        elif path in self.hub.plain:
            self._send_file(path, name, self.hub.plain[path])
        else:
            self._resolve(path)

    def _resolve(self, path: str) -> None:
        """Answer as the hub does for /{repository}/resolve/{revision}/{path}."""
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        assert match
        repository, revision, name = match.groups()
        known = {owner for owner, _ in self.hub.files}
        file = self.hub.files.get((repository, name))
        if repository not in known:
            # The real hub does not say whether a repository is private or not there at all.
            status = 404 if self._token() else 401
            self._refuse(path, status, "RepoNotFound", "Repository not found")
        elif revision not in ("main", COMMIT):
            self._refuse(path, 404, "RevisionNotFound", "Invalid rev id")
        elif file is None:
            self._refuse(path, 404, "EntryNotFound", "Entry not found")
        elif file.gated and self._token() is None:
            self._refuse(path, 401, "GatedRepo", "Access to this model is restricted.")
        elif self._token() not in (None, self.hub.token):
            self._refuse(path, 401, None, "Invalid credentials in Authorization header")
        elif file.gated and not self.hub.accepted:
            self._refuse(path, 403, "GatedRepo", "Ask for access first.")
        elif file.lfs:
            size = len(file.data) if file.announced_size is None else file.announced_size
            location = f"{self.hub.store}/store/{repository}/{file.etag}/{name}?signature=secret"
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(size),
                "X-Linked-Etag": f'"{file.etag}"',
                "Accept-Ranges": "bytes",
                "Location": location,
            }
            self._send(path, 302, headers, b"Found. Redirecting")
        else:
            self._send_file(path, name, file)

    def _stored(self, path: str) -> HubFile:
        _, _, owner, name, _, rest = path.split("/", 5)
        return self.hub.files[f"{owner}/{name}", rest]

    def _answer_api(self, path: str) -> None:
        """Answer the questions about a repository and about the account."""
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(/(revision|tree)/[^/]+)?/?", path)
        files = [name for owner, name in self.hub.files if match and owner == match[1]]
        if path == "/api/whoami-v2":
            self._send_json(path, {"name": "somebody", "type": "user"})
        elif not match or not files:
            self._refuse(path, 404, "RepoNotFound", "Repository not found")
        elif match[3] == "tree":
            entries = [(name, self.hub.files[match[1], name]) for name in files]
            tree = [
                {"type": "file", "path": name, "size": len(file.data), "oid": file.etag}
                for name, file in entries
            ]
            self._send_json(path, tree)
        else:
            siblings = [{"rfilename": name} for name in files]
            gated = any(self.hub.files[match[1], name].gated for name in files)
            info = {"id": match[1], "sha": COMMIT, "siblings": siblings, "private": False}
            self._send_json(path, {**info, "gated": "manual" if gated else False})

    def _send_json(self, path: str, value: object) -> None:
        self._send(path, 200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _refuse(self, path: str, status: int, code: str | None, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(path, status, headers, b"")

    def _send(self, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._record(path, status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, path: str, name: str, file: HubFile) -> None:
        kinds = {"cut", "reset", "short", "long", "hang", "pause", "slow"}
        kinds |= {"wrong_bytes", "ignore_range", "starts_over", "wrong_range"}
        fault = self.hub.take_fault(self.command, name, kinds)
        kind = fault.kind if fault else ""
        if fault and kind == "hang" and fault.after is None:
            self._record(path, 0)
            self.hub.closing.wait(fault.seconds)
            self.close_connection = True
            return
        data = bytes(255 - byte for byte in file.data) if kind == "wrong_bytes" else file.data
        start = None if kind in ("ignore_range", "starts_over") else self._start()
        if start is not None and start >= len(data):
            self._send(path, 416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            return
        if kind == "wrong_range":
            start = (start or 0) // 2
        end = self._end(len(data)) if start is not None else len(data)
        body = data[start or 0 : end]
        if kind == "long":
            body += b"and more"
        if fault and kind == "short":
            body = body[: fault.after]
        request = self._record(path, 200 if start is None else 206)
        self.send_response(request.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{file.etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, fault, request)
        if fault and kind == "hang":
            self.hub.closing.wait(fault.seconds)

    def _send_body(self, body: bytes, fault: _Fault | None, request: Request) -> None:
        kind = fault.kind if fault else ""
        breaks = fault is not None and kind in ("cut", "reset", "hang", "starts_over")
        stop = min(len(body), fault.after or 0) if fault and breaks else len(body)
        try:
            while request.sent < stop:
                piece = body[request.sent : min(request.sent + _CHUNK, stop)]
                request.sent += len(piece)
                self.wfile.write(piece)
                if fault and kind == "pause" and request.sent >= (fault.after or 0):
                    self.hub.going_on.wait(fault.seconds)
                if fault and kind == "slow" and self.hub.closing.wait(fault.seconds):
                    break
            if kind == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
        except OSError:
            pass  # the client has gone
        self.close_connection = self.close_connection or breaks

    def _record(self, path: str, status: int) -> Request:
        request = Request(
            method=self.command,
            path=path,
            start=self._start(),
            token=self._token(),
            status=status,
        )
        self.hub.record(request)
        return request

    def _token(self) -> str | None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if kind == "Bearer" else None

    def _start(self) -> int | None:
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else None

    def _end(self, size: int) -> int:
        match = re.fullmatch(r"bytes=\d+-(\d+)", self.headers.get("Range", ""))
        return min(int(match[1]) + 1, size) if match else size
