"""File transfers to and from the server: idempotent uploads of bundles, atomic downloads of artifacts."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from orchestune.client.connection.transport import Transport
from orchestune.client.local.write_errors import DISK_ERRORS
from orchestune.errors import NotFound, OrchestuneError, TemporaryError, Unreachable
from orchestune.system.private import is_own_file, open_without_link

_BLOCK_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def upload_bundle(transport: Transport, digest: str, archive: Path) -> bool:
    """Upload the archive unless the server has it; return True if it was sent. Streams it; idempotent."""
    if has_bundle(transport, digest):
        return False
    headers = {"Content-Type": "application/gzip", "Content-Length": str(archive.stat().st_size)}
    transport.request("PUT", f"/api/v1/bundles/{digest}", lambda: archive.open("rb"), headers)
    return True


def has_bundle(transport: Transport, digest: str) -> bool:
    """Return True if the server has the bundle."""
    try:
        transport.request("HEAD", f"/api/v1/bundles/{digest}")
    except NotFound:
        return False
    except OrchestuneError as exc:
        if exc.code != "error":  # a response without an error code
            raise
        return False
    return True


def download(transport: Transport, path: str, target: Path, digest: str, size: int) -> None:
    """Download the file at `path` and verify its SHA-256. Resumes an interrupted download (`.part`).

    Replaces `target` atomically. Raises Unreachable if the server does not answer, OSError if the disk fails or another
    user has created the `.part`, and OrchestuneError if the content does not match the digest.
    """
    _check_digest(digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{digest[:32]}.part")  # fixed length: the name of the file may be as long as names can be
    if os.path.lexists(part) and not is_own_file(part):
        raise PermissionError(errno.EPERM, "another user has created it, or it is a link", str(part))
    failures = 0
    while not part.exists() or part.stat().st_size < size or size == 0:
        offset = _received_bytes(part)
        try:
            _fetch(transport, path, part, offset)
        except (HTTPException, OSError, TemporaryError) as exc:
            if _is_disk_error(exc):
                raise
            failures = 0 if _received_bytes(part) > offset else failures + 1
            if failures > 3:
                raise Unreachable(f"cannot download {target.name}: {exc}", "repeat the command to resume") from exc
            continue
        finally:
            transport.close()
        break
    actual_digest = _digest(part)
    if actual_digest != digest:
        part.unlink()
        raise OrchestuneError(
            f"damaged download of {target.name}: SHA-256 {actual_digest[:12]} (expected {digest[:12]})", "retry"
        )
    os.replace(part, target)


def fetch(transport: Transport, path: str, target: Path) -> None:
    """Download the content at `path`, with unknown size and digest. Replaces `target` atomically."""
    part = target.with_name(f".{target.name}.part")
    for last in (False, False, False, True):
        try:
            _fetch(transport, path, part, 0)
            break
        except (HTTPException, OSError, TemporaryError) as exc:
            if _is_disk_error(exc):
                raise
            if last:
                raise Unreachable(f"cannot download {target.name}: {exc}", "repeat the command") from exc
        finally:
            transport.close()
    os.replace(part, target)


def fetch_bundle(transport: Transport, digest: str, target: Path) -> None:
    """Download the archive with this digest, and verify it. Raises NotFound, and what `fetch` raises."""
    _check_digest(digest)
    fetch(transport, f"/api/v1/bundles/{digest}", target)
    actual_digest = _digest(target)
    if actual_digest != digest:
        target.unlink()
        raise OrchestuneError(f"damaged download of bundle {digest[:12]}: SHA-256 {actual_digest[:12]}", "retry")


def _fetch(transport: Transport, path: str, part: Path, offset: int) -> None:
    headers = {"Accept": "application/octet-stream"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    response = transport.open(path, headers)
    resumed = response.status == 206
    expected = response.length
    with open(part, "ab" if resumed else "wb", opener=open_without_link) as file:
        received = 0
        while block := response.read(_BLOCK_BYTES):
            file.write(block)
            received += len(block)
        if expected is not None and received < expected:
            raise Unreachable("the connection broke off")


def _check_digest(digest: str) -> None:
    """Raise OrchestuneError unless this is a SHA-256: it becomes a part of file names."""
    if not _DIGEST.fullmatch(digest):
        raise OrchestuneError(f"invalid digest from the server: {digest[:80]!a} (expected a SHA-256 in hex)")


def _is_disk_error(exc: Exception) -> bool:
    """Return True if the local disk failed, not the network."""
    return isinstance(exc, OSError) and (bool(exc.filename) or exc.errno in DISK_ERRORS)


def _received_bytes(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local_name(folder: Path, path: str) -> Path:
    """Return the path of the artifact `path` below `folder`. Raises OrchestuneError if it would be outside.

    The name is UTF-8, as it was where the trial ran, even in a locale without these characters.
    """
    parts = PurePosixPath(os.fsdecode(path.encode("utf-8", "surrogateescape"))).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise OrchestuneError(f"unsafe file name from the server: {path!r} is outside the folder")
    return folder.joinpath(*parts)


def quoted(path: str) -> str:
    """Percent-encode `path` for a URL; slashes are kept."""
    return quote(path, safe="/")
