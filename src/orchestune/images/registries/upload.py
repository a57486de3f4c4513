"""Blob uploads to a registry: skipped if the blob exists, otherwise in resumable parts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

import requests

from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.images.registries.errors import check
from orchestune.images.registries.registry import Registry

CHUNK_BYTES = 16 << 20
"""bytes per request; upper bound on the data lost if a connection breaks"""
_MAX_FAILURES = 5


def push_blob(registry: Registry, repository: str, digest: str, file: Path) -> int:
    """Upload a blob unless the registry has it; return the number of bytes sent. Idempotent."""
    if registry.has_blob(repository, digest):
        return 0
    response = registry.call("POST", f"{repository}/blobs/uploads/", repository, push=True)
    check(response, registry.name, f"push to {registry.name}/{repository}")
    url = _location(registry, response)
    size = file.stat().st_size
    with open(file, "rb") as stream:
        if size <= CHUNK_BYTES:
            _finish(registry, repository, url, digest, stream.read())
        else:
            _finish(registry, repository, _send_chunks(registry, repository, url, stream, size), digest, b"")
    return size


def _send_chunks(registry: Registry, repository: str, url: str, stream: BinaryIO, size: int) -> str:
    """Send all parts, and return the URL that completes the upload."""
    offset = failures = 0
    while offset < size:
        stream.seek(offset)
        chunk = stream.read(CHUNK_BYTES)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{offset + len(chunk) - 1}"}
        try:
            response = registry.call("PATCH", url, repository, push=True, headers=headers, data=chunk)
            if response.status_code != 416:  # the registry expects another offset
                check(response, registry.name, f"accept a chunk of an upload to {repository}")
                url, offset, failures = _location(registry, response), offset + len(chunk), 0
                continue
            failures += 1
        except TemporaryError:
            failures += 1
            if failures == _MAX_FAILURES:
                raise
            time.sleep(0.2 * 2**failures)
        if failures == _MAX_FAILURES:
            raise OrchestuneError(f"the registry {registry.name} rejects an upload to {repository}")
        url, offset = _resume_position(registry, repository, url, offset)
    return url


def _resume_position(registry: Registry, repository: str, url: str, offset: int) -> tuple[str, int]:
    """Return URL and offset at which an upload resumes."""
    response = registry.call("GET", url, repository, push=True)
    check(response, registry.name, f"continue an upload to {repository}")
    _, _, last_byte = response.headers.get("Range", "").rpartition("-")
    resumed = int(last_byte) + 1 if last_byte.isdigit() and last_byte != "0" else 0
    return (
        _location(registry, response) if response.headers.get("Location") else url
    ), resumed if last_byte else offset


def _finish(registry: Registry, repository: str, url: str, digest: str, content: bytes) -> None:
    separator = "&" if "?" in url else "?"
    headers = {"Content-Type": "application/octet-stream"}
    url = f"{url}{separator}digest={digest}"
    response = registry.call("PUT", url, repository, push=True, headers=headers, data=content)
    check(response, registry.name, f"finish an upload to {registry.name}/{repository}")


def _location(registry: Registry, response: requests.Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise OrchestuneError(f"the registry {registry.name} sent no location for an upload")
    return registry.absolute(location)
