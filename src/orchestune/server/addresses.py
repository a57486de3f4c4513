"""The addresses at which this server is reached: it proves itself for these, and for no other one."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_IPV4_LOOPBACK = ("127.0.0.1", "localhost")  # the same port of `::1` may be another program's
_EVERY = {"": _IPV4_LOOPBACK, "0.0.0.0": _IPV4_LOOPBACK, "::": _LOOPBACK}
_FROM_DOCKER_DESKTOP = "host.docker.internal"  # what a container of Docker Desktop calls the machine's loopback address


def netloc(url: str) -> str:
    """Return `host:port` of a URL as a worker writes it: lower case, IPv6 in brackets, the port never left out."""
    parts = urlsplit(url)
    return joined(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))


def joined(host: str, port: int) -> str:
    """Return `host:port` in the same form."""
    host = host.lower()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Addresses:
    """A set of `host:port` that grows while the server runs; a listener that opens later adds its own."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, host: str, port: int) -> None:
        """A socket of this server listens there."""
        names = _EVERY.get(host, (host,))
        if any(name in _LOOPBACK for name in names):
            names = (*names, _FROM_DOCKER_DESKTOP)
        self._known |= {joined(name, port) for name in names}

    def __contains__(self, address: str) -> bool:
        return address in self._known
