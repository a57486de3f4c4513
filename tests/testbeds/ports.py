"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

_PORTS = range(11000, 20000)  # the system gives none of them to outgoing connections, an embedded server takes none


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of this machine's address that is free now.

    It stays free for a server that is started later, or again.
    """
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port of {host} is free")
