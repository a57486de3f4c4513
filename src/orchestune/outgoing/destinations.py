"""Restrictions on outgoing addresses: a server can reach addresses that its users must not.

A host name may resolve to another address between check and connect (DNS rebinding), so callers resolve once with
`addresses` and connect to one of the returned addresses, never to the name.
"""

from __future__ import annotations

import ipaddress
import socket
import string
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from orchestune.errors import BadInput, Denied, Unreachable

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
"""on machines of Azure the host's own service, with the settings of its extensions: no public address in fact"""
_INTERNET = ipaddress.ip_network("2000::/3")
"""all public IPv6 addresses; other ranges are site-local, translators or reserved"""
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Destination:
    """Destination of a URL."""

    secure: bool
    host: str
    port: int
    path: str
    """includes the query, percent-encoded; begins with a slash"""


@dataclass(frozen=True)
class AllowedDestinations:
    """Allowed destinations: public addresses, and configured host names and networks.

    A shared server can reach more than its users may: other services of its machine, the private network, and a cloud's
    metadata service, which issues credentials. A server of one user may call any address.
    """

    everywhere: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    def check(self, url: str, key: str) -> None:
        """Check a URL without DNS lookup. Raises BadInput and Denied."""
        host = parse(url, key).host
        literal = _parse_literal(host)
        if literal is not None and not self._allows(host, literal):
            raise _denied(host)

    def addresses(self, target: Destination) -> Sequence[tuple[int, tuple[object, ...]]]:
        """Return family and socket address of the allowed addresses of a host, in the order in which to try them.

        Callers must connect to one of these, not to the name, which may resolve differently later. Raises Denied and
        Unreachable.
        """
        try:
            resolved = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unreachable(
                f"cannot resolve the host {target.host}: {getattr(exc, 'strerror', None) or exc}"
            ) from exc
        allowed = [
            (family, address)
            for family, _, _, _, address in resolved
            if self._allows(target.host, ipaddress.ip_address(str(address[0]).partition("%")[0]))
        ]
        if not allowed:
            raise _denied(target.host)
        return allowed

    def _allows(self, host: str, address: _Address) -> bool:
        if self.everywhere or host.lower() in self.hosts:
            return True
        unwrapped = _unwrap(address)
        if any(unwrapped in network for network in self.networks if network.version == unwrapped.version):
            return True
        if unwrapped == _WIRE_SERVER:
            return False
        return unwrapped.is_global and not unwrapped.is_multicast and (unwrapped.version == 4 or unwrapped in _INTERNET)


def allowing(names: Sequence[str]) -> AllowedDestinations:
    """Allow public addresses and these hosts and networks. Raises ValueError for an invalid entry."""
    hosts: set[str] = set()
    networks: list[_Network] = []
    for name in names:
        try:
            networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            if "/" in name or ":" in name:
                raise ValueError(f"{name!r} is neither a host name nor a network such as 10.0.0.0/8") from None
            hosts.add(name.lower())
    return AllowedDestinations(hosts=frozenset(hosts), networks=tuple(networks))


def parse(url: str, key: str = "") -> Destination:
    """Parse an HTTP URL. Raises BadInput without the URL, which may contain a secret."""
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        host, port, split = None, None, SplitResult("", "", "", "", "")
    if split.scheme not in PORTS or not host or not url.isprintable() or " " in url:
        raise BadInput.one("invalid URL (expected something like https://example.org/path)", key)
    if "@" in split.netloc:
        raise BadInput.one("the URL contains a user or password, which is not supported", key)
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Destination(split.scheme == "https", host, port or PORTS[split.scheme], quote(path, string.punctuation))


def _unwrap(address: _Address) -> _Address:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _parse_literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _denied(host: str) -> Denied:
    return Denied(
        f"this server may not call {host}: it is not a public internet address",
        "ask the server's operator to allow it with the setting outgoing_allow",
    )
