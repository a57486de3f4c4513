"""The Dockerfile of an experiment's image, with its bases pinned by digest, the files of its context, and its tag."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import BadInput, Problem, UsageError
from orchestune.images.builds import context
from orchestune.images.builds import dockerfile as dockerfiles
from orchestune.images.registries.manifests import Platform

_TAG_FORMAT = 1
"""incremented if the same inputs produce a different image"""


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
    dockerfile_files = context.for_dockerfile(folder, text, dockerfile)
    base_images = {name: _base(name, dockerfile, resolve) for name in dockerfiles.bases(text, dockerfile)}
    user = dockerfiles.user_of(text, {name: base.user for name, base in base_images.items()}, dockerfile)
    pinned = dockerfiles.pin(text, {name: base.name for name, base in base_images.items()}, dockerfile)
    text = dockerfiles.after_dockerfile(pinned, commands, list(files), user)
    return text, dict(sorted({**dockerfile_files, **files}.items()))


def tag(dockerfile: str, files: Mapping[str, Path], platform: Platform) -> str:
    """Return a content-addressed tag: equal inputs give the same tag, so no image is built twice.

    The inputs are the Dockerfile, which pins its base by digest, and the content of the files in its context.
    """
    inputs = {
        "format": _TAG_FORMAT,
        "dockerfile": dockerfile,
        "platform": str(platform),
        "files": {name: [_sha256(path), os.access(path, os.X_OK)] for name, path in files.items()},
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_of(config: Mapping[str, Any]) -> str:
    """Return an image's user from the `config` of its configuration; empty for root."""
    return dockerfiles.unless_root(str(config.get("User") or ""))


def refused(image: str, platforms: Iterable[Platform], required: Platform) -> UsageError:
    """Return the error for an image that the nodes cannot run."""
    return UsageError(
        f"the image {image} does not run on the nodes: it is for {', '.join(map(str, platforms))}, they are {required}",
        "name an image for their platform, or build one",
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
        reason = exc.strerror if isinstance(exc, OSError) else "not a text file"
        raise BadInput([Problem(f"cannot be read: {reason}", key="dockerfile", file=name)]) from exc
