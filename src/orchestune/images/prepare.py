"""From what an experiment file says of its image to one image by digest, built only where nobody built it before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestune.errors import BadInput, NotFound, OrchestuneError, Problem, UsageError
from orchestune.images import context
from orchestune.images import dockerfile as dockerfiles
from orchestune.images.build import Builder, Plan, Say
from orchestune.images.digest import tag
from orchestune.images.manifests import Platform
from orchestune.images.reference import Place, Reference, parse, parse_place
from orchestune.images.registry import open_registry
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
) -> str:
    """The image of an experiment by digest, for nodes of `platform`; `registry` is where a built one goes.

    `builder` is used where there is no docker, podman or buildah on this machine. Blocks while the image is built, else
    for a few requests. Raises BadInput, UsageError, Denied, NotFound, Unreachable, OrchestuneError; nothing is left
    half-done: a build that ended early is begun again by the next call.
    """
    commands = [install] if isinstance(install, str) else list(install)
    commands = [command for command in commands if command.strip()]
    place = parse_place(registry) if registry else None
    if not commands and not dockerfile:
        return str(_resolve(parse(image or DEFAULT), place, platform)[0])
    if place is None:
        raise UsageError(
            "the image has to be built, and there is no registry to push it to",
            "name one when the cluster is connected: --registry registry.lab:5000",
        )
    text, files = _recipe(image, commands, dockerfile, folder, place, platform)
    name = tag(text, files, platform)
    target = Reference(place.registry, place.repository(REPOSITORY), name)
    plan = Plan(text, files, platform, target, place.plain)
    with open_registry(place.registry, plain=place.plain) as client:
        digest = client.find(target.repository, name)
        if digest is None:
            _build(plan, builder, say)
            digest = client.find(target.repository, name)
        else:
            say(f"found {target}")
    if digest is None:
        raise OrchestuneError(f"{target} was pushed and is not in the registry", "does it delete what is new?")
    return str(target.at(digest))


def _recipe(
    image: str | None, commands: Sequence[str], dockerfile: str | None, folder: Path, place: Place, platform: Platform
) -> tuple[str, dict[str, Path]]:
    """The Dockerfile, with what it builds on by digest, and the files that it may see."""
    folder = folder.resolve()
    files = context.for_install(folder, commands)
    if dockerfile is None:
        base, user = _resolve(parse(image or DEFAULT), place, platform)
        return dockerfiles.for_install(str(base), commands, list(files), user), files
    text = _read(folder / dockerfile, dockerfile)
    pinned = {name: str(_base(name, dockerfile, place, platform)) for name in dockerfiles.bases(text, dockerfile)}
    own = context.for_dockerfile(folder, text, dockerfile)
    text = dockerfiles.after_dockerfile(dockerfiles.pin(text, pinned, dockerfile), commands, list(files))
    return text, dict(sorted({**own, **files}.items()))


def _base(name: str, dockerfile: str, place: Place, platform: Platform) -> Reference:
    try:
        return _resolve(parse(name), place, platform)[0]
    except BadInput as exc:
        raise BadInput([Problem(exc.message, file=dockerfile)], exc.hint) from exc


def _resolve(reference: Reference, place: Place | None, platform: Platform) -> tuple[Reference, str]:
    """An image by digest, and whom it runs as where that is not root. UsageError when it is of another platform."""
    plain = place is not None and place.plain and place.registry == reference.registry
    with open_registry(reference.registry, plain=plain) as client:
        manifest = client.manifest(reference.repository, reference.version)
        platforms = client.platforms(reference.repository, manifest)
        if platform not in platforms:
            there = ", ".join(map(str, platforms))
            raise UsageError(
                f"the image {reference} is for {there}, and the nodes are {platform}",
                "name an image that is made for them, or build it for them",
            )
        try:
            config = client.configuration(reference.repository, manifest, platform).get("config") or {}
        except NotFound:
            config = {}
    user = str(config.get("User") or "")
    return reference.at(manifest.digest), "" if user.partition(":")[0] in ("", "0", "root") else user


def _build(plan: Plan, builder: Builder | None, say: Say) -> None:
    chosen: Builder | None = find_tool() or builder
    if chosen is None:
        raise UsageError(
            f"the image has to be built, and neither {', '.join(KINDS[:-1])} nor {KINDS[-1]} answers on this machine",
            "install one of them, or name an image that exists in `image:`",
        )
    say(f"building {plan.target} for {plan.platform} with {chosen.name}")
    chosen.build(plan, say)


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise BadInput([Problem(f"cannot be read: {why}", key="dockerfile", file=name)]) from exc
