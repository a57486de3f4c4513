"""A file store in a local folder, or on a disk that several machines share."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from orchestune.errors import BadInput, NotFound
from orchestune.files.disk import disk_errors, make_folder, sync_folder, write_all
from orchestune.files.keys import (
    EMPTY_DIGEST,
    UPLOADS,
    check_part,
    checked_digest,
    checked_key,
    checked_prefix,
    digest_mismatch,
    upload_name,
)
from orchestune.files.locked import TEMPORARY, locked_file, sweep, temporary_file

_BLOCK = 1 << 20
_MAX_ATTEMPTS = 100
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""errors of file systems without hard links"""
_NO_OBJECT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""errors for a path that is not the file of an object"""


class FolderFiles:
    """A `FileStore` in which an object is the file at its key.

    An object is written under a temporary name, flushed to the disk and then linked to its key. The folder is created
    by the first write. Raises BadInput for a key that extends an existing one (`a` and `a/b`).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._uploads = root / UPLOADS
        self._swept = False

    def put(self, key: str, data: BinaryIO) -> int:
        path = self._free_path(key)
        if (existing := self.size(key)) is not None:
            return existing
        size = 0
        with ExitStack() as stack:
            with disk_errors(self._root):
                make_folder(self._uploads)
                if not self._swept:  # not for a read-only store, such as another user's archive
                    sweep(self._uploads)
                    self._swept = True
                handle, temporary = stack.enter_context(temporary_file(self._uploads))
            while block := data.read(_BLOCK):
                with disk_errors(self._root):
                    write_all(handle, block, size)
                size += len(block)
            with disk_errors(self._root):
                os.fsync(handle)
                return _publish(temporary, path)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        path = self._root / checked_key(key)
        with disk_errors(self._root, reading=True):
            try:
                file = open(path, "rb", opener=_open_object)  # noqa: SIM115 -- the caller closes it
            except _NO_OBJECT:
                raise NotFound(f"there is no file {key!r}") from None
        file.seek(start)
        return file

    def size(self, key: str) -> int | None:
        with disk_errors(self._root, reading=True):
            return _size(self._root / checked_key(key))

    def delete(self, key: str) -> None:
        path = self._root / checked_key(key)
        with disk_errors(self._root):
            try:
                path.unlink()
            except _NO_OBJECT:
                return
        for folder in self._folders_of(path):
            try:
                folder.rmdir()
            except OSError:
                return  # the folder still contains other objects

    def keys(self, prefix: str) -> Iterator[str]:
        folder, _, start = checked_prefix(prefix).rpartition("/")
        if folder.split("/", 1)[0] != UPLOADS:
            yield from self._keys(f"{folder}/" if folder else "", start)

    def append(self, upload: str, offset: int, data: bytes) -> int:
        check_part(offset, data)
        part = self._part(upload)
        is_first = offset == 0 and bool(data)
        with disk_errors(self._root):
            if is_first:
                make_folder(self._uploads)
            with locked_file(part, create=is_first) as handle:
                if handle is None:
                    return 0
                size = os.fstat(handle).st_size
                if offset <= size < offset + len(data):
                    _extend(handle, part, size, memoryview(data)[size - offset :])
                return os.fstat(handle).st_size

    def commit(self, upload: str, key: str, digest: str, *, needs_upload: bool = False) -> int:
        checked_digest(digest)
        path = self._free_path(key)
        part = self._part(upload)
        with disk_errors(self._root), locked_file(part, create=False) as handle:
            if handle is not None:
                if (actual_digest := _digest(handle)) != digest:
                    part.unlink()
                    raise digest_mismatch(upload, actual_digest, digest)
                os.fsync(handle)
                size = _publish(part, path)
                part.unlink(missing_ok=True)
                return size
        if digest == EMPTY_DIGEST:
            return self.put(key, BytesIO())
        if not needs_upload and (existing := self.size(key)) is not None:
            return existing
        raise NotFound(f"there is no unfinished upload {upload!r}")

    def abort(self, upload: str) -> None:
        part = self._part(upload)
        with disk_errors(self._root), locked_file(part, create=False) as handle:
            if handle is not None:
                part.unlink()

    def sweep(self, seconds: float) -> None:
        expiry = time.time() - seconds
        with disk_errors(self._root):
            for part in self._uploads.glob("*") if self._uploads.is_dir() else ():
                if part.name.startswith(TEMPORARY):
                    continue
                with locked_file(part, create=False) as handle:
                    if handle is not None and os.fstat(handle).st_mtime < expiry:
                        part.unlink()

    def _part(self, upload: str) -> Path:
        """Return the path of an unfinished upload, whose parts are appended there."""
        return self._uploads / upload_name(upload)

    def _free_path(self, key: str) -> Path:
        """Return the path of a new object. Raises BadInput if it is a folder, or below an object."""
        path = self._root / checked_key(key)
        with disk_errors(self._root):
            if path.is_dir() or any(folder.is_file() for folder in self._folders_of(path)):
                raise BadInput.one(f"the key {key!r} extends an existing key, or an existing key extends it")
        return path

    def _folders_of(self, path: Path) -> Iterator[Path]:
        """Yield the folders between the object at `path` and the root, the innermost first."""
        for folder in path.parents:
            if folder == self._root:
                return
            yield folder

    def _keys(self, prefix: str, start: str) -> Iterator[str]:
        with disk_errors(self._root, reading=True):
            try:
                with os.scandir(self._root / prefix) as entries:
                    names = [f"{child.name}/" if child.is_dir() else child.name for child in entries]
            except _NO_OBJECT:
                return
        for name in sorted(names):
            if not name.startswith(start) or prefix + name == f"{UPLOADS}/":
                continue
            if name.endswith("/"):
                yield from self._keys(prefix + name, "")
            else:
                yield prefix + name


def _open_object(path: str, flags: int) -> int:
    """Open a regular file. Raises FileNotFoundError for a link, and for a pipe, which would block."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from exc
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _size(path: Path) -> int | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _extend(handle: int, part: Path, size: int, data: memoryview) -> None:
    """Append `data` to the upload, all of it or nothing."""
    try:
        write_all(handle, data, size)
    except OSError:
        with suppress(OSError):
            if size:
                os.ftruncate(handle, size)
            else:
                part.unlink()
        raise


def _publish(source: Path, path: Path) -> int:
    """Link the file `source` to `path`, unless `path` exists already, and return the size of the file at `path`."""
    for _ in range(_MAX_ATTEMPTS):
        try:
            make_folder(path.parent)
            os.link(source, path)
        except FileExistsError:
            pass
        except FileNotFoundError:
            continue  # another process removed the folder while it was empty
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            os.rename(source, path)
        with suppress(FileNotFoundError):
            sync_folder(path.parent)
        if (size := _size(path)) is not None:
            return size
    raise FileNotFoundError(errno.ENOENT, "the folder is deleted repeatedly", str(path.parent))


def _digest(handle: int) -> str:
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(handle, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()
