"""Scripts that ask the module of SigOpt's service, which is gone: one in its place, to lie beside them."""

from __future__ import annotations

import re
from pathlib import Path

from orchestune.config.document.nodes import Entries, Node, plain

_IMPORTS = re.compile(r"^\s*(?:import|from)\s+(sigopt|orchestrate)\b", re.MULTILINE)
_SCRIPT = re.compile(r"[\w./\-]+\.py\b")
_MODULES = Path(__file__).parents[1] / "modules"
_FILES = {"sigopt": ("sigopt.py",), "orchestrate": ("sigopt.py", "orchestrate/__init__.py", "orchestrate/io.py")}
MOST_FILES = 200


def wanted(root: Entries, folder: Path) -> tuple[str, ...]:
    """The files that scripts of the command lack, relative to `folder`; none where none of them asks the service."""
    place = _place(root.get("run"))
    modules = sorted({name for path in sorted((folder / place).glob("*.py"))[:MOST_FILES] for name in _imported(path)})
    files = dict.fromkeys(file for name in modules for file in _FILES[name])
    return tuple(str(place / file) for file in files if not (folder / place / file).exists())


def source(file: str) -> Path:
    """Where one of them lies in this installation."""
    parts = Path(file).parts
    return _MODULES / (Path(*parts[-2:]) if parts[-2:-1] == ("orchestrate",) else Path(parts[-1]))


def text(file: str) -> str:
    """What one of them holds."""
    return source(file).read_text(encoding="utf-8")


def _place(run: Node | None) -> Path:
    """Where the script lies, which is where Python looks first for what it imports."""
    command = plain(run) if run is not None else ""
    words = command if isinstance(command, list) else str(command).split()
    script = next((str(word) for word in words if _SCRIPT.fullmatch(str(word))), "")
    inside = not script.startswith("/") and ".." not in Path(script).parts
    return Path(script).parent if inside else Path()


def _imported(path: Path) -> set[str]:
    if path.name == "sigopt.py":
        return set()
    try:
        return set(_IMPORTS.findall(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return set()
