"""Access of a test to a cluster, its own or a developer's: kubectl, the API, and helpers that build on them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from tests.testbeds.machine import Broken, checked
from tests.testbeds.waiting import until

GPU = "nvidia.com/gpu"


class Access:
    """A cluster by its kubeconfig; `programs` are the folders of kubectl and others, when they are not on the PATH."""

    def __init__(self, kubeconfig: Path, programs: str = "") -> None:
        self.kubeconfig, self.programs = kubeconfig, programs

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """`kubectl ARGUMENTS`, as the administrator; what it printed. Broken unless it exits with 0."""
        path = f"{self.programs}:{os.environ['PATH']}".lstrip(":")
        variables = {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.kubeconfig.parent / "cache")}
        env = {**os.environ, **variables, "PATH": path}
        return checked(["kubectl", *arguments], text, env=env)

    def json(self, *arguments: str) -> Any:
        """Return the output of `kubectl ARGUMENTS -o json`."""
        return json.loads(self.kubectl(*arguments, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any], namespace: str | None = None) -> None:
        """Create or change objects, in their own namespace or in the one that is given."""
        where = ["-n", namespace] if namespace else []
        together = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", *where, "-f", "-", text=json.dumps(together))

    def exists(self, *what: str) -> bool:
        """Return True if `kubectl get WHAT` lists something."""
        return bool(self.kubectl("get", *what, "--ignore-not-found", "-o", "name"))

    def create_namespace(self, name: str) -> None:
        """A new namespace in which pods can be made at once: that takes its default ServiceAccount."""
        self.kubectl("create", "namespace", name)
        until(f"the ServiceAccount of {name}", lambda: self.exists("serviceaccount", "default", "-n", name))

    def api(self) -> ContextClient:
        """A client of the API server, as the administrator; close it."""
        return ContextClient(str(self.kubeconfig))

    def answers(self) -> bool:
        """Return True if the API server is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s") == "ok"
        except Broken:
            return False

    def node_ready(self, name: str) -> bool:
        """Return True if the node exists and the cluster considers it Ready."""
        try:
            conditions = self.json("get", "node", name)["status"].get("conditions", [])
        except Broken:
            return False
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def pretend_gpus(self, name: str, count: int) -> None:
        """Let a node claim to have NVIDIA cards; the kubelet makes them allocatable at its next report."""
        self.kubectl("label", "--overwrite", "node", name, "accelerator=nvidia")
        path = f"/status/capacity/{GPU.replace('/', '~1')}"
        patch = [{"op": "add", "path": path, "value": str(count)}]
        self.kubectl("patch", "node", name, "--subresource=status", "--type=json", "-p", json.dumps(patch))
        until(f"{count} GPUs of {name}", lambda: self._allocatable(name) == str(count))

    def _allocatable(self, name: str) -> str:
        amount: str = self.json("get", "node", name)["status"]["allocatable"].get(GPU, "0")
        return amount

    def drain(self, name: str) -> None:
        """Evict every pod of a node and keep new ones away, as an administrator does before maintenance."""
        self.kubectl("drain", name, "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")

    def pod_phase(self, namespace: str, name: str) -> str:
        """Pending, Running, Succeeded or Failed."""
        phase: str = self.json("get", "pod", "-n", namespace, name)["status"]["phase"]
        return phase
