"""Nodes that exist only in the API: the scheduler puts pods on them, and nothing of those pods ever runs.

with FakeNodes(cluster, ["big1"], cpu=400) as nodes: ...      # taken away when the block ends

A separate process, `Play`, writes what a kubelet would report: that the node is ready, that its pods run, and
that pods which are deleted are gone.   python -m tests.testbeds.kubernetes.fake_nodes KUBECONFIG NODE...
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.errors import Conflict, NotFound, OrchestuneError
from orchestune.kubeapi.errors import Changed
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.owned import REPOSITORY
from tests.testbeds.waiting import until

LABEL = "orchestune.test/fake"
TAINT = {"key": LABEL, "effect": "NoSchedule"}
TOLERATION = {"key": LABEL, "operator": "Exists"}
SECONDS = 1.0
"""between two looks; a node that is not heard of for 8 s counts as lost"""
_AT_ONCE = 8
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_MERGE = "application/strategic-merge-patch+json"


def node(name: str, cpu: int, memory: str, pods: int) -> dict[str, Any]:
    """A node for pods that tolerate the taint; a real DaemonSet or test keeps away."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", LABEL: "yes"}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [TAINT]}, "status": status(cpu, memory, pods),
    }  # fmt: skip


def status(cpu: int, memory: str, pods: int) -> dict[str, Any]:
    """Return the status that its kubelet would report."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    amounts = {"cpu": str(cpu), "memory": memory, "pods": str(pods)}
    ready = {"type": "Ready", "status": "True", "reason": "Fake", "lastHeartbeatTime": now}
    return {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}


class FakeNodes:
    """`names` in the cluster, each of so many cores, with `Play` beside them."""

    def __init__(
        self, cluster: Access, names: Sequence[str], cpu: int = 400, memory: str = "800Gi", pods: int = 2000
    ) -> None:
        self.cluster, self.names = cluster, list(names)
        self._nodes = [node(name, cpu, memory, pods) for name in names]
        self._play: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FakeNodes:
        for manifest in self._nodes:
            self.cluster.apply(manifest)
        command = [sys.executable, "-m", __name__, str(self.cluster.kubeconfig), *self.names]
        self._play = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
        try:
            until("the nodes to be ready", lambda: all(map(self.cluster.node_ready, self.names)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.kubectl("delete", "nodes", "--ignore-not-found", *self.names)
        if self._play is not None:
            self._play.kill()
            self._play.wait()

    def run(self, namespace: str, count: int, name: str = "foreign") -> None:
        """Create so many running pods of another owner, in parallel."""
        with closing(self.cluster.api()) as api, ThreadPoolExecutor(_AT_ONCE) as pool:

            def make(index: int) -> None:
                pod = _foreign(f"{name}-{index}", self.names[index % len(self.names)])
                api.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod)

            list(pool.map(make, range(count)))
        running = ("get", "pods", "-n", namespace, "--field-selector=status.phase=Running", "-o", "name")
        until("foreign pods to run", lambda: self.cluster.kubectl(*running).count(f"pod/{name}-") == count, 600)


def _foreign(name: str, on: str) -> Any:
    amounts = {"requests": {"cpu": "100m", "memory": "100Mi"}}
    container = {"name": "main", "image": "registry.invalid/somebody/else:1", "resources": amounts}
    labels = {"app": "foreign"}
    spec = {"nodeName": on, "containers": [container], "tolerations": [TOLERATION], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


class Play:
    """The kubelet of every fake node."""

    def __init__(self, api: ContextClient, names: Sequence[str]) -> None:
        self.api, self.names = api, names
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def look(self) -> None:
        """Say that the nodes are there, and of each pod what became of it."""
        for name in self.names:
            self._beat(name)
            pods, _ = self.api.list_objects("/api/v1/pods", {"fieldSelector": f"spec.nodeName={name}"})
            list(self._pool.map(self._serve, pods))

    def _beat(self, name: str) -> None:
        lease = {
            "metadata": {"name": name},
            "spec": {
                "holderIdentity": name, "leaseDurationSeconds": 40,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }  # fmt: skip
        try:
            self.api.call("PATCH", f"{_LEASES}/{name}", lease, _MERGE)
        except NotFound:
            self.api.call("POST", _LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease})

    def _serve(self, pod: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        with suppress(NotFound, Conflict, Changed):  # another client was quicker
            if pod["metadata"].get("deletionTimestamp"):
                self.api.delete_object(path, {"gracePeriodSeconds": 0})
            elif pod["status"].get("phase") == "Pending":
                self.api.call("PATCH", f"{path}/status", {"status": _runs(pod)}, _MERGE)

    def run(self) -> None:
        """For ever."""
        while True:
            try:
                self.look()
            except OrchestuneError as exc:
                print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
            time.sleep(SECONDS)
            if os.getppid() == 1:  # the process that started the nodes has died
                return


def _runs(pod: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    containers = [
        {
            "name": each["name"], "image": each["image"], "imageID": each["image"], "ready": True, "restartCount": 0,
            "started": True, "state": {"running": {"startedAt": now}},
        }
        for each in pod["spec"]["containers"]
    ]  # fmt: skip
    conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")]
    return {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers}


if __name__ == "__main__":
    Play(ContextClient(sys.argv[1]), sys.argv[2:]).run()
