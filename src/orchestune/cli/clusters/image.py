"""Image of the server in a cluster: the named one, one built from this installation, or a published one."""

from __future__ import annotations

from dataclasses import replace
from platform import machine

from orchestune import __version__
from orchestune.cli.terminal.console import Console
from orchestune.client.local.home import state_folder
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.errors import NotFound, OrchestuneError

PUBLISHED = f"ghcr.io/orchestune/server:{__version__}"
REPOSITORY = "orchestune/server"


def server_image(
    console: Console, api: ContextClient, settings: ConnectionSettings, profile: str = ""
) -> ConnectionSettings:
    """Return the settings with an image by digest. An image named by digest, or deployed already, is kept.

    `profile`: AWS profile for logins to registries.
    """
    if "@sha256:" in settings.server_image:
        return replace(settings, version=settings.version or __version__)
    if settings.server_image or not settings.registry:
        image, architecture = _resolved(console, settings.server_image or PUBLISHED, profile)
        return replace(settings, server_image=image, architecture=architecture, version=__version__)
    from orchestune.images.registries.manifests import (
        parse_platform,  # only needed to build an image
    )
    from orchestune.images.registries.reference import parse_place
    from orchestune.images.registries.registry import open_registry
    from orchestune.images.runtime.server_image import push_server_image

    local_platform, nodes = parse_platform(machine()), [parse_platform(platform) for platform in platforms(api)]
    if settings.architecture and settings.platform in (nodes or [settings.platform]):
        nodes = [settings.platform]  # images of experiments were built for it
    if local_platform in nodes and (others := [str(node) for node in nodes if node != local_platform]):
        console.note(f"the image is for {local_platform}: {', '.join(others)} nodes get no trials")
        nodes = [local_platform]
    repository = parse_place(settings.registry)
    cache = state_folder(console.environ) / "server-image"
    with open_registry(repository.registry, plain=repository.plain, profile=profile) as registry:
        pushed = push_server_image(registry, repository.repository(REPOSITORY), nodes, console.note, cache)
    return replace(settings, server_image=str(pushed), architecture=local_platform.architecture, version=__version__)


def note_registry(console: Console, settings: ConnectionSettings, profile: str = "") -> None:
    """Print a note if the registry does not answer. Raises BadInput for an invalid address. `profile` as above."""
    from orchestune.images.registries.reference import parse_place
    from orchestune.images.registries.registry import open_registry

    repository = parse_place(settings.registry or "")
    try:
        with open_registry(repository.registry, plain=repository.plain, profile=profile) as registry:
            registry.greet(repository.repository(REPOSITORY))
    except OrchestuneError as exc:
        console.note(
            f"{'; '.join(filter(None, [exc.message, exc.hint]))}. The registry is configured anyway, for machines"
            f" that can reach it; check it with `orchestune cluster test -n {settings.name}`"
        )


def platforms(api: ContextClient) -> list[str]:
    """Return the platforms of the Linux nodes, such as `linux/amd64`; empty if this user may not list them."""
    try:
        nodes = list(api.items("v1", "Node"))
    except OrchestuneError:
        return []
    node_infos = [node["status"].get("nodeInfo", {}) for node in nodes]
    names = {f"{info['operatingSystem']}/{info['architecture']}" for info in node_infos if "architecture" in info}
    return sorted(platform for platform in names if platform.startswith("linux/"))


def _resolved(console: Console, text: str, profile: str) -> tuple[str, str]:
    """Resolve a reference to a digest and the image's only architecture.

    The reference stays as it is if its registry is unreachable from here.
    """
    from orchestune.images.registries.reference import parse
    from orchestune.images.registries.registry import open_registry

    reference = parse(text)
    try:
        with open_registry(reference.registry, profile=profile) as registry:
            resolved, image_platforms = registry.resolve(reference)
            architectures = {platform.architecture for platform in image_platforms if platform.os == "linux"}
            return str(resolved), architectures.pop() if len(architectures) == 1 else ""
    except NotFound:
        raise
    except OrchestuneError as exc:
        console.note(f"{text} cannot be resolved from here ({exc}); the nodes resolve the tag themselves")
        return str(reference), ""
