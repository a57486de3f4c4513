"""The Dockerfile of an experiment's image, with its bases pinned by digest, and the files of its context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import BadInput, Problem, UsageError
from orchestune.images.builds import context
from orchestune.images.builds import dockerfile as dockerfiles
from orchestune.images.registries.manifests import Platform


@dataclass(frozen=True)
class Base:
    """A base image."""

    name: str
    """immutable name for pulling it"""
    user: str = ""
    """its user, unless root"""


def recipe(
    image: str, commands: Sequence[str], dockerfile: str | None, folder: Path, resolve: Callable[[str], Base]
) -> tuple[str, dict[str, Path]]:
    """Return Dockerfile and files of a build in `folder`; `resolve` looks up an image by the name that the user wrote.

    Raises BadInput, TooLarge, and what `resolve` raises.
    """
    files = context.for_install(folder, commands)
    if dockerfile is None:
        base = resolve(image)
        return dockerfiles.for_install(base.name, commands, list(files), base.user), files
    text = _read(folder / dockerfile, dockerfile)
    own = context.for_dockerfile(folder, text, dockerfile)
    found = {name: _base(name, dockerfile, resolve) for name in dockerfiles.bases(text, dockerfile)}
    user = dockerfiles.user_of(text, {name: base.user for name, base in found.items()}, dockerfile)
    pinned = dockerfiles.pin(text, {name: base.name for name, base in found.items()}, dockerfile)
    text = dockerfiles.after_dockerfile(pinned, commands, list(files), user)
    return text, dict(sorted({**own, **files}.items()))


def user_of(config: Mapping[str, Any]) -> str:
    """Return an image's user from the `config` of its configuration; empty for root."""
    return dockerfiles.unless_root(str(config.get("User") or ""))


def refused(image: str, there: Iterable[Platform], wanted: Platform) -> UsageError:
    """Return the error for an image that the nodes cannot run."""
    return UsageError(
        f"the image {image} is for {', '.join(map(str, there))}, and the nodes are {wanted}",
        "name an image that is made for them, or build it for them",
    )


def _base(name: str, dockerfile: str, resolve: Callable[[str], Base]) -> Base:
    try:
        return resolve(name)
    except BadInput as exc:
        raise BadInput([Problem(exc.message, file=dockerfile)], exc.hint) from exc


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # utf-8-sig: editors on Windows write a BOM
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise BadInput([Problem(f"cannot be read: {why}", key="dockerfile", file=name)]) from exc
