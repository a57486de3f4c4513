"""Resolve an experiment's image to a digest before it starts, building it if the file says how and no build exists."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from orchestune.backends.kubernetes.objects.patching import merged
from orchestune.cli.experiments import destination
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing.client import ContextClient
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import parse_bytes
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, UsageError
from orchestune.images.registries.manifests import ARCHITECTURE, Platform, parse_platform
from orchestune.images.registries.untrusted import Untrusted


def pinned(console: Console, prepared: PreparedExperiment) -> Specification:
    """Return the specification with its image by digest. Blocks while an image is built; progress is printed as notes.

    Raises what `prepare_image` raises. An experiment without an image gets the cluster's default one; one that uses the
    programs of this machine needs none.
    """
    specification, cluster = prepared.specification, console.place.cluster
    image, built = specification.placement.image, bool(prepared.install or prepared.dockerfile)
    if cluster is None or not destination.in_images(console.place):
        return specification
    if not (image or built):
        return _with_default(console, prepared, cluster)
    try:
        placement = _resolve(console, prepared, cluster)
    except (Denied, TemporaryError, Untrusted) as exc:
        if built or image is None or "@" not in image:
            raise
        console.note(f"{image} cannot be resolved from here ({exc}); the node that pulls it may be able to")
        return specification
    return replace(specification, placement=placement)


def _with_default(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Specification:
    """Return the specification with the cluster's default image, if any.

    An image that cannot be resolved from here is left to the server.
    """
    if cluster.provider == "docker":
        return prepared.specification
    from orchestune.cli.clusters.shared import api  # only needed for clusters
    from orchestune.clusters.existing.image_build import settings

    subject, specification = "its default image", prepared.specification
    try:
        build_settings = settings(api(cluster), cluster.namespace)
        if build_settings is None or build_settings.default_image is None:
            return specification
        subject = f"its default image {build_settings.default_image}"
        with_image = replace(
            specification, placement=replace(specification.placement, image=build_settings.default_image)
        )
        placement = _resolve(console, replace(prepared, specification=with_image), cluster)
    except (Denied, NotFound, TemporaryError, Untrusted) as exc:
        console.note(
            f"{cluster.name}: {subject} cannot be resolved from here ({exc}); the node that pulls it may be able to"
        )
        return specification
    return replace(specification, placement=placement)


def _resolve(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Placement:
    if cluster.provider == "docker":
        from orchestune.cli.experiments.local_image import of_the_engine  # Docker's client, not needed for clusters

        return replace(prepared.specification.placement, image=of_the_engine(console, prepared))
    return _resolve_in_registry(console, prepared, cluster)


def _resolve_in_registry(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Placement:
    """Resolve the image in the registry that the nodes pull from; keep it if that registry is unreachable from here.

    If nodes may be of several architectures and the image does not support all of them, trials are restricted to nodes
    that can run it.
    """
    from orchestune.cli.clusters.cloud import profile
    from orchestune.cli.clusters.shared import api
    from orchestune.clusters.existing.image_build import ClusterBuilder
    from orchestune.images.builds.job import BUILDER, MEMORY
    from orchestune.images.builds.prepare import (  # registry client, slow to import
        prepare_image,
        runs_on,
    )
    from orchestune.images.registries import credentials

    placement = prepared.specification.placement
    image, built = placement.image, bool(prepared.install or prepared.dockerfile)
    if cluster.registry is None and built:
        raise UsageError(
            f"cannot build the image: no registry is configured for cluster '{cluster.name}'",
            f"configure one: orchestune cluster connect -n {cluster.name} --registry registry.lab:5000",
        )
    cluster_api = api(cluster)
    target, nodes = node_platforms(cluster_api, cluster.namespace, architecture_of(placement.pod))
    credentials_profile = profile(console, cluster.profile)
    builder = ClusterBuilder(
        cluster_api,
        cluster.namespace,
        cluster.name,
        image=console.environ.get("ORCHESTUNE_BUILDER") or BUILDER,
        memory=_memory(console.environ.get("ORCHESTUNE_BUILDER_MEMORY")) or MEMORY,
        find=partial(credentials.find, profile=credentials_profile),
    )
    platforms = {target}
    try:
        if image and not built and nodes != {target}:
            platforms = set(runs_on(image, cluster.registry, credentials_profile))
            target = target if target in platforms else min(platforms & (nodes or platforms), key=str, default=target)
        resolved = prepare_image(
            image,
            prepared.install,
            prepared.dockerfile,
            prepared.folder,
            cluster.registry,
            target,
            console.note,
            builder=builder,
            profile=credentials_profile,
        )
    except TemporaryError as exc:
        if image is None or "@" in image or built:
            raise
        console.note(f"{image} cannot be resolved from here ({exc}); each node resolves the tag itself")
        return placement
    if nodes <= platforms if nodes else len(platforms) > 1:
        return replace(placement, image=resolved)
    if nodes:
        console.note(f"the image is for {target}: nodes of other platforms get no trials")
    selector = {"spec": {"nodeSelector": {ARCHITECTURE: target.architecture}}}
    return replace(placement, image=resolved, pod=merged(placement.pod, selector))


def architecture_of(pod: Mapping[str, Any]) -> str:
    """Return the architecture that the node selector of a `pod:` requires; empty if it requires none."""
    spec = pod.get("spec")
    selector = spec.get("nodeSelector") if isinstance(spec, Mapping) else None
    return str(selector.get(ARCHITECTURE) or "") if isinstance(selector, Mapping) else ""


def _memory(text: str | None) -> int:
    """Parse a size; 0 if there is none."""
    try:
        return parse_bytes(text) if text else 0
    except ValueError as exc:
        raise UsageError(f"ORCHESTUNE_BUILDER_MEMORY: {exc}") from exc


def node_platforms(
    cluster_api: ContextClient, namespace: str, architecture: str = ""
) -> tuple[Platform, set[Platform]]:
    """Return the platform to build an image for, and those of all nodes that may run a trial (empty if unknown).

    The first is `architecture`, from the file, or that of the worker's Python. If that supports several, it is the
    platform of all nodes, or this machine's if they differ or cannot be listed.
    """
    if architecture:
        return Platform(architecture), {Platform(architecture)}
    from orchestune.cli.clusters.image import platforms  # only needed for images
    from orchestune.clusters.existing.image_build import settings

    with suppress(OrchestuneError):  # without this right, go by the nodes
        build_settings = settings(cluster_api, namespace)
        if build_settings is not None and build_settings.architecture:
            return build_settings.platform, {build_settings.platform}
    own, listed = parse_platform(platform.machine()), [parse_platform(name) for name in platforms(cluster_api)]
    return listed[0] if listed and own not in listed else own, set(listed)
