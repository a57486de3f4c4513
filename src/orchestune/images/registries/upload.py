"""Blob uploads to a registry: skipped if the blob exists, otherwise in resumable parts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

import requests

from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.images.registries.errors import check
from orchestune.images.registries.registry import Registry

PIECE = 16 << 20
"""bytes per request; upper bound on the data lost if a connection breaks"""
_TRIES = 5


def push_blob(registry: Registry, repository: str, digest: str, file: Path) -> int:
    """Upload a blob unless the registry has it; return the number of bytes sent. Idempotent."""
    if registry.has_blob(repository, digest):
        return 0
    answer = registry.call("POST", f"{repository}/blobs/uploads/", repository, push=True)
    check(answer, registry.name, f"push to {registry.name}/{repository}")
    place = _location(registry, answer)
    size = file.stat().st_size
    with open(file, "rb") as data:
        if size <= PIECE:
            _finish(registry, repository, place, digest, data.read())
        else:
            _finish(registry, repository, _send(registry, repository, place, data, size), digest, b"")
    return size


def _send(registry: Registry, repository: str, place: str, data: BinaryIO, size: int) -> str:
    """Send all parts, and return the URL that completes the upload."""
    done = failures = 0
    while done < size:
        data.seek(done)
        piece = data.read(PIECE)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{done}-{done + len(piece) - 1}"}
        try:
            answer = registry.call("PATCH", place, repository, push=True, headers=headers, data=piece)
            if answer.status_code != 416:  # the registry expects another offset
                check(answer, registry.name, f"take a piece of an upload to {repository}")
                place, done, failures = _location(registry, answer), done + len(piece), 0
                continue
            failures += 1
        except TemporaryError:
            failures += 1
            if failures == _TRIES:
                raise
            time.sleep(0.2 * 2**failures)
        if failures == _TRIES:
            raise OrchestuneError(f"the registry {registry.name} does not take an upload to {repository}")
        place, done = _position(registry, repository, place, done)
    return place


def _position(registry: Registry, repository: str, place: str, done: int) -> tuple[str, int]:
    """Return URL and offset at which an upload resumes."""
    answer = registry.call("GET", place, repository, push=True)
    check(answer, registry.name, f"continue an upload to {repository}")
    _, _, last = answer.headers.get("Range", "").rpartition("-")
    there = int(last) + 1 if last.isdigit() and last != "0" else 0
    return (_location(registry, answer) if answer.headers.get("Location") else place), there if last else done


def _finish(registry: Registry, repository: str, place: str, digest: str, rest: bytes) -> None:
    joint = "&" if "?" in place else "?"
    headers = {"Content-Type": "application/octet-stream"}
    url = f"{place}{joint}digest={digest}"
    answer = registry.call("PUT", url, repository, push=True, headers=headers, data=rest)
    check(answer, registry.name, f"finish an upload to {registry.name}/{repository}")


def _location(registry: Registry, answer: requests.Response) -> str:
    location = answer.headers.get("Location")
    if not location:
        raise OrchestuneError(f"the registry {registry.name} does not say where an upload goes")
    return registry.absolute(location)
