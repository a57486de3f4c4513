"""The settings of an identity provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from orchestune.domain.access.claims import ClaimRules


@dataclass(frozen=True)
class OidcSettings:
    """An identity provider, and this server as a client of it."""

    issuer: str
    client_id: str
    rules: ClaimRules
    client_secret: str = field(default="", repr=False)
    """empty: a public client"""
    name: str = ""
    """on the sign-in page"""
    scopes: str = "openid profile email"


def is_safe_address(address: str) -> bool:
    """Return True if requests to the address are encrypted, or stay on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
