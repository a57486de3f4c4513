"""Bundles of user code: downloaded, verified and unpacked once per digest, shared by all workers of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path

from orchestune.worker.connection.api import PREFIX, ApiError, ServerConnection, Unreachable

MAX_UNPACKED_BYTES = 64 * 2**30
"""maximum unpacked size of a bundle"""


class BundleError(Exception):
    """The bundle is unavailable, invalid or does not match its digest."""


class UnpackedBundle:
    """An unpacked bundle. Its files are never modified; views are copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directories: dict[str, int] = {}
        """relative path → mode, parents first"""
        self.files: dict[str, os.stat_result] = {}
        self.links: dict[str, str] = {}
        self.size = 0
        self._walk("")

    def _walk(self, below: str) -> None:
        with os.scandir(str(self.folder / below)) as entries:
            children = sorted(entries, key=lambda entry: entry.name)
        for entry in children:
            path = f"{below}/{entry.name}" if below else entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                self.links[path] = os.readlink(entry.path)
            elif stat.S_ISDIR(status.st_mode):
                self.directories[path] = stat.S_IMODE(status.st_mode)
                self._walk(path)
            else:
                self.files[path] = status
                self.size += status.st_size


def unpacked(cache: Path, digest: str) -> UnpackedBundle | None:
    """Return the bundle from the cache; None if absent."""
    folder = cache / digest
    return UnpackedBundle(folder) if folder.is_dir() else None


def fetch(cache: Path, digest: str, connection: ServerConnection) -> UnpackedBundle:
    """Return the bundle, downloading and unpacking it if needed. Raises BundleError, or Unreachable (retryable)."""
    cached = unpacked(cache, digest)
    if cached is not None:
        return cached
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=str(cache)))
    try:
        archive, folder = work / "archive", work / "folder"
        try:
            connection.download(f"{PREFIX}/bundles/{digest}", archive)
        except Unreachable:
            raise
        except ApiError as exc:
            raise BundleError(f"cannot download bundle {digest[:12]}: {exc}") from exc
        if digest_of(archive) != digest:
            raise BundleError(f"bundle {digest[:12]} is damaged: its content does not match its digest")
        unpack(archive, folder)
        try:
            os.rename(str(folder), str(cache / digest))
        except OSError:
            if not (cache / digest).is_dir():  # otherwise another worker was faster
                raise
    finally:
        shutil.rmtree(str(work), ignore_errors=True)
    return UnpackedBundle(cache / digest)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for data in iter(lambda: file.read(1 << 20), b""):
            digest.update(data)
    return digest.hexdigest()


def unpack(archive: Path, folder: Path, *, bounded: bool = True) -> None:
    """Unpack an untrusted tar archive: every member must stay inside the folder and be a file, a folder or a link.

    Raises BundleError otherwise, and if `bounded` also above MAX_UNPACKED_BYTES.
    """
    folder.mkdir()
    total = 0
    try:
        with tarfile.open(str(archive)) as tar:
            while True:
                member = tar.next()
                if member is None:
                    break
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps each member, about 1 KiB
                total += 512 + max(0, member.size)  # the header counts: an archive may have endless empty files
                if bounded and total > MAX_UNPACKED_BYTES:
                    raise BundleError(f"the archive is too large (expected at most {MAX_UNPACKED_BYTES:,} bytes)")
                _unpack_member(tar, member, folder)
    except (tarfile.TarError, EOFError, ValueError, RecursionError, FileExistsError, NotADirectoryError) as exc:
        raise BundleError(f"the archive cannot be unpacked: {exc}") from exc


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise BundleError(f"a member of the archive is outside of its folder: {member.name}")
    if not parts:
        return
    target = folder.joinpath(*parts)
    for parent in list(target.relative_to(folder).parents)[:-1]:
        if (folder / parent).is_symlink():
            raise BundleError(f"a member of the archive is below a link: {member.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        target.mkdir(exist_ok=True)
    elif member.issym():
        inside = os.path.normpath(os.path.join(*parts[:-1], member.linkname))
        if os.path.isabs(member.linkname) or inside.split(os.sep)[0] == "..":
            raise BundleError(f"a link in the archive leaves its folder: {member.name}")
        os.symlink(member.linkname, str(target))
    elif member.isreg():
        source = tar.extractfile(member)
        assert source is not None
        with source, open(target, "xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        os.chmod(str(target), 0o755 if member.mode & 0o100 else 0o644)
        os.utime(str(target), (member.mtime, member.mtime))
    else:
        raise BundleError(f"a member of the archive is not a file, folder or link: {member.name}")
