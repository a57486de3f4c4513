"""Exclusions by a folder's `.dockerignore`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from orchestune.errors import BadInput, Problem

_USUAL = ".dockerignore"


def leaving_out(folder: Path, dockerfile: str) -> Callable[[str], str]:
    """Return a function that maps a path in the folder to the ignore file that excludes it, or to an empty string.

    As in Docker, `NAME.dockerignore` beside a Dockerfile replaces the folder's own. Raises BadInput.
    """
    from docker.utils.build import Pattern  # imported on demand, only for builds: loads requests and more

    name = next((each for each in (f"{dockerfile}.dockerignore", _USUAL) if (folder / each).is_file()), "")
    found = [Pattern(line) for line in _lines(folder, name)] if name else []
    patterns = [pattern for pattern in found if pattern.dirs]

    def leaves_out(path: str) -> str:
        """Apply the last pattern that matches the path or a folder above it."""
        paths = [path, *(str(above) for above in PurePosixPath(path).parents if above.name)]
        fits = [pattern for pattern in patterns if any(map(pattern.match, paths))]
        return name if fits and not fits[-1].exclusion else ""

    return leaves_out


def _lines(folder: Path, name: str) -> list[str]:
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise BadInput([Problem(f"cannot be read: {why}", file=name)]) from exc
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
