"""Serves claims: each gets a folder of the host that every node sees, so that a pod may move with its volume.

python -m tests.testbeds.kubernetes.provisioner KUBECONFIG FOLDER
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.errors import Conflict, OrchestuneError

NAME = "orchestune.test/folder"
STORAGE_CLASS = "testbed"
CLASSES = STORAGE_CLASS, "orchestune-gp3"
"""whose claims are served: also those of a cluster that thinks it is at AWS"""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
POLL_SECONDS = 3  # at the latest; a change of a claim is looked at when it comes
PAUSE = 0.5
_CLAIMS, _VOLUMES = "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes"


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

    def __init__(self, api: ContextClient, folder: Path) -> None:
        self.api, self.folder = api, folder

    def look(self) -> str:
        """Do what there is to do now, and return the version of the claims that were looked at."""
        claims, version = self.api.list_objects(_CLAIMS)
        for claim in claims:
            is_provisioned_here = claim["spec"].get("storageClassName") in CLASSES and not claim["spec"].get(
                "volumeName"
            )
            if is_provisioned_here and claim["status"].get("phase") == "Pending":
                self._serve(volume_for(claim, self.folder))
        for volume in self.api.list_objects(_VOLUMES)[0]:
            about = volume["metadata"]
            ours = about.get("annotations", {}).get(PROVISIONED_BY) == NAME
            if ours and volume["status"].get("phase") in ("Released", "Failed"):
                self.api.delete_object(f"{_VOLUMES}/{about['name']}", {})
                shutil.rmtree(self.folder / about["name"], ignore_errors=True)
        return version

    def _serve(self, volume: dict[str, Any]) -> None:
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # a volume of type hostPath knows no fsGroup, and pods are any user
        with suppress(Conflict):  # the claim has not noticed yet that it is served
            self.api.call("POST", _VOLUMES, volume)

    def run(self) -> None:
        """Look when a claim changes, and every few seconds, for ever."""
        while True:
            try:
                version = self.look()
                for _ in self.api.watch(_CLAIMS, {"timeoutSeconds": POLL_SECONDS}, version):
                    self.look()
            except OrchestuneError as exc:
                print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
                time.sleep(PAUSE)


if __name__ == "__main__":
    Provisioner(ContextClient(sys.argv[1]), Path(sys.argv[2])).run()
