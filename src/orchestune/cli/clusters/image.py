"""Which image the server in a cluster runs: the one that was named, one made from this installation, or a published."""

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
    console: Console, api: ContextClient, wanted: ConnectionSettings, profile: str = ""
) -> ConnectionSettings:
    """The same with an image by digest. One that is named by a digest, or deployed already, stays as it is.

    `profile`: as which registries of AWS are asked for a login.
    """
    if "@sha256:" in wanted.server_image:
        return replace(wanted, version=wanted.version or __version__)
    if wanted.server_image or not wanted.registry:
        image, architecture = _resolved(console, wanted.server_image or PUBLISHED, profile)
        return replace(wanted, server_image=image, architecture=architecture, version=__version__)
    from orchestune.images.registries.manifests import (
        parse_platform,  # making an image takes more modules than all else here
    )
    from orchestune.images.registries.reference import parse_place
    from orchestune.images.registries.registry import open_registry
    from orchestune.images.runtime.server_image import push_server_image

    own, nodes = parse_platform(machine()), [parse_platform(platform) for platform in platforms(api)]
    if wanted.architecture and wanted.platform in (nodes or [wanted.platform]):
        nodes = [wanted.platform]  # for which images of experiments have been made
    if own in nodes and (others := [str(node) for node in nodes if node != own]):
        console.note(f"the image is for {own}: nodes that are {', '.join(others)} get no trials")
        nodes = [own]
    place = parse_place(wanted.registry)
    cache = state_folder(console.environ) / "server-image"
    with open_registry(place.registry, plain=place.plain, profile=profile) as registry:
        made = push_server_image(registry, place.repository(REPOSITORY), nodes, console.note, cache)
    return replace(wanted, server_image=str(made), architecture=own.architecture, version=__version__)


def note_registry(console: Console, wanted: ConnectionSettings, profile: str = "") -> None:
    """Say where the registry does not answer here. BadInput where it is no address of one. `profile` as above."""
    from orchestune.images.registries.reference import parse_place
    from orchestune.images.registries.registry import open_registry

    place = parse_place(wanted.registry or "")
    try:
        with open_registry(place.registry, plain=place.plain, profile=profile) as registry:
            registry.greet(place.repository(REPOSITORY))
    except OrchestuneError as exc:
        console.note(
            f"{'; '.join(filter(None, [exc.message, exc.hint]))}. It is remembered all the same, for machines that see"
            f" it: images that are built are pushed there; `orchestune cluster test -n {wanted.name}` tries it"
        )


def platforms(api: ContextClient) -> list[str]:
    """`linux/amd64` and the like of the nodes of Linux, where this user may look at them."""
    try:
        nodes = list(api.items("v1", "Node"))
    except OrchestuneError:
        return []
    facts = [node["status"].get("nodeInfo", {}) for node in nodes]
    found = {f"{fact['operatingSystem']}/{fact['architecture']}" for fact in facts if "architecture" in fact}
    return sorted(platform for platform in found if platform.startswith("linux/"))


def _resolved(console: Console, text: str, profile: str) -> tuple[str, str]:
    """The reference by digest, where its registry can be asked from here; else as it stands, for the nodes to find.

    And the architecture for which it is, where that is one alone.
    """
    from orchestune.images.registries.reference import parse
    from orchestune.images.registries.registry import open_registry

    reference = parse(text)
    try:
        with open_registry(reference.registry, profile=profile) as registry:
            found, there = registry.resolve(reference)
            kinds = {each.architecture for each in there if each.os == "linux"}
            return str(found), kinds.pop() if len(kinds) == 1 else ""
    except NotFound:
        raise
    except OrchestuneError as exc:
        console.note(f"{text} cannot be looked up from here ({exc}); the nodes take what the tag means to them")
        return str(reference), ""
