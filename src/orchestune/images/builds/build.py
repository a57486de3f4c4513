"""Build plans, and the interface of image builders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """An image to build and push."""

    dockerfile: str
    """its text; external images are pinned by digest"""
    files: Mapping[str, Path]
    """files by their path in the context"""
    platform: Platform
    """platform of the nodes, independent of this machine"""
    target: Reference
    """repository and content-addressed tag"""
    plain: bool = False
    """the registry has no TLS"""
    profile: str = ""
    """AWS profile for a registry login at ECR; empty: as the environment selects"""


class Builder(Protocol):
    """Builds images, with a program on this machine or a Job in the cluster."""

    @property
    def name(self) -> str:
        """Name for messages: `docker`, `a job in the cluster lab`."""

    def build(self, plan: Plan, say: Say) -> None:
        """Build the image and push it to `plan.target`. Blocks for minutes; `say` receives the output line by line.

        Idempotent, also for concurrent callers, who push the same image. Raises OrchestuneError with the end of the
        output if a step fails, Denied if the registry refuses, Unreachable if the builder is not available.
        """


def write_context(plan: Plan, folder: Path) -> Path:
    """Write only the files of the plan into a build context, and return the Dockerfile, which is beside the context."""
    context = folder / "context"
    context.mkdir()
    for name, source in plan.files.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(plan.dockerfile, encoding="utf-8")
    return dockerfile
