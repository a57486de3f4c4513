"""Which addresses a server calls for its users: what it can reach is not always what they may."""

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
_INTERNET = ipaddress.ip_network("2000::/3")
"""all that IPv6 has of it; beside that lie sites, translators of their own and what is to come"""
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """Where an address leads."""

    secure: bool
    host: str
    port: int
    path: str
    """with the query, as it goes over the wire; begins with a slash"""


@dataclass(frozen=True)
class Reach:
    """Addresses of the internet, and what is allowed beside them: names of hosts, and networks.

    A server that several people use stands where more can be reached than they may: its machine's other services, the
    private network, the metadata service of a cloud, which gives out keys. A server of one user may call anything.
    """

    everywhere: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    def check(self, url: str, key: str) -> None:
        """What can be known without asking for the host's addresses. BadInput, Denied."""
        host = parse(url, key).host
        found = _literal(host)
        if found is not None and not self._allows(host, found):
            raise _denied(host)

    def addresses(self, target: Target) -> Sequence[tuple[int, tuple[object, ...]]]:
        """Family and socket address of what may be called of a host, in the order in which to try.

        What is called is one of these, not the name again, which may have another meaning by then. Denied, Unreachable.
        """
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"the host {target.host} is not known: {getattr(exc, 'strerror', None) or exc}") from exc
        allowed = [
            (family, address)
            for family, _, _, _, address in found
            if self._allows(target.host, ipaddress.ip_address(str(address[0]).partition("%")[0]))
        ]
        if not allowed:
            raise _denied(target.host)
        return allowed

    def _allows(self, host: str, address: _Address) -> bool:
        if self.everywhere or host.lower() in self.hosts:
            return True
        inner = _inner(address)
        if any(inner in network for network in self.networks if network.version == inner.version):
            return True
        return inner.is_global and not inner.is_multicast and (inner.version == 4 or inner in _INTERNET)


def allowing(names: Sequence[str]) -> Reach:
    """The internet, and these hosts and networks. ValueError for what is neither."""
    hosts: set[str] = set()
    networks: list[_Network] = []
    for name in names:
        try:
            networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            if "/" in name or ":" in name:
                raise ValueError(f"{name!r} is neither the name of a host nor a network such as 10.0.0.0/8") from None
            hosts.add(name.lower())
    return Reach(hosts=frozenset(hosts), networks=tuple(networks))


def parse(url: str, key: str = "") -> Target:
    """BadInput where this is no address of a web server; it does not show the address, which may be a key."""
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        host, port, split = None, None, SplitResult("", "", "", "", "")
    if split.scheme not in PORTS or not host or not url.isprintable() or " " in url:
        raise BadInput.one("is no address; write it like https://example.org/path", key)
    if "@" in split.netloc:
        raise BadInput.one("has a user or a password in the address, which is not taken", key)
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Target(split.scheme == "https", host, port or PORTS[split.scheme], quote(path, string.punctuation))


def _inner(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _denied(host: str) -> Denied:
    return Denied(
        f"this server may not call {host}, which is no address of the internet",
        "whoever runs the server can allow it: see the setting outgoing_allow",
    )
