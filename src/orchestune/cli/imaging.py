"""Before an experiment starts: its image by digest, built where the file says how and nobody has built it before."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import replace
from functools import partial

from orchestune.cli import destination
from orchestune.cli.console import Console
from orchestune.cli.preparing import Prepared
from orchestune.client.clusters import Cluster
from orchestune.clusters.existing.client import Api
from orchestune.domain.experiment import Specification
from orchestune.domain.resources import parse_bytes
from orchestune.errors import Denied, OrchestuneError, TemporaryError, UsageError
from orchestune.images.distrust import Untrusted
from orchestune.images.manifests import Platform, parse_platform


def pinned(console: Console, prepared: Prepared) -> Specification:
    """The specification with its image by digest. Blocks while one is built; what is said meanwhile are notes.

    Raises what `prepare_image` raises. An experiment that names no image has the cluster's default one, and one of this
    machine's own programs needs none.
    """
    specification, cluster = prepared.specification, console.place.cluster
    image, built = specification.placement.image, bool(prepared.install or prepared.dockerfile)
    if cluster is None or not destination.in_images(console.place) or not (image or built):
        return specification
    try:
        found = _found(console, prepared, cluster)
    except (Denied, TemporaryError, Untrusted) as exc:
        if built or image is None or "@" not in image:
            raise
        console.note(f"{image} cannot be looked up from here ({exc}); whoever pulls it may know more")
        found = image
    return replace(specification, placement=replace(specification.placement, image=found))


def _found(console: Console, prepared: Prepared, cluster: Cluster) -> str:
    if cluster.provider == "docker":
        from orchestune.cli.imaging_here import of_the_engine  # Docker's client, which no cluster needs

        return of_the_engine(console, prepared)
    return _of_registry(console, prepared, cluster)


def _of_registry(console: Console, prepared: Prepared, cluster: Cluster) -> str:
    """From the registry where the nodes pull; where that cannot be asked from here, as it stands in the file."""
    from orchestune.cli.clusters.cloud import profile
    from orchestune.cli.clusters.commands import api
    from orchestune.clusters.existing.building import InCluster
    from orchestune.images import credentials
    from orchestune.images.job import BUILDER, MEMORY
    from orchestune.images.prepare import prepare_image  # speaking to registries takes modules of its own

    image = prepared.specification.placement.image
    if cluster.registry is None and (prepared.install or prepared.dockerfile):
        raise UsageError(
            f"the image has to be built, and cluster '{cluster.name}' has no registry that its nodes pull from",
            f"name one: orchestune cluster connect -n {cluster.name} --registry registry.lab:5000",
        )
    cluster_api = api(cluster)
    nodes = node_platform(cluster_api, cluster.namespace)
    who = profile(console, cluster.profile)
    builder = InCluster(
        cluster_api,
        cluster.namespace,
        cluster.name,
        image=console.environ.get("ORCHESTUNE_BUILDER") or BUILDER,
        memory=_memory(console.environ.get("ORCHESTUNE_BUILDER_MEMORY")) or MEMORY,
        find=partial(credentials.find, profile=who),
    )
    try:
        return prepare_image(
            image,
            prepared.install,
            prepared.dockerfile,
            prepared.folder,
            cluster.registry,
            nodes,
            console.note,
            builder=builder,
            profile=who,
        )
    except TemporaryError as exc:
        if image is None or "@" in image or prepared.install or prepared.dockerfile:
            raise
        console.note(f"{image} cannot be looked up from here ({exc}); each node takes what the tag means to it")
        return image


def _memory(text: str | None) -> int:
    """In bytes; 0 where nothing is said."""
    try:
        return parse_bytes(text) if text else 0
    except ValueError as exc:
        raise UsageError(f"ORCHESTUNE_BUILDER_MEMORY: {exc}") from exc


def node_platform(cluster_api: Api, namespace: str) -> Platform:
    """That of the nodes on which the worker's Python runs. Where that is not known: that of all nodes, and this
    machine's where they are of several or not to be seen.
    """
    from orchestune.cli.clusters.image import platforms  # the API of the cluster, which only images need here
    from orchestune.clusters.existing.building import settings

    with suppress(OrchestuneError):  # who may not look there goes by the nodes
        known = settings(cluster_api, namespace)
        if known is not None and known.architecture:
            return known.platform
    own, seen = parse_platform(platform.machine()), [parse_platform(each) for each in platforms(cluster_api)]
    return seen[0] if seen and own not in seen else own
