"""Serves claims: each gets a folder of the host that every node sees, so that a pod may move with its volume.

python -m tests.testbeds.kubernetes.provisioner KUBECONFIG FOLDER
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from urllib3.exceptions import HTTPError

NAME = "orchestune.test/folder"
STORAGE_CLASS = "testbed"
CLASSES = STORAGE_CLASS, "orchestune-gp3"
"""whose claims are served: also those of a cluster that thinks it is at AWS"""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
LOOK_SECONDS = 3  # at the latest; a change of a claim is looked at when it comes
PAUSE = 0.5


def volume_for(claim: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The PersistentVolume that serves a claim."""
    about, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{about['uid']}"
    return {
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: NAME}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"], "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": spec["storageClassName"], "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(folder / name), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": about["namespace"], "name": about["name"], "uid": about["uid"],
            },
        },
    }  # fmt: skip


class Provisioner:
    """Serves new claims and removes the volumes whose claim is gone; what failed is tried at the next look."""

    def __init__(self, core: client.CoreV1Api, folder: Path) -> None:
        self.core, self.folder = core, folder

    def look(self) -> None:
        """Do what there is to do now."""
        claims = self.core.api_client.sanitize_for_serialization(
            self.core.list_persistent_volume_claim_for_all_namespaces()
        )
        for claim in claims["items"]:
            wanted = claim["spec"].get("storageClassName") in CLASSES and not claim["spec"].get("volumeName")
            if wanted and claim["status"].get("phase") == "Pending":
                self._serve(volume_for(claim, self.folder))
        for volume in self.core.api_client.sanitize_for_serialization(self.core.list_persistent_volume())["items"]:
            about = volume["metadata"]
            ours = about.get("annotations", {}).get(PROVISIONED_BY) == NAME
            if ours and volume["status"].get("phase") in ("Released", "Failed"):
                self.core.delete_persistent_volume(about["name"])
                shutil.rmtree(self.folder / about["name"], ignore_errors=True)

    def _serve(self, volume: dict[str, Any]) -> None:
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # a volume of type hostPath knows no fsGroup, and pods are any user
        try:
            self.core.create_persistent_volume(volume)  # type: ignore[arg-type]
        except client.ApiException as exc:
            if exc.status != 409:  # the claim has not noticed yet that it is served
                raise

    def run(self) -> None:
        """Look when a claim changes, and every few seconds, for ever."""
        every = self.core.list_persistent_volume_claim_for_all_namespaces
        while True:
            try:
                self.look()
                for _ in watch.Watch().stream(every, timeout_seconds=LOOK_SECONDS):  # type: ignore[no-untyped-call]
                    self.look()
            except (client.ApiException, HTTPError) as exc:
                print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
                time.sleep(PAUSE)


if __name__ == "__main__":
    config.load_kube_config(sys.argv[1])  # type: ignore[no-untyped-call]
    Provisioner(client.CoreV1Api(), Path(sys.argv[2])).run()
