"""From what an experiment file says of its image to one image by digest, built only where nobody built it before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestune.errors import OrchestuneError, UsageError
from orchestune.images import local
from orchestune.images.build import Builder, Plan, Say
from orchestune.images.digest import tag
from orchestune.images.manifests import Platform
from orchestune.images.recipe import Base, recipe, refused, user_of
from orchestune.images.reference import Place, Reference, is_loopback, parse, parse_place
from orchestune.images.registry import Registry, open_registry
from orchestune.images.tools import KINDS, find_tool

DEFAULT = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
"""for code that says nothing of its image: the Python of whoever wrote it"""
REPOSITORY = "orchestune"


def prepare_image(
    image: str | None,
    install: str | Sequence[str],
    dockerfile: str | None,
    folder: Path,
    registry: str | None,
    platform: Platform,
    say: Say,
    *,
    builder: Builder | None = None,
    profile: str = "",
) -> str:
    """The image of an experiment by digest, for nodes of `platform`; `registry` is where a built one goes.

    Without a registry it is built by this machine's Docker Engine, stays there, and is told by the engine's own id.
    `builder` is used where there is no docker, podman or buildah on this machine; `profile`: as which registries of
    AWS are asked for a login. Blocks while the image is built, else
    for a few requests. Raises BadInput, UsageError, Denied, NotFound, Unreachable, OrchestuneError; nothing is left
    half-done: a build that ended early is begun again by the next call.
    """
    commands = [install] if isinstance(install, str) else list(install)
    commands = [command for command in commands if command.strip()]
    place = parse_place(registry) if registry else None

    def resolve(name: str) -> Base:
        found = local.find(name, platform) if place is None and (commands or dockerfile) else None
        return found or _resolve(parse(name), place, platform, profile)

    if not commands and not dockerfile:
        return resolve(image or DEFAULT).name
    text, files = recipe(image or DEFAULT, commands, dockerfile, folder.resolve(), resolve)
    name = tag(text, files, platform)
    if place is None:
        return local.build(text, files, platform, name, say)
    target = Reference(place.registry, place.repository(REPOSITORY), name)
    plan = Plan(text, files, platform, target, place.plain or is_loopback(place.registry), profile)
    with open_registry(place.registry, plain=place.plain, profile=profile) as client:
        digest = client.find(target.repository, name)
        if digest is None:
            _build(plan, builder, say)
            digest = client.find(target.repository, name)
        else:
            say(f"found {target}")
    if digest is None:
        raise OrchestuneError(f"{target} was pushed and is not in the registry", "does it delete what is new?")
    return str(target.at(digest))


def runs_on(image: str, registry: str | None, profile: str = "") -> tuple[Platform, ...]:
    """What an image of a registry runs on; `registry` and `profile` as above."""
    place, reference = parse_place(registry) if registry else None, parse(image)
    with _opened(reference, place, profile) as client:
        return client.resolve(reference)[1]


def _resolve(reference: Reference, place: Place | None, platform: Platform, profile: str) -> Base:
    """An image of a registry by digest. UsageError when it is of another platform."""
    with _opened(reference, place, profile) as client:
        manifest = client.manifest(reference.repository, reference.version)
        platforms = client.platforms(reference.repository, manifest)
        if platform not in platforms:
            raise refused(str(reference), platforms, platform)
        config = client.configuration(reference.repository, manifest, platform).get("config") or {}
    return Base(str(reference.at(manifest.digest)), user_of(config))


def _opened(reference: Reference, place: Place | None, profile: str) -> Registry:
    plain = place is not None and place.plain and place.registry == reference.registry
    return open_registry(reference.registry, plain=plain, profile=profile)


def _build(plan: Plan, builder: Builder | None, say: Say) -> None:
    chosen: Builder | None = find_tool() or builder
    if chosen is None:
        raise UsageError(
            f"the image has to be built, and neither {', '.join(KINDS[:-1])} nor {KINDS[-1]} answers on this machine",
            "install one of them, or name an image that exists in `image:`",
        )
    say(f"building {plan.target} for {plan.platform} with {chosen.name}")
    chosen.build(plan, say)
