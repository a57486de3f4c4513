"""The components that a cluster needs beside the server: default StorageClass, autoscaler, NVIDIA's device plugin."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.clusters.aws import releases
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.manifests.autoscaler import autoscaler
from orchestune.clusters.aws.manifests.objects import SYSTEM, Manifest, labeled
from orchestune.kubeapi.labels import POOL

_STORAGE_CLASS = "orchestune-gp3"
_DEVICE_PLUGIN = "orchestune-nvidia-device-plugin"
_DEVICE_PLUGIN_FOLDER = "/var/lib/kubelet/device-plugins"


def manifests(site: ClusterSite) -> list[Manifest]:
    """Return storage class, autoscaler, and device plugin if a pool has GPUs. Looks up the newest releases."""
    images = site.spec.images
    image = images.get("autoscaler") or releases.autoscaler(site.version)
    documents = [storage_class(), *autoscaler(image, site.spec.name, site.names.region, site.spec.scale_down)]
    gpu_pools = [pool.name for pool in site.spec.pools if site.machine(pool).gpus]
    if gpu_pools:
        documents.append(device_plugin(images.get("device_plugin") or releases.device_plugin(), gpu_pools))
    return documents


def storage_class() -> Manifest:
    """Build a class of encrypted, expandable gp3 disks, created in the zone of the pod that needs one."""
    return labeled(
        "storage.k8s.io/v1", "StorageClass", _STORAGE_CLASS, "disks",
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        provisioner="ebs.csi.aws.com", parameters={"type": "gp3", "encrypted": "true"}, reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer", allowVolumeExpansion=True,
    )  # fmt: skip


def device_plugin(image: str, pools: Sequence[str]) -> Manifest:
    """Build a DaemonSet for all nodes of the GPU `pools`, tolerating any taint. It advertises the GPUs of each node."""
    labels = {"app.kubernetes.io/name": _DEVICE_PLUGIN}
    gpu_nodes = {"matchExpressions": [{"key": POOL, "operator": "In", "values": sorted(pools)}]}
    container = {
        "name": "plugin",
        "image": image,
        "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "plugins", "mountPath": _DEVICE_PLUGIN_FOLDER}],
    }
    pod = {
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [gpu_nodes]}}
        },
        "containers": [container],
        "volumes": [{"name": "plugins", "hostPath": {"path": _DEVICE_PLUGIN_FOLDER, "type": "Directory"}}],
    }
    return labeled(
        "apps/v1", "DaemonSet", _DEVICE_PLUGIN, "cards", SYSTEM,
        spec={
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )  # fmt: skip
