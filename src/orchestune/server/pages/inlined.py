"""Scripts and styles of the pages as parts of one HTML file, which then needs no server."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from orchestune.server.pages import assets

_IMPORT = re.compile(r'(?m)^(import [^;"]* from ")([^"]+)(";)')


def text_of(name: str) -> str:
    """Return the content of a static file."""
    return assets.files()[name].decode()


def import_map(script: str, replaced: Mapping[str, str]) -> dict[str, str]:
    """Return the import map of a script: its own name, and those of all that it imports, to `data:` URLs.

    A module at a `data:` URL has no folder, so relative imports become names of this map. `replaced`: module → the one
    that takes its place.
    """
    modules: dict[str, str] = {}
    pending = [script]
    while pending:
        name = pending.pop()
        if name not in modules:
            text, imported = _with_names(replaced.get(name, name))
            modules[name] = f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"
            pending += imported
    return modules


def _with_names(module: str) -> tuple[str, list[str]]:
    """Return the text of a module that imports others by their names, and these names."""
    folder = PurePosixPath(module).parent
    names: list[str] = []

    def by_name(match: re.Match[str]) -> str:
        names.append(posixpath.normpath(folder / match[2]))
        return f"{match[1]}{names[-1]}{match[3]}"

    return _IMPORT.sub(by_name, text_of(module)), names
