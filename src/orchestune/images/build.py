"""What a build is, and what a builder owes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestune.images.manifests import Platform
from orchestune.images.reference import Reference

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """One image to be built and pushed."""

    dockerfile: str
    """its text; every image from outside is in it by digest"""
    files: Mapping[str, Path]
    """path in the context → file"""
    platform: Platform
    """of the nodes, whatever this machine is"""
    target: Reference
    """repository and content-addressed tag"""
    plain: bool = False
    """the registry has no TLS"""
    profile: str = ""
    """as which AWS is asked for a login at a registry of its own; empty: as the environment says"""


class Builder(Protocol):
    """Builds images: a program on this machine, or a Job in the cluster."""

    @property
    def name(self) -> str:
        """For people: `docker`, `a job in the cluster lab`."""

    def build(self, plan: Plan, say: Say) -> None:
        """Build the image and push it to `plan.target`. Blocks for minutes; `say` gets the output line by line.

        May be repeated, and by several at once: they push the same. Raises OrchestuneError with the end of the output
        when a step fails, Denied when the registry refuses, Unreachable when the builder is not there.
        """


def write_context(plan: Plan, folder: Path) -> Path:
    """Lay out exactly what the build may see, and return the Dockerfile beside it (not in it)."""
    context = folder / "context"
    context.mkdir()
    for name, source in plan.files.items():
        place = context / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        place.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(plan.dockerfile, encoding="utf-8")
    return dockerfile
