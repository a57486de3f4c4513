"""A door on this machine to a server that no address leads to: what a browser uses where a command dials by itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestune.errors import OrchestuneError

_HOST = "127.0.0.1"
_PIECE = 1 << 16
_DIALING = 20.0
"""seconds in which a connection to the far end comes about, or does not"""

_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)


@contextmanager
def gateway(dial: Callable[[float], socket.socket]) -> Iterator[str]:
    """The address of the door, open as long as the block runs. Whoever knocks on this machine comes as far as the
    server, which lets in only who has a session or a token.
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
        try:
            far = dial(_DIALING)
        except (OrchestuneError, OSError) as exc:
            text = str(exc).encode()
            with suppress(OSError):
                near.recv(_PIECE)
                near.sendall(_AWAY % (len(text), text))
            return
        with far:
            near.settimeout(None)
            far.settimeout(None)
            other = threading.Thread(target=_pump, args=(far, near), daemon=True)
            other.start()
            _pump(near, far)
            other.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until either end is done, then end the other one too."""
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
