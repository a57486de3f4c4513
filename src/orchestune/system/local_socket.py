"""Unix sockets that only their own user can reach: listening in a private folder, and connecting to one.

A TCP port does not outlive its server: after a crash any user of the machine may bind it and receive the requests of
the server's clients. A socket file in a folder of mode 0700 can be replaced only by its owner and root.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

_MAX_PATH_BYTES = 100  # `sun_path` holds 108 bytes on Linux and 104 elsewhere, with the null byte at the end
_CREDENTIALS = struct.Struct("3i")  # pid, uid and gid of a peer (struct ucred of Linux)
_BSD_CREDENTIALS = struct.Struct(
    "2Ih16I"
)  # version, uid, number of groups, and groups of a peer (struct xucred of macOS)
_SOL_LOCAL = 0  # level of options of Unix sockets on macOS


class LocalListener(NamedTuple):
    """A Unix socket that listens, and its path."""

    socket: socket.socket
    path: Path


class SharedFolder(PermissionError):
    """A folder that must be private to this user belongs to another user, or is writable for others."""


def listen(path: Path, backlog: int, *, for_group: bool = False) -> socket.socket:
    """Listen at `path`, in place of a socket that a crashed server left there. The caller holds the server's lock.

    The folder is created if missing and is made private to this user. `for_group`: the group of the process can connect
    too, and the folder keeps its mode, which decides who reaches the socket. Raises SharedFolder if the folder belongs
    to another user or (`for_group`) others can write to it, OSError if the file system has no sockets or permissions.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with ExitStack() as stack, ExitStack() as on_error:
        stack.callback(os.close, folder)
        listening = on_error.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        _make_private(folder, path.parent, for_group=for_group)
        draft = path.with_name(f".{path.name}")
        draft.unlink(missing_ok=True)
        listening.bind(_address(draft, folder))
        os.chmod(draft.name, 0o660 if for_group else 0o600, dir_fd=folder)
        listening.listen(backlog)
        # Renaming replaces a stale socket in one step: a worker that reconnects meanwhile finds the old or the new one.
        os.rename(draft.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        on_error.pop_all()
    return listening


def listen_elsewhere(name: str, backlog: int, clean_up: Callable[[Callable[[], None]], object]) -> LocalListener:
    """Listen in a new private temporary folder, for file systems without sockets or permissions.

    `clean_up` receives a function that removes the folder.
    """
    import tempfile  # imported on demand, only for sockets elsewhere

    folder = Path(tempfile.mkdtemp(prefix="orchestune-"))
    clean_up(lambda: shutil.rmtree(folder, ignore_errors=True))
    return LocalListener(listen(folder / name, backlog), folder / name)


def connect(path: str, timeout: float) -> socket.socket:
    """Connect to the server that listens at `path`.

    Raises PermissionError if the listener is not this user's or root's, and OSError if no server listens there.
    """
    with ExitStack() as on_error:
        connection = on_error.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(timeout)
        with _socket_address(path) as address:
            connection.connect(address)
        _refuse_other_users(connection, path)
        on_error.pop_all()
    return connection


def _make_private(descriptor: int, folder: Path, *, for_group: bool) -> None:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        raise SharedFolder(f"{folder} belongs to another user (uid {status.st_uid})")
    if for_group:
        if status.st_mode & 0o022:
            raise SharedFolder(f"other users can write to {folder}")
    elif status.st_mode & 0o077:
        os.fchmod(descriptor, 0o700)
        if os.fstat(descriptor).st_mode & 0o077:  # FAT ignores it
            raise OSError(f"the file system of {folder} does not support permissions")


def _address(path: Path, folder: int) -> str:
    """Return a short name of `path`: the kernel limits its length, and state folders may be nested deeply."""
    return str(path) if len(os.fsencode(path)) <= _MAX_PATH_BYTES else f"/proc/self/fd/{folder}/{path.name}"


@contextmanager
def _socket_address(path: str) -> Iterator[str]:
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield path
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _address(Path(path), folder)
    finally:
        os.close(folder)


def _refuse_other_users(connection: socket.socket, path: str) -> None:
    user = _peer_uid(connection)
    if user is not None and user not in (os.geteuid(), 0):
        raise PermissionError(f"another user (uid {user}) listens at {path}")


def _peer_uid(connection: socket.socket) -> int | None:
    """Return the uid of the other end; None if the system does not tell: then the folder's mode has to suffice."""
    if (option := getattr(socket, "SO_PEERCRED", None)) is not None:
        credentials = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[1])
    if (option := getattr(socket, "LOCAL_PEERCRED", None)) is not None:
        credentials = connection.getsockopt(_SOL_LOCAL, option, _BSD_CREDENTIALS.size)
        return int(_BSD_CREDENTIALS.unpack(credentials)[1])
    return None
