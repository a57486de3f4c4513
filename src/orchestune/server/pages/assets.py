"""Static files of the package, under a URL with a hash of their content, so that browsers can cache them for ever."""

from __future__ import annotations

import hashlib
import mimetypes
import posixpath
import re
from functools import cache
from pathlib import Path, PurePosixPath

from fastapi import Response

from orchestune.errors import NotFound

FOLDER = Path(__file__).parent.parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_IMPORT = re.compile(r'(?m)^import [^;"]* from "([^"]+)";')


@cache
def files() -> dict[str, bytes]:
    """Return the content of all files by path. Reads them once."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in _KINDS)
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


@cache
def version() -> str:
    """Return a hash of all files."""
    digest = hashlib.sha256()
    for name, content in files().items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def imported(*names: str) -> list[str]:
    """Return these scripts and their transitive imports, for a browser to preload them in parallel.

    Names that do not exist are ignored, before the cache: callers choose them.
    """
    return _imported(tuple(name for name in names if name in files()))


@cache
def _imported(names: tuple[str, ...]) -> list[str]:
    scripts: dict[str, None] = {}
    pending = [*names]
    while pending:
        name = pending.pop(0)
        if name not in scripts:
            scripts[name] = None
            folder = PurePosixPath(name).parent
            pending += [posixpath.normpath(folder / other) for other in _IMPORT.findall(files()[name].decode())]
    return list(scripts)


def answer(requested_version: str, path: str) -> Response:
    """Respond with a file. Raises NotFound if absent.

    It is cacheable only if `requested_version` is the current one: during a rolling update, a page of one server may
    load files from another.
    """
    content = files().get(path)
    if content is None:
        raise NotFound(f"no such file: {path}")
    suffix = "." + path.rpartition(".")[2]
    kind = _KINDS.get(suffix) or mimetypes.guess_type(path)[0]
    cache_control = "public, max-age=31536000, immutable" if requested_version == version() else "no-store"
    headers = {"Cache-Control": cache_control, "X-Content-Type-Options": "nosniff"}
    return Response(content, 200, headers, kind)
