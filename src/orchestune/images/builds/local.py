"""Images in the local Docker Engine, for containers on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.errors import OrchestuneError, Unreachable
from orchestune.images.builds.build import Plan, Say
from orchestune.images.builds.recipe import Base, refused, user_of
from orchestune.images.builds.tools import Tool
from orchestune.images.registries.manifests import Platform, parse_platform
from orchestune.images.registries.reference import Reference

_LOCAL_REGISTRY = "orchestune.local"
"""used in place of a registry's name; images with it are never pushed"""


def find(name: str, platform: Platform) -> Base | None:
    """Return an image of the engine, by digest or else by a name with the engine's image id. None if absent.

    Raises UsageError if it is for another platform, Unreachable without an engine.
    """
    description = _inspect(name)
    if description is None:
        return None
    architecture = parse_platform(str(description.get("Architecture"))).architecture
    image_platform = Platform(architecture, str(description.get("Os") or "linux"))
    if image_platform != platform:
        raise refused(name, [image_platform], platform)
    digests = description.get("RepoDigests") or [_tag_by_id(str(description["Id"]))]
    return Base(str(digests[0]), user_of(description.get("Config") or {}))


def build(text: str, files: Mapping[str, Path], platform: Platform, tag: str, say: Say) -> str:
    """Build the image unless the engine has it, and return its id. Raises errors as `Builder.build` does."""
    target = Reference(_LOCAL_REGISTRY, "image", tag)
    description = _inspect(str(target))
    if description is None:
        say(f"building an image for {platform} with docker")
        Tool("docker").make(Plan(text, files, platform, target), say)
        description = _inspect(str(target))
    else:
        say(f"found the image {description['Id'][7:19]}")
    if description is None:
        raise OrchestuneError(f"docker built {target} but does not have it", "check if something removes images")
    return str(description["Id"])


def _tag_by_id(image: str) -> str:
    """Tag an image that has only an id: not every builder accepts an id in FROM."""
    name = f"{_LOCAL_REGISTRY}/base:{image.removeprefix('sha256:')}"
    _docker("tag", image, name)
    return name


def _inspect(name: str) -> Mapping[str, Any] | None:
    process = _docker("image", "inspect", name)
    if process.returncode == 0:
        description: Mapping[str, Any] = json.loads(process.stdout)[0]
        return description
    if "no such" in process.stderr.lower():
        return None
    raise Unreachable(
        f"docker does not answer: {process.stderr.strip()}", "start the Docker Engine, or see DOCKER_HOST"
    )


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise Unreachable(
            "cannot build the image: the program docker is not installed",
            "install it, or name an image that exists in `image:`",
        ) from exc
