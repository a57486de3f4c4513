"""Requests for pools: a launch template and a managed node group each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.roles import NODE
from orchestune.domain.clusters.cluster import Pool, Taint
from orchestune.kubeapi.labels import POOL

Document = dict[str, Any]
GPU = "nvidia.com/gpu"
ACCELERATOR = "k8s.amazonaws.com/accelerator"
DISK = "orchestune.dev/disk"
"""tag with the disk size of each node in GiB"""
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
_ROOT = "/dev/xvda"
"""root device of Amazon Linux"""


def image_type(architecture: str, *, gpu: bool) -> str:
    """Return the type of EKS-optimized image (Amazon Linux 2023); EKS selects the newest release."""
    return f"AL2023_{'ARM_64' if architecture == 'arm64' else 'x86_64'}_{'NVIDIA' if gpu else 'STANDARD'}"


def template(names: Names, pool: Pool) -> Document:
    """Return the CreateLaunchTemplate request. IMDSv2 with a hop limit of 1 denies pods the node's credentials."""
    return {
        "LaunchTemplateName": names.launch_template(pool.name),
        "LaunchTemplateData": {
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [
                {
                    "DeviceName": _ROOT,
                    "Ebs": {
                        "VolumeSize": pool.disk // 2**30,
                        "VolumeType": "gp3",
                        "Encrypted": True,
                        "DeleteOnTermination": True,
                    },
                }
            ],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": names.tag_list(pool.name)}
                for kind in ("instance", "volume", "network-interface")
            ],
        },
        "TagSpecifications": [{"ResourceType": "launch-template", "Tags": names.tag_list(pool.name)}],
    }


@dataclass(frozen=True)
class NodeKind:
    """Properties shared by a pool's nodes."""

    architecture: str = "x86_64"
    gpu: bool = False
    gpu_model: str = ""
    """empty if unknown or different"""
    gpu_memory_mib: int = 0


def labels(pool: Pool, kind: NodeKind) -> dict[str, str]:
    """Return the node labels; the GPU model is known before the first node starts.

    ACCELERATOR tells the autoscaler that a new node has GPUs not yet advertised; without it, the autoscaler starts
    another node for the same pods.
    """
    gpu_model = kind.gpu_model.replace(" ", "-")
    gpu_labels = {ACCELERATOR: f"nvidia-{gpu_model.lower() or 'gpu'}"} if kind.gpu else {}
    if gpu_model:
        gpu_labels["nvidia.com/gpu.product"] = f"NVIDIA-{gpu_model}"
    if kind.gpu_memory_mib:
        gpu_labels["nvidia.com/gpu.memory"] = str(kind.gpu_memory_mib)
    return {**gpu_labels, **pool.labels, POOL: pool.name}


def taints(pool: Pool, *, gpu: bool) -> list[Document]:
    """Return the node taints; they keep pods that request no GPU off GPU nodes."""
    gpu_taints = [Taint(GPU, "present", "NoSchedule")] if gpu else []
    documents = []
    for taint in [*gpu_taints, *(taint for taint in pool.taints if not (gpu and taint.key == GPU))]:
        value = {"value": taint.value} if taint.value else {}
        documents.append({"key": taint.key, **value, "effect": _EFFECTS[taint.effect]})
    return documents


def group(names: Names, pool: Pool, kind: NodeKind, subnets: Sequence[str], template_id: str) -> Document:
    """Return the CreateNodegroup request."""
    return {
        "clusterName": names.cluster,
        "nodegroupName": pool.name,
        "scalingConfig": {"minSize": pool.min_nodes, "maxSize": pool.max_nodes, "desiredSize": pool.min_nodes},
        "subnets": list(subnets),
        "instanceTypes": list(pool.instance_types),
        "amiType": image_type(kind.architecture, gpu=kind.gpu),
        "capacityType": "SPOT" if pool.spot else "ON_DEMAND",
        "nodeRole": names.role_arn(NODE),
        "labels": labels(pool, kind),
        "taints": taints(pool, gpu=kind.gpu),
        "launchTemplate": {"id": template_id, "version": "1"},
        "updateConfig": {"maxUnavailable": 1},
        "nodeRepairConfig": {"enabled": True},
        "tags": {**names.tags(pool.name), DISK: str(pool.disk // 2**30)},
    }
