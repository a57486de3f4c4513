"""Before an experiment starts: its image by digest, built where the file says how and nobody has built it before."""

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
    """The specification with its image by digest. Blocks while one is built; what is said meanwhile are notes.

    Raises what `prepare_image` raises. An experiment that names no image has the cluster's default one, and one of this
    machine's own programs needs none.
    """
    specification, cluster = prepared.specification, console.place.cluster
    image, built = specification.placement.image, bool(prepared.install or prepared.dockerfile)
    if cluster is None or not destination.in_images(console.place):
        return specification
    if not (image or built):
        return _with_default(console, prepared, cluster)
    try:
        placement = _found(console, prepared, cluster)
    except (Denied, TemporaryError, Untrusted) as exc:
        if built or image is None or "@" not in image:
            raise
        console.note(f"{image} cannot be looked up from here ({exc}); whoever pulls it may know more")
        return specification
    return replace(specification, placement=placement)


def _with_default(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Specification:
    """With the cluster's default image, if it has one. What cannot be looked up from here the server names."""
    if cluster.provider == "docker":
        return prepared.specification
    from orchestune.cli.clusters.shared import api  # the API of the cluster, which nothing else needs here
    from orchestune.clusters.existing.image_build import settings

    default, specification = "its default image", prepared.specification
    try:
        known = settings(api(cluster), cluster.namespace)
        if known is None or known.default_image is None:
            return specification
        default = f"its default image {known.default_image}"
        named = replace(specification, placement=replace(specification.placement, image=known.default_image))
        placement = _found(console, replace(prepared, specification=named), cluster)
    except (Denied, NotFound, TemporaryError, Untrusted) as exc:
        console.note(f"{cluster.name}: {default} cannot be looked up from here ({exc}); whoever pulls it may know more")
        return specification
    return replace(specification, placement=placement)


def _found(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Placement:
    if cluster.provider == "docker":
        from orchestune.cli.experiments.local_image import of_the_engine  # Docker's client, which no cluster needs

        return replace(prepared.specification.placement, image=of_the_engine(console, prepared))
    return _of_registry(console, prepared, cluster)


def _of_registry(console: Console, prepared: PreparedExperiment, cluster: ConnectedCluster) -> Placement:
    """From the registry where the nodes pull; where that cannot be asked from here, as it stands in the file.

    Where nodes may be of several architectures, and the image is not for all of them, trials keep to those it is for.
    """
    from orchestune.cli.clusters.cloud import profile
    from orchestune.cli.clusters.shared import api
    from orchestune.clusters.existing.image_build import ClusterBuilder
    from orchestune.images.builds.job import BUILDER, MEMORY
    from orchestune.images.builds.prepare import (  # speaking to registries takes modules of its own
        prepare_image,
        runs_on,
    )
    from orchestune.images.registries import credentials

    placement = prepared.specification.placement
    image, built = placement.image, bool(prepared.install or prepared.dockerfile)
    if cluster.registry is None and built:
        raise UsageError(
            f"the image has to be built, and cluster '{cluster.name}' has no registry that its nodes pull from",
            f"name one: orchestune cluster connect -n {cluster.name} --registry registry.lab:5000",
        )
    cluster_api = api(cluster)
    chosen, nodes = node_platforms(cluster_api, cluster.namespace, architecture_of(placement.pod))
    who = profile(console, cluster.profile)
    builder = ClusterBuilder(
        cluster_api,
        cluster.namespace,
        cluster.name,
        image=console.environ.get("ORCHESTUNE_BUILDER") or BUILDER,
        memory=_memory(console.environ.get("ORCHESTUNE_BUILDER_MEMORY")) or MEMORY,
        find=partial(credentials.find, profile=who),
    )
    there = {chosen}
    try:
        if image and not built and nodes != {chosen}:
            there = set(runs_on(image, cluster.registry, who))
            chosen = chosen if chosen in there else min(there & (nodes or there), key=str, default=chosen)
        found = prepare_image(
            image,
            prepared.install,
            prepared.dockerfile,
            prepared.folder,
            cluster.registry,
            chosen,
            console.note,
            builder=builder,
            profile=who,
        )
    except TemporaryError as exc:
        if image is None or "@" in image or built:
            raise
        console.note(f"{image} cannot be looked up from here ({exc}); each node takes what the tag means to it")
        return placement
    if nodes <= there if nodes else len(there) > 1:
        return replace(placement, image=found)
    if nodes:
        console.note(f"the image is for {chosen}: nodes of another kind get no trials")
    kept = {"spec": {"nodeSelector": {ARCHITECTURE: chosen.architecture}}}
    return replace(placement, image=found, pod=merged(placement.pod, kept))


def architecture_of(pod: Mapping[str, Any]) -> str:
    """That of the nodes to which a `pod:` keeps; nothing where it does not say."""
    spec = pod.get("spec")
    selector = spec.get("nodeSelector") if isinstance(spec, Mapping) else None
    return str(selector.get(ARCHITECTURE) or "") if isinstance(selector, Mapping) else ""


def _memory(text: str | None) -> int:
    """In bytes; 0 where nothing is said."""
    try:
        return parse_bytes(text) if text else 0
    except ValueError as exc:
        raise UsageError(f"ORCHESTUNE_BUILDER_MEMORY: {exc}") from exc


def node_platforms(cluster_api: ContextClient, namespace: str, wanted: str = "") -> tuple[Platform, set[Platform]]:
    """The one for which an image is built, and those of all nodes on which a trial may run (none: nobody knows).

    The first is `wanted`, what the file says, or that of the worker's Python. Where this is for several it is that of
    all nodes, and this machine's where they are of several or not to be seen.
    """
    if wanted:
        return Platform(wanted), {Platform(wanted)}
    from orchestune.cli.clusters.image import platforms  # the API of the cluster, which only images need here
    from orchestune.clusters.existing.image_build import settings

    with suppress(OrchestuneError):  # who may not look there goes by the nodes
        known = settings(cluster_api, namespace)
        if known is not None and known.architecture:
            return known.platform, {known.platform}
    own, seen = parse_platform(platform.machine()), [parse_platform(each) for each in platforms(cluster_api)]
    return seen[0] if seen and own not in seen else own, set(seen)
