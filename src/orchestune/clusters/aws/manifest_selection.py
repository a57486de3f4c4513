"""Selection of the manifests that a cluster needs."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws import releases
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.manifests.autoscaler import autoscaler
from orchestune.clusters.aws.manifests.disks import storage_class
from orchestune.clusters.aws.manifests.gpus import device_plugin


def manifests(site: ClusterSite) -> list[dict[str, Any]]:
    """Return storage class, autoscaler, and device plugin if a pool has GPUs. Looks up the newest releases."""
    images = site.spec.images
    image = images.get("autoscaler") or releases.autoscaler(site.version)
    made = [storage_class(), *autoscaler(image, site.spec.name, site.names.region, site.spec.scale_down)]
    with_cards = [pool.name for pool in site.spec.pools if site.machine(pool).gpus]
    if with_cards:
        made.append(device_plugin(images.get("device_plugin") or releases.device_plugin(), with_cards))
    return made
