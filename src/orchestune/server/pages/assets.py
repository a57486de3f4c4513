"""Scripts and styles: in the package, under an address that changes with them, so that browsers keep them for ever."""

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
    """Every file by its path; read once."""
    found = sorted(path for path in FOLDER.rglob("*") if path.suffix in _KINDS)
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in found}


@cache
def version() -> str:
    """Changes whenever one of them does."""
    digest = hashlib.sha256()
    for name, content in files().items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


@cache
def imported(*names: str) -> list[str]:
    """These scripts and all that they import: the browser is told of them at once, not one after the other."""
    found: dict[str, None] = {}
    waiting = [name for name in names if name in files()]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            folder = PurePosixPath(name).parent
            waiting += [posixpath.normpath(folder / other) for other in _IMPORT.findall(files()[name].decode())]
    return list(found)


def answer(asked: str, path: str) -> Response:
    """One file, kept where its version is the one that was `asked` for: while servers are replaced, a page of one may
    get the files of another. NotFound for what is none.
    """
    content = files().get(path)
    if content is None:
        raise NotFound(f"there is no file {path}")
    suffix = "." + path.rpartition(".")[2]
    kind = _KINDS.get(suffix) or mimetypes.guess_type(path)[0]
    kept = "public, max-age=31536000, immutable" if asked == version() else "no-store"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(content, 200, headers, kind)
