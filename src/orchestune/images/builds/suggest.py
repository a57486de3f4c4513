"""Suggestions of `install:` lines for experiment.yml, from the dependency files of a folder."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

_EXPORTED = "/tmp/requirements.txt"


def suggest_install(folder: Path) -> str | None:
    """Return lines for experiment.yml that install the requirements of the project in `folder`; None if unknown.

    Considers uv.lock, poetry.lock, requirements.txt, environment.yml and pyproject.toml, the most exact one first.
    """
    for name, suggest in _FILES:
        if (folder / name).is_file():
            suggestion = suggest(folder / name)
            if suggestion:
                return f"# requirements of the project from {name}, installed once into an image:\n{suggestion}"
    return None


def _uv(_: Path) -> str:
    export = f"uv export --frozen --no-dev --no-emit-project --output-file {_EXPORTED}"
    return _install(["pip install uv", export, f"pip install -r {_EXPORTED}"])


def _poetry(_: Path) -> str:
    export = f"poetry export --output {_EXPORTED}"
    return _install(["pip install poetry poetry-plugin-export", export, f"pip install -r {_EXPORTED}"])


def _requirements(file: Path) -> str:
    return _install([f"pip install -r {file.name}"])


def _conda(file: Path) -> str:
    return "image: condaforge/miniforge3\n" + _install([f"mamba env update --name base --file {file.name}"])


def _pyproject(file: Path) -> str:
    """Use only the dependencies: the project itself is code, which comes as a bundle."""
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project") or {}
        names = [str(name) for name in project.get("dependencies") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
    return _install(["pip install " + " ".join(map(shlex.quote, names))]) if names else ""


def _install(commands: Sequence[str]) -> str:
    """Format as YAML; commands with special characters are quoted."""
    lines = [_scalar(command) for command in commands]
    if len(lines) == 1:
        return f"install: {lines[0]}\n"
    return "install:\n" + "".join(f"  - {command}\n" for command in lines)


def _scalar(text: str) -> str:
    if any(sign in text for sign in (": ", " #", "'", '"')):
        return "'" + text.replace("'", "''") + "'"
    return text


_FILES = (
    ("uv.lock", _uv),
    ("poetry.lock", _poetry),
    ("requirements.txt", _requirements),
    ("environment.yml", _conda),
    ("environment.yaml", _conda),
    ("pyproject.toml", _pyproject),
)
