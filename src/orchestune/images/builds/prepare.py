"""Resolution of an experiment's image settings to one image by digest, with a build only if no such image exists."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestune.errors import OrchestuneError, UsageError
from orchestune.images.builds import local
from orchestune.images.builds.build import Builder, Plan, Say
from orchestune.images.builds.recipe import Base, recipe, refused, tag, user_of
from orchestune.images.builds.tools import KINDS, find_tool
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import PushTarget, Reference, is_loopback, parse, parse_place
from orchestune.images.registries.registry import Registry, open_registry

DEFAULT = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
"""default image: the Python version of the experiment's author"""
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
    """Return the image of an experiment by digest, for nodes of `platform`; a built image is pushed to `registry`.

    Without a registry, the local Docker Engine builds and keeps the image, and the result is the engine's image id.
    `builder` is used if this machine has no docker, podman or buildah; `profile` is the AWS profile for logins at ECR.
    Blocks during a build, otherwise for a few requests. Raises BadInput, UsageError, Denied, NotFound, Unreachable,
    OrchestuneError. Idempotent: the next call starts an interrupted build again.
    """
    commands = [install] if isinstance(install, str) else list(install)
    commands = [command for command in commands if command.strip()]
    push_target = parse_place(registry) if registry else None

    def resolve(name: str) -> Base:
        local_image = local.find(name, platform) if push_target is None and (commands or dockerfile) else None
        return local_image or _resolve(parse(name), push_target, platform, profile)

    if not commands and not dockerfile:
        return resolve(image or DEFAULT).name
    text, files = recipe(image or DEFAULT, commands, dockerfile, folder.resolve(), resolve)
    name = tag(text, files, platform)
    if push_target is None:
        return local.build(text, files, platform, name, say)
    target = Reference(push_target.registry, push_target.repository(REPOSITORY), name)
    plan = Plan(text, files, platform, target, push_target.plain or is_loopback(push_target.registry), profile)
    with open_registry(push_target.registry, plain=push_target.plain, profile=profile) as client:
        digest = client.find(target.repository, name)
        if digest is None:
            _build(plan, builder, say)
            digest = client.find(target.repository, name)
        else:
            say(f"found {target}")
    if digest is None:
        raise OrchestuneError(
            f"{target} was pushed but is not in the registry", "check if the registry deletes new images"
        )
    return str(target.at(digest))


def runs_on(image: str, registry: str | None, profile: str = "") -> tuple[Platform, ...]:
    """Return the platforms of an image in a registry; `registry` and `profile` as in `prepare_image`."""
    push_target, reference = parse_place(registry) if registry else None, parse(image)
    with _open(reference, push_target, profile) as client:
        return client.resolve(reference)[1]


def _resolve(reference: Reference, push_target: PushTarget | None, platform: Platform, profile: str) -> Base:
    """Return an image of a registry by digest. Raises UsageError if it is for other platforms."""
    with _open(reference, push_target, profile) as client:
        manifest = client.manifest(reference.repository, reference.version)
        platforms = client.platforms(reference.repository, manifest)
        if platform not in platforms:
            raise refused(str(reference), platforms, platform)
        config = client.configuration(reference.repository, manifest, platform).get("config") or {}
    return Base(str(reference.at(manifest.digest)), user_of(config))


def _open(reference: Reference, push_target: PushTarget | None, profile: str) -> Registry:
    plain = push_target is not None and push_target.plain and push_target.registry == reference.registry
    return open_registry(reference.registry, plain=plain, profile=profile)


def _build(plan: Plan, builder: Builder | None, say: Say) -> None:
    selected: Builder | None = find_tool() or builder
    if selected is None:
        raise UsageError(
            f"cannot build the image: neither {', '.join(KINDS[:-1])} nor {KINDS[-1]} is available on this machine",
            "install one of them, or name an image that exists in `image:`",
        )
    say(f"building {plan.target} for {plan.platform} with {selected.name}")
    selected.build(plan, say)
