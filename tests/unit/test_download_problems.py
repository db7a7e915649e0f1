"""What is said about failures that a hub on loopback cannot bring about."""

from __future__ import annotations

import socket
import ssl

import httpx2
import pytest

from sdcpu.downloads.problems import explain, is_passing
from sdcpu.errors import DownloadError
from sdcpu.families import FileRole
from sdcpu.models import ModelFile

FILE = ModelFile(role=FileRole.MODEL, repository="owner/name", path="model.gguf")
URL = "https://huggingface.co/owner/name/resolve/main/model.gguf?signature=secret"


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passing", "words"),
    [
        (
            caused_by(httpx2.ConnectError("x"), socket.gaierror(-2, "Name not known")),
            True,
            ("huggingface.co cannot be looked up", "network"),
        ),
        (
            caused_by(httpx2.ConnectError("x"), ssl.SSLCertVerificationError("self-signed")),
            False,
            ("not trusted", "SSL_CERT_FILE"),
        ),
        (
            caused_by(httpx2.ReadError("x"), ssl.SSLEOFError("EOF in violation of protocol")),
            True,
            ("broke", "goes on where it stopped"),
        ),
        (httpx2.ProxyError("407 Proxy Authentication Required"), False, ("407", "HTTPS_PROXY")),
        (httpx2.ConnectTimeout("x"), True, ("did not answer in time",)),
        (httpx2.PoolTimeout("x"), True, ("did not answer in time",)),
        (httpx2.TooManyRedirects("x"), False, ("one address to the next",)),
        (httpx2.RemoteProtocolError("peer closed"), True, ("broke", "peer closed")),
        (PermissionError(13, "Permission denied"), False, ("could not be written", "rights")),
    ],
)
def test_a_failure_in_words(error: Exception, passing: bool, words: tuple[str, ...]) -> None:
    assert is_passing(error) == passing
    told = explain(error, FILE, URL)
    said = f"{told.message} {told.hint}"
    assert type(told) is DownloadError
    assert [word for word in words if word not in said] == []
    assert "secret" not in said
    assert told.details == {"file": "model.gguf", "repository": "owner/name"}
