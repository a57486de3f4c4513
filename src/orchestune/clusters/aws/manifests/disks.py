"""The default StorageClass."""

from __future__ import annotations

from orchestune.clusters.aws.manifests.objects import Manifest, made

NAME = "orchestune-gp3"


def storage_class() -> Manifest:
    """Encrypted disks, made in the zone of the pod that wants one, which may grow."""
    return made(
        "storage.k8s.io/v1", "StorageClass", NAME, "disks",
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        provisioner="ebs.csi.aws.com", parameters={"type": "gp3", "encrypted": "true"}, reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer", allowVolumeExpansion=True,
    )  # fmt: skip
