"""Files of this Orchestune installation: its own, and those of its dependencies."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestune.errors import UsageError

NAME = "orchestune"
_SERVICES = ("lambda", "s3", "sso", "sso-oidc", "sts")
"""AWS services in use; botocore has definitions of all 400"""
_BUILD_SUFFIXES = (".a", ".c", ".h", ".pxd", ".pyi", ".pyx")
_NO_METADATA = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
_IMPORTED_TESTS = ("numpy/_core/tests/_natype.py",)


def libraries() -> list[Distribution]:
    """Return all dependencies, sorted by name, including those of extras if installed.

    Raises UsageError if a required one is missing.
    """
    own_distribution = importlib.metadata.distribution(NAME)
    distributions: dict[str, Distribution] = {}
    extras: dict[str, frozenset[str]] = {}
    pending = [(requirement, False) for requirement in _requirements(own_distribution, frozenset())]
    for extra in own_distribution.metadata.get_all("Provides-Extra") or ():
        pending += [(requirement, True) for requirement in _requirements(own_distribution, frozenset({extra}))]
    while pending:
        requirement, optional = pending.pop()
        key = canonicalize_name(requirement.name)
        required_extras = extras.get(key, frozenset()) | requirement.extras
        if key in distributions and required_extras == extras[key]:
            continue
        try:
            distributions[key] = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError as exc:
            if optional:
                continue
            raise UsageError(
                f"{NAME} needs {requirement}, which is not installed", f"reinstall {NAME} with pip"
            ) from exc
        extras[key] = frozenset(required_extras)
        pending += [(dependency, optional) for dependency in _requirements(distributions[key], extras[key])]
    return [distributions[key] for key in sorted(distributions)]


def library_files(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the runtime files of an installed library, by their path below site-packages."""
    if not distribution.files:
        raise UsageError(
            f"cannot list the installed files of {distribution.metadata['Name']}",
            "install orchestune with pip in a virtual environment, or name an image with --server-image",
        )
    for path in sorted(distribution.files):
        name = path.as_posix()
        if _is_needed(name):
            file = Path(str(distribution.locate_file(path)))
            if file.is_file():
                yield name, file


def own_files() -> Iterator[tuple[str, Path]]:
    """Yield the files of this package itself, which may be installed from a source folder."""
    root = Path(__file__).resolve().parents[2]
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{root.name}/{file.relative_to(root).as_posix()}", file
    metadata = importlib.metadata.distribution(NAME)
    for path in sorted(metadata.files or ()):
        if path.parent.name.endswith(".dist-info") and path.name not in _NO_METADATA:
            file = Path(str(metadata.locate_file(path)))
            if file.is_file():
                yield path.as_posix(), file


def _requirements(distribution: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield requirement


def _is_needed(name: str) -> bool:
    parts = name.split("/")
    if parts[0] == ".." or "__pycache__" in parts or name.endswith(_BUILD_SUFFIXES):
        return False
    if parts[0].endswith(".dist-info"):
        return parts[-1] not in _NO_METADATA
    if parts[:2] == ["botocore", "data"] and len(parts) > 3:
        return parts[2] in _SERVICES
    return not {"test", "tests"} & set(parts[:-1]) or name in _IMPORTED_TESTS
