"""Newest releases of cluster components, looked up in their publishers' registries."""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestune.errors import OrchestuneError
from orchestune.images.registries.reference import Reference, parse
from orchestune.images.registries.registry import open_registry

AUTOSCALER = "registry.k8s.io/autoscaling/cluster-autoscaler"
DEVICE_PLUGIN = "nvcr.io/nvidia/k8s-device-plugin"
_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")

Tags = Callable[[Reference], list[str]]


def listed(reference: Reference) -> list[str]:
    """Return the tags of a repository."""
    with open_registry(reference.registry) as registry:
        return registry.tags(reference.repository)


def autoscaler(kubernetes: str, tags: Tags = listed) -> str:
    """Return the newest release for a Kubernetes version, or for the latest earlier version that has one."""
    minor = int(kubernetes.partition(".")[2])
    return _newest(AUTOSCALER, "autoscaler", tags, lambda release: release[:2] <= (1, minor))


def device_plugin(tags: Tags = listed) -> str:
    """Return the newest release of NVIDIA's device plugin."""
    return _newest(DEVICE_PLUGIN, "device_plugin", tags, lambda release: True)


def _newest(repository: str, key: str, tags: Tags, fits: Callable[[tuple[int, ...]], bool]) -> str:
    hint = f"write an image of it that the cluster can pull into the file, as `images: {{{key}: …}}`"
    try:
        found = tags(parse(repository))
    except OrchestuneError as exc:
        raise type(exc)(f"the releases of {repository} cannot be looked up: {exc.message}", hint) from exc
    releases = [tuple(map(int, match.groups())) for tag in found if (match := _RELEASE.fullmatch(tag))]
    fitting = [release for release in releases if fits(release)]
    if not fitting:
        raise OrchestuneError(f"{repository} has no release that fits", hint)
    return f"{repository}:v{'.'.join(map(str, max(fitting)))}"
