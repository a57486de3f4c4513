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

ListTags = Callable[[Reference], list[str]]


def read_tags(reference: Reference) -> list[str]:
    """Return the tags of a repository."""
    with open_registry(reference.registry) as registry:
        return registry.tags(reference.repository)


def autoscaler(kubernetes: str, list_tags: ListTags = read_tags) -> str:
    """Return the newest release for a Kubernetes version, or for the latest earlier version that has one."""
    minor = int(kubernetes.partition(".")[2])
    return _newest(AUTOSCALER, "autoscaler", list_tags, lambda release: release[:2] <= (1, minor))


def device_plugin(list_tags: ListTags = read_tags) -> str:
    """Return the newest release of NVIDIA's device plugin."""
    return _newest(DEVICE_PLUGIN, "device_plugin", list_tags, lambda release: True)


def _newest(repository: str, key: str, list_tags: ListTags, is_suitable: Callable[[tuple[int, ...]], bool]) -> str:
    hint = f"name an image that the cluster can pull in the file: `images: {{{key}: …}}`"
    try:
        tag_names = list_tags(parse(repository))
    except OrchestuneError as exc:
        raise type(exc)(f"cannot look up the releases of {repository}: {exc.message}", hint) from exc
    releases = [tuple(map(int, match.groups())) for tag in tag_names if (match := _RELEASE.fullmatch(tag))]
    suitable = [release for release in releases if is_suitable(release)]
    if not suitable:
        raise OrchestuneError(f"{repository} has no suitable release", hint)
    return f"{repository}:v{'.'.join(map(str, max(suitable)))}"
