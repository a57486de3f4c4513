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

_PLACE = "orchestune.local"
"""used in place of a registry's name; images with it are never pushed"""


def find(name: str, platform: Platform) -> Base | None:
    """Return an image of the engine, by digest or else by a name with the engine's image id. None if absent.

    Raises UsageError if it is for another platform, Unreachable without an engine.
    """
    found = _inspect(name)
    if found is None:
        return None
    own = Platform(parse_platform(str(found.get("Architecture"))).architecture, str(found.get("Os") or "linux"))
    if own != platform:
        raise refused(name, [own], platform)
    digests = found.get("RepoDigests") or [_named(str(found["Id"]))]
    return Base(str(digests[0]), user_of(found.get("Config") or {}))


def build(text: str, files: Mapping[str, Path], platform: Platform, tag: str, say: Say) -> str:
    """Build the image unless the engine has it, and return its id. Raises errors as `Builder.build` does."""
    target = Reference(_PLACE, "image", tag)
    found = _inspect(str(target))
    if found is None:
        say(f"building an image for {platform} with docker")
        Tool("docker").make(Plan(text, files, platform, target), say)
        found = _inspect(str(target))
    else:
        say(f"found the image {found['Id'][7:19]}")
    if found is None:
        raise OrchestuneError(f"docker built {target} and does not have it", "does something remove images?")
    return str(found["Id"])


def _named(image: str) -> str:
    """Tag an image that has only an id: not every builder accepts an id in FROM."""
    name = f"{_PLACE}/base:{image.removeprefix('sha256:')}"
    _docker("tag", image, name)
    return name


def _inspect(name: str) -> Mapping[str, Any] | None:
    done = _docker("image", "inspect", name)
    if done.returncode == 0:
        found: Mapping[str, Any] = json.loads(done.stdout)[0]
        return found
    if "no such" in done.stderr.lower():
        return None
    raise Unreachable(f"docker does not answer: {done.stderr.strip()}", "start the Docker Engine, or see DOCKER_HOST")


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise Unreachable(
            "an image has to be built, and the program docker is not there",
            "install it, or name an image that exists in `image:`",
        ) from exc
