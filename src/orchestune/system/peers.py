"""The user at the other end of a TCP connection within this machine, according to the kernel.

A query for one socket (NETLINK_SOCK_DIAG) takes constant time. If the kernel does not support it, the table of all
sockets is read instead.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

_TABLES = Path("/proc/self/net")
_ESTABLISHED = "01"
_ESTABLISHED_STATE, _LISTEN_STATE = 1, 10  # of include/net/tcp_states.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_PROTOCOL = struct.Struct("=BBBxI")  # the start of inet_diag_req_v2: family, protocol, extensions, states
_PORTS = struct.Struct("!HH")  # the start of inet_diag_sockid: source, destination
_ANY_INTERFACE_AND_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_DIAG_MESSAGE = struct.Struct(
    "=BBBB48xIIIII"
)  # inet_diag_msg: family, state, timer, retransmits, id, expires, queues, uid, inode


class SocketEnd(NamedTuple):
    """Address and port of one end of a connection."""

    host: str
    port: int


class UnknownPeer(Exception):
    """The connection is unknown to the kernel: it came from another machine, or its client has closed it already."""


class NoTable(Exception):
    """The kernel's table of sockets cannot be read (no /proc/net/tcp)."""


class _Socket(NamedTuple):
    state: int
    uid: int
    inode: int


def is_this_user(connection: socket.socket) -> bool:
    """Return True if a process of this user, or of root, holds the client's end of a connection. Blocking, short.

    Raises UnknownPeer and NoTable.
    """
    return user_of(connection) in (os.geteuid(), 0)


def user_of(connection: socket.socket) -> int:
    """Return the uid of the process that holds the client's end of a connection, given the server's end.

    Raises UnknownPeer and NoTable.
    """
    try:
        client, server = SocketEnd(*connection.getpeername()[:2]), SocketEnd(*connection.getsockname()[:2])
    except OSError as exc:
        raise UnknownPeer("the client has closed the connection") from exc
    uid = _queried_user(client, server)
    if uid is None:
        uid = listed_user(client, server)
    # Addresses and ports are those of one connection only as long as it is open: after a reset another process, which
    # the kernel has just named, may have the client's port.
    if not hasattr(socket, "TCP_INFO"):
        raise NoTable("this system does not show the state of a connection")
    if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED_STATE:
        raise UnknownPeer("the client has closed the connection")
    return uid


def _queried_user(client: SocketEnd, server: SocketEnd) -> int | None:
    """Return the uid of the client's end, None if the kernel does not answer queries. Raises UnknownPeer."""
    if not hasattr(socket, "AF_NETLINK") or "%" in client.host:
        return None
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            client_socket, server_socket = _query(kernel, client, server), _query(kernel, server, client)
    except OSError:
        return None
    if server_socket is None:
        return None  # the response is the same for an unknown socket and for an unsupported query
    # A socket that no process holds any more has uid 0 and inode 0. It does not belong to root.
    if client_socket is None or client_socket.state != _ESTABLISHED_STATE or not client_socket.inode:
        raise UnknownPeer(f"no socket of this machine is {client.host} port {client.port}")
    return client_socket.uid


def _query(kernel: socket.socket, local: SocketEnd, remote: SocketEnd) -> _Socket | None:
    local_address, remote_address = _unmapped(local.host), _unmapped(remote.host)
    family = socket.AF_INET if isinstance(local_address, IPv4Address) else socket.AF_INET6
    ends = (
        _PORTS.pack(local.port, remote.port)
        + local_address.packed.ljust(16, b"\0")
        + remote_address.packed.ljust(16, b"\0")
    )
    query = _PROTOCOL.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + ends + _ANY_INTERFACE_AND_COOKIE
    kernel.send(_HEADER.pack(_HEADER.size + len(query), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + query)
    response = kernel.recv(1 << 13)
    if _HEADER.unpack_from(response)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    _, state, *_, uid, inode = _DIAG_MESSAGE.unpack_from(response, _HEADER.size)
    return None if state == _LISTEN_STATE else _Socket(state, uid, inode)


def listed_user(client: SocketEnd, server: SocketEnd, tables: Path = _TABLES) -> int:
    """Return the uid of the client's end as the kernel's tables list it. Raises UnknownPeer and NoTable."""
    ends = (_unmapped(client.host), client.port, _unmapped(server.host), server.port)
    # Another user may have ten thousands of sockets, and reading each address takes 60 times as long as this test.
    local, remote = f":{client.port:04X} ", f":{server.port:04X} {_ESTABLISHED} "
    for line in _lines(tables):
        if local not in line or remote not in line:
            continue
        fields = line.split()
        # The kernel lists a socket that no process holds any more with uid 0 and inode 0. It does not belong to root.
        if len(fields) < 10 or fields[3] != _ESTABLISHED or fields[9] == "0":
            continue
        if (*_parse_end(fields[1]), *_parse_end(fields[2])) == ends:
            return int(fields[7])
    raise UnknownPeer(f"no socket of this machine is {client.host} port {client.port}")


def is_loopback(host: str) -> bool:
    """Return True if only processes of this machine have this address."""
    return _unmapped(host).is_loopback


def _lines(tables: Path) -> Iterator[str]:
    is_readable = False
    for name in ("tcp", "tcp6"):
        try:
            text = (tables / name).read_text()
        except OSError:  # `tcp6` is missing on a kernel without IPv6
            continue
        is_readable = True
        yield from text.splitlines()[1:]
    if not is_readable:
        raise NoTable(f"cannot read {tables}/tcp")


def _parse_end(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Parse `0100007F:1F90`: words of 32 bits in the machine's byte order, then the port."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return _plain(ip_address(packed)), int(port, 16)


def _unmapped(host: str) -> IPv4Address | IPv6Address:
    return _plain(ip_address(host.partition("%")[0]))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address of an IPv4-mapped one: `::ffff:127.0.0.1` is 127.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
