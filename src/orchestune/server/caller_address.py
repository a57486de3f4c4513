"""The network address of a caller, also behind trusted proxies."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Network = IPv4Network | IPv6Network
_FORWARDED = b"x-forwarded-for"
_LOCAL = "local"  # a Unix socket has no address
_LOOPBACK = "127.0.0.1"
_IPV6_CALLER = 64  # prefix length assigned to one caller, who may use any address in it


def networks(text: str) -> tuple[Network, ...]:
    """Parse addresses and networks, separated by commas or spaces. Raises ValueError that names the invalid one."""
    return tuple(ip_network(part, strict=False) for part in text.replace(",", " ").split())


def caller_address(scope: Scope, proxies: Sequence[Network] = ()) -> str:
    """Return the client address of a request; `local` for a Unix socket.

    Any client can send `X-Forwarded-For`, so only entries added by `proxies` are trusted: the caller is the last
    address that does not belong to a trusted proxy.
    """
    client = scope.get("client")
    peer = str(client[0]) if client else _LOCAL
    if not proxies or not _trusted(peer, proxies):
        return peer
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED]
    for hop in reversed(",".join(values).split(",")):
        address = _parsed(hop.strip())
        if address is None:
            return peer
        peer = str(address)
        if not _trusted(peer, proxies):
            return peer
    return peer


def throttle_key(address: str) -> str:
    """Return the key by which failures are counted: the address, its /64 network for IPv6, one for all of loopback.

    Every process of a machine can use each of the 16 million loopback addresses.
    """
    parsed = _parsed(address)
    if parsed is not None and parsed.is_loopback:
        return _LOOPBACK
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_CALLER), strict=False))
    return address


def _trusted(address: str, proxies: Sequence[Network]) -> bool:
    if address == _LOCAL:
        return bool(proxies)
    parsed = _parsed(address)
    return parsed is not None and any(parsed.version == network.version and parsed in network for network in proxies)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
