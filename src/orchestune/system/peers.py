"""The user at the other end of a TCP connection within this machine, as the kernel's table of sockets lists it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

_TABLES = Path("/proc/self/net")
_ESTABLISHED = "01"


class End(NamedTuple):
    """Address and port of one end of a connection."""

    host: str
    port: int


class UnknownPeer(Exception):
    """The kernel lists no such connection: it came from another machine, or its client has closed it already."""


class NoTable(Exception):
    """The kernel's table of sockets cannot be read here (no /proc/net/tcp)."""


def is_this_user(client: End, server: End, tables: Path = _TABLES) -> bool:
    """Return True if a process of this user, or of root, holds the client's end of a connection. Blocking, short.

    Raises UnknownPeer and NoTable.
    """
    return user_of(client, server, tables) in (os.geteuid(), 0)


def user_of(client: End, server: End, tables: Path = _TABLES) -> int:
    """Return the uid of the process that holds the client's end. Raises UnknownPeer and NoTable."""
    wanted = (_unmapped(client.host), client.port, _unmapped(server.host), server.port)
    # Another user may have ten thousands of sockets, and reading each address takes 60 times as long as this test.
    local, remote = f":{client.port:04X} ", f":{server.port:04X} {_ESTABLISHED} "
    for line in _lines(tables):
        if local not in line or remote not in line:
            continue
        fields = line.split()
        # The kernel lists a socket that no process holds any more with uid 0 and inode 0. It does not belong to root.
        if len(fields) < 10 or fields[3] != _ESTABLISHED or fields[9] == "0":
            continue
        if (*_parsed(fields[1]), *_parsed(fields[2])) == wanted:
            return int(fields[7])
    raise UnknownPeer(f"no socket of this machine is {client.host} port {client.port}")


def is_loopback(host: str) -> bool:
    """Return True if only processes of this machine have this address."""
    return _unmapped(host).is_loopback


def _lines(tables: Path) -> Iterator[str]:
    readable = False
    for name in ("tcp", "tcp6"):
        try:
            text = (tables / name).read_text()
        except OSError:  # `tcp6` is missing on a kernel without IPv6
            continue
        readable = True
        yield from text.splitlines()[1:]
    if not readable:
        raise NoTable(f"{tables}/tcp cannot be read")


def _parsed(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Parse `0100007F:1F90`: words of 32 bits in the machine's byte order, then the port."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return _plain(ip_address(packed)), int(port, 16)


def _unmapped(host: str) -> IPv4Address | IPv6Address:
    return _plain(ip_address(host.partition("%")[0]))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A socket of IPv6 may speak IPv4: `::ffff:127.0.0.1` is 127.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
