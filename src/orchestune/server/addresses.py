"""The addresses of this server, the only ones for which it answers proof requests of workers."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_IPV4_LOOPBACK = ("127.0.0.1", "localhost")  # the same port of `::1` is reserved, but not served
_EVERY = {"": _IPV4_LOOPBACK, "0.0.0.0": _IPV4_LOOPBACK, "::": _LOOPBACK}
_FROM_DOCKER_DESKTOP = "host.docker.internal"  # the host's loopback address within a container of Docker Desktop


def netloc(url: str) -> str:
    """Return `host:port` of a URL in the form that workers send: lower case, IPv6 in brackets, always with a port."""
    parts = urlsplit(url)
    return joined(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))


def joined(host: str, port: int) -> str:
    """Return `host:port` in the same form."""
    host = host.lower()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Addresses:
    """A set of `host:port` to which additional listeners add theirs while the server runs."""

    def __init__(self) -> None:
        self._addresses: set[str] = set()

    def add(self, host: str, port: int) -> None:
        """Add the address of a listening socket, in all its spellings."""
        names = _EVERY.get(host, (host,))
        if any(name in _LOOPBACK for name in names):
            names = (*names, _FROM_DOCKER_DESKTOP)
        self._addresses |= {joined(name, port) for name in names}

    def __contains__(self, address: str) -> bool:
        return address in self._addresses
