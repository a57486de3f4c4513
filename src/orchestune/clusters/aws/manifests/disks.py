"""The default StorageClass."""

from __future__ import annotations

from orchestune.clusters.aws.manifests.objects import Manifest, made

NAME = "orchestune-gp3"


def storage_class() -> Manifest:
    """Build a class of encrypted, expandable gp3 disks, created in the zone of the pod that needs one."""
    return made(
        "storage.k8s.io/v1", "StorageClass", NAME, "disks",
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        provisioner="ebs.csi.aws.com", parameters={"type": "gp3", "encrypted": "true"}, reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer", allowVolumeExpansion=True,
    )  # fmt: skip
