"""TCP listeners that hold their port at every address to which their host name leads.

Programs try all addresses of a name, IPv6 first: a browser resolves `RANDOM.localhost` to `::1` and 127.0.0.1. Another
user of the machine who binds an address that is left free receives what was meant for the server, serves scripts at the
origin of its pages, and can relay the proof requests of workers.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import cast

_MAX_ATTEMPTS = 20
"""ports to try if any port is allowed: another program may have the port at one of the addresses"""
_ANY_ADDRESS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_SocketAddress = tuple[str | int, ...]
_NO_SUCH_ADDRESS = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))
"""errors of an address that this machine does not have: none of its users can listen there"""


class PortTaken(OSError):
    """Another program uses the port at one of the addresses."""

    def __init__(self, host: str, port: int) -> None:
        host_text = f"[{host}]" if ":" in host else host
        super().__init__(errno.EADDRINUSE, f"another program uses {host_text}:{port}")


class BoundPort:
    """One port of this machine. `sockets` listen; further addresses are bound without listening until `close`."""

    def __init__(self, sockets: list[socket.socket], stack: ExitStack) -> None:
        """`stack` closes all sockets."""
        self.sockets = sockets
        self._stack = stack

    @property
    def number(self) -> int:
        """The port number."""
        return int(self.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Release the port at all addresses. Idempotent."""
        self._stack.close()

    def __enter__(self) -> BoundPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bind(host: str, port: int, backlog: int, *, names: Iterable[str] = (), reserve: bool = True) -> BoundPort:
    """Listen on `port` (0: any) at all addresses of `host` that this machine has; `::` means IPv4 as well.

    If all of them are of one family, the port of the other family is bound too, without listening (`reserve`): at its
    loopback address if `host` is a loopback name, otherwise at all addresses. The addresses of `names` are bound in the
    same way. Raises PortTaken if another program has the port at any of these addresses, OSError if binding fails.
    """
    for _ in range(1 if port else _MAX_ATTEMPTS):
        try:
            return _bind(host, port, backlog, names, reserve)
        except PortTaken as exc:
            error = exc
    raise error


def _bind(host: str, port: int, backlog: int, names: Iterable[str], reserve: bool) -> BoundPort:
    if host == _ANY_ADDRESS[socket.AF_INET6] and not socket.has_dualstack_ipv6():
        host = _ANY_ADDRESS[socket.AF_INET]
    error: OSError | None = None
    with ExitStack() as stack:
        listening: list[socket.socket] = []
        for family, address in _addresses(host):
            try:
                bound = stack.enter_context(_bound_socket(family, address, port, backlog, dual=host == "::"))
            except OSError as exc:
                if exc.errno not in _NO_SUCH_ADDRESS:
                    raise
                error = exc
                continue
            port = bound.getsockname()[1]
            listening.append(bound)
        if not listening:
            raise error or OSError(errno.EADDRNOTAVAIL, f"the host name has no address on this machine: {host}")
        covered = {(bound.family, str(bound.getsockname()[0])) for bound in listening}
        if host == "::":
            covered.add((socket.AF_INET, _ANY_ADDRESS[socket.AF_INET]))
        for family, address in (*(_other_family(covered) if reserve else ()), *_resolvable_addresses(names)):
            if (family, address[0]) in covered or (family, _ANY_ADDRESS[family]) in covered:
                continue
            try:
                stack.enter_context(_bound_socket(family, address, port))
            except OSError as exc:
                if exc.errno not in _NO_SUCH_ADDRESS:
                    raise
                continue
            covered.add((family, str(address[0])))
        return BoundPort(listening, stack.pop_all())


def _addresses(host: str) -> Iterator[tuple[socket.AddressFamily, _SocketAddress]]:
    """Yield family and socket address of each address of a host. Raises OSError if it cannot be resolved."""
    resolved = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, *_, address in dict.fromkeys(resolved):
        if family in _ANY_ADDRESS:
            yield family, cast(_SocketAddress, address)


def _resolvable_addresses(names: Iterable[str]) -> Iterator[tuple[socket.AddressFamily, _SocketAddress]]:
    for name in names:
        try:
            yield from _addresses(name)
        except (OSError, UnicodeError):  # only other machines can resolve it
            continue


def _other_family(covered: Iterable[tuple[int, str]]) -> Iterator[tuple[socket.AddressFamily, _SocketAddress]]:
    """Yield the address to reserve in the family that `covered` lacks, if it lacks one."""
    hosts = [address for _, address in covered]
    loopback = all(ip_address(host.partition("%")[0]).is_loopback for host in hosts)
    for family in {socket.AF_INET6, socket.AF_INET} - {family for family, _ in covered}:
        yield family, ((_LOOPBACK if loopback else _ANY_ADDRESS)[family], 0)


def _bound_socket(
    family: int, address: _SocketAddress, port: int, backlog: int | None = None, *, dual: bool = False
) -> socket.socket:
    """Return a socket that is bound, and listens if there is a `backlog`. `dual`: for IPv4 as well."""
    with ExitStack() as on_error:
        bound = on_error.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if backlog is not None:
            # Ignores connections of the last run in TIME_WAIT. Not for a socket that does not listen: with this option
            # another user could bind the same address beside it, and listen.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        try:
            bound.bind((address[0], port, *address[2:]))
            if backlog is not None:
                bound.listen(backlog)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise PortTaken(str(address[0]), port) from exc
            raise
        on_error.pop_all()
    return bound
