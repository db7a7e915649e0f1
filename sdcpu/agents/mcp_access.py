"""Who may use the MCP server over HTTP: the names that it is called by, and the token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket

from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""As they stand in a Host header."""


class OneToken:
    """Accepts one token, which the user hands to those who may use the server."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the SDK is to know of who shows this token; None: refuse."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token=token, client_id="sdcpu", scopes=[])


def made_up_token() -> str:
    """A token that cannot be guessed, 24 random bytes."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def accepted_headers(host: str, port: int) -> TransportSecuritySettings:
    """The Host and Origin headers that are let in, so that no web page elsewhere drives the server.

    A page can make its own name lead here (DNS rebinding), but then that name is in the header.
    """
    names = list(LOOPBACK_NAMES)
    if not is_loopback(host):
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        names += [_written(host), name, short, f"{short}.local", *map(_written, _own_addresses())]
    hosts = [f"{name}:{port}" for name in names] + (names if port == 80 else [])
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{name}" for name in hosts],
    )


def _own_addresses() -> list[str]:
    import psutil

    found = (each for addresses in psutil.net_if_addrs().values() for each in addresses)
    kinds = (socket.AF_INET, socket.AF_INET6)
    return [each.address.partition("%")[0] for each in found if each.family in kinds]


def _written(address: str) -> str:
    """An address as it stands in a Host header."""
    return f"[{address}]" if ":" in address else address
