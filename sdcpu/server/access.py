"""Who may use the server: the token, and the names under which it may be addressed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from sdcpu.server.answers import Problem

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})
_TOKEN_BYTES = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who is let in.

    An address such as 192.168.1.7 is always a name of the server: a page elsewhere that wants to
    be taken for it (DNS rebinding) has to come under a name of its own.

    >>> Access(token="secret").problem("GET", {"host": "127.0.0.1:7860"}).status
    401
    >>> Access(token=None).problem("GET", {"host": "127.0.0.1:7860"})
    >>> Access(token=None).problem("GET", {"host": "elsewhere.example"}).status
    403
    """

    token: str | None = field(repr=False)
    """None: whoever reaches the server may use it."""
    names: frozenset[str] = frozenset()
    """Names of this machine, in small letters, besides localhost and its addresses."""

    def problem(self, method: str, headers: Mapping[str, str]) -> Problem | None:
        """What speaks against a request; its headers have names in small letters."""
        return (
            self._host_problem(headers)
            or _origin_problem(method, headers)
            or self._token_problem(headers)
        )

    def is_token(self, given: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return self.token is not None and secrets.compare_digest(
            given.encode(errors="replace"), self.token.encode()
        )

    def cookie(self, host: str, *, secure: bool) -> str:
        """The Set-Cookie header that stands for the token; it does not hold it."""
        parts = [f"{_cookie_name(host)}={self._cookie_value()}", "Path=/", "HttpOnly"]
        parts += ["SameSite=Strict", "Max-Age=31536000", *(["Secure"] if secure else [])]
        return "; ".join(parts)

    def _host_problem(self, headers: Mapping[str, str]) -> Problem | None:
        name = host_name(headers.get("host", ""))
        if name in LOCAL_NAMES | self.names or name.endswith(".localhost") or _is_address(name):
            return None
        return Problem(
            403,
            "host_not_allowed",
            "The server is not known by this name.",
            "Use its address, or start it with --name and the name.",
        )

    def _token_problem(self, headers: Mapping[str, str]) -> Problem | None:
        if self.token is None or self._has_token(headers):
            return None
        return Problem(
            401,
            "token_needed",
            "The token is missing or wrong.",
            "Send it as 'Authorization: Bearer TOKEN'; in a browser open /?token=TOKEN once.",
            {"WWW-Authenticate": 'Bearer realm="sdcpu"'},
        )

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        if scheme.lower() == "basic":
            return self.is_token(_password(given))
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(
                _cookie_name(headers.get("host", ""))
            )
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(
            cookie.value.encode(errors="replace"), self._cookie_value().encode()
        )

    def _cookie_value(self) -> str:
        return hashlib.sha256(f"sdcpu cookie {self.token}".encode()).hexdigest()


def new_token() -> str:
    """A token that cannot be guessed.

    >>> len(new_token())
    32
    """
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at this name or address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def machine_names() -> frozenset[str]:
    """What this machine calls itself, in small letters, also as its network may know it.

    >>> all(name == name.lower() for name in machine_names())
    True
    """
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0], f"{name.partition('.')[0]}.local"} - {""})


def addresses_of(host: str) -> list[str]:
    """Where a server that listens at `host` can be reached, this machine's own address first.

    >>> addresses_of("127.0.0.1"), addresses_of("0.0.0.0")[0]
    (['127.0.0.1'], '127.0.0.1')
    """
    if host not in ("0.0.0.0", "::", ""):  # noqa: S104 - a comparison
        return [host]
    import psutil

    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not is_loopback(address.address)
    ]
    return ["127.0.0.1", *found]


def host_name(host: str) -> str:
    """The name in a Host header, in small letters, without the port.

    >>> host_name("Studio.local:7860"), host_name("[::1]:7860")
    ('studio.local', '::1')
    """
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _origin_problem(method: str, headers: Mapping[str, str]) -> Problem | None:
    """Refuse what a page from elsewhere makes a browser send.

    Browsers name the page in Origin with everything that changes something and with sockets, and
    say in Sec-Fetch-Site how it is related to us; other programs send neither.
    """
    origin = headers.get("origin")
    same = origin is None or _place(origin) == _place(f"//{headers.get('host', '')}")
    site = headers.get("sec-fetch-site", "none")
    visit = method in SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
    if same and (site in ("same-origin", "none") or visit):
        return None
    return Problem(403, "origin_not_allowed", "A page from elsewhere may not use this server.", "")


def _place(url: str) -> tuple[str, int | None] | None:
    """Name and port; the port that goes without saying is None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, None if port in (80, 443) else port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _password(given: str) -> str:
    try:
        text = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def _cookie_name(host: str) -> str:
    """Cookies do not tell ports apart, so the name does: two servers keep out of each other."""
    place = _place(f"//{host}")
    return f"sdcpu-access-{(place and place[1]) or 80}"
