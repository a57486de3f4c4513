"""Replacement modules for scripts that import the client of the discontinued SigOpt service."""

from __future__ import annotations

import re
from pathlib import Path

from orchestune.config.document.nodes import Entries, Node, plain

_IMPORTS = re.compile(r"^\s*(?:import|from)\s+(sigopt|orchestrate)\b", re.MULTILINE)
_SCRIPT = re.compile(r"[\w./\-]+\.py\b")
_MODULES = Path(__file__).parents[1] / "modules"
_FILES = {"sigopt": ("sigopt.py",), "orchestrate": ("sigopt.py", "orchestrate/__init__.py", "orchestrate/io.py")}
MAX_FILES = 200


def missing_modules(root: Entries, folder: Path) -> tuple[str, ...]:
    """Return the module files that the command's scripts import and lack, relative to `folder`.

    Empty if the scripts import none.
    """
    script_folder = _script_folder(root.get("run"))
    modules = sorted(
        {name for path in sorted((folder / script_folder).glob("*.py"))[:MAX_FILES] for name in _imported(path)}
    )
    files = dict.fromkeys(file for name in modules for file in _FILES[name])
    return tuple(str(script_folder / file) for file in files if not (folder / script_folder / file).exists())


def source(file: str) -> Path:
    """Return the path of a module file in this installation."""
    parts = Path(file).parts
    return _MODULES / (Path(*parts[-2:]) if parts[-2:-1] == ("orchestrate",) else Path(parts[-1]))


def text(file: str) -> str:
    """Return the text of a module file."""
    return source(file).read_text(encoding="utf-8")


def _script_folder(run: Node | None) -> Path:
    """Return the folder of the script, the first on Python's import path."""
    command = plain(run) if run is not None else ""
    words = command if isinstance(command, list) else str(command).split()
    script = next((str(word) for word in words if _SCRIPT.fullmatch(str(word))), "")
    is_inside = not script.startswith("/") and ".." not in Path(script).parts
    return Path(script).parent if is_inside else Path()


def _imported(path: Path) -> set[str]:
    if path.name == "sigopt.py":
        return set()
    try:
        return set(_IMPORTS.findall(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return set()
