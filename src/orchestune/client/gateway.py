"""A door on this machine to a server that no address leads to: what a browser uses where a command dials by itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestune.errors import OrchestuneError
from orchestune.system.peers import NoTable, UnknownPeer, is_this_user

_HOST = "127.0.0.1"
_PIECE = 1 << 16
_DIALING = 20.0
"""seconds in which a connection to the far end comes about, or does not"""

_REFUSAL = (
    b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
)


@contextmanager
def gateway(dial: Callable[[float], socket.socket]) -> Iterator[str]:
    """The address of the door, open as long as the block runs. It refuses other users of the machine: the server, which
    asks for a session or a token, cannot know them from this one.
    """
    with socket.create_server((_HOST, 0), backlog=64) as listening:
        threading.Thread(target=_accept, args=(listening, dial), daemon=True).start()
        yield f"http://{_HOST}:{listening.getsockname()[1]}"
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def _accept(listening: socket.socket, dial: Callable[[float], socket.socket]) -> None:
    while True:
        try:
            near, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(near, dial), daemon=True).start()


def _serve(near: socket.socket, dial: Callable[[float], socket.socket]) -> None:
    with near:
        if not _is_this_user(near):
            _refuse(near, b"403 Forbidden", "this address is for the user who opened it")
            return
        try:
            far = dial(_DIALING)
        except (OrchestuneError, OSError) as exc:
            _refuse(near, b"503 Service Unavailable", str(exc))
            return
        with far:
            near.settimeout(None)
            far.settimeout(None)
            other = threading.Thread(target=_pump, args=(far, near), daemon=True)
            other.start()
            _pump(near, far)
            other.join()


def _is_this_user(near: socket.socket) -> bool:
    """Return True if a process of this user, or of root, connected; also if the system does not list sockets."""
    try:
        return is_this_user(near)
    except UnknownPeer:  # the client is gone already
        return False
    except NoTable:
        return True


def _refuse(near: socket.socket, status: bytes, reason: str) -> None:
    text = reason.encode()
    with suppress(OSError):
        near.settimeout(_DIALING)
        near.recv(_PIECE)
        near.sendall(_REFUSAL % (status, len(text), text))


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until either end is done, then end the other one too."""
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
