"""Nodes that exist only in the API: the scheduler puts pods on them, and nothing of those pods ever runs.

with FakeNodes(cluster, ["big1"], cpu=400) as nodes: ...      # taken away when the block ends

What a kubelet would tell is written by `Play`, a process of its own: that the node is ready, that its pods run, and
that pods which are deleted are gone.   python -m tests.testbeds.kubernetes.fake_nodes KUBECONFIG NODE...
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from tests.testbeds.kubernetes.access import Access
from tests.testbeds.owned import REPOSITORY
from tests.testbeds.waiting import until

LABEL = "orchestune.test/fake"
TAINT = {"key": LABEL, "effect": "NoSchedule"}
TOLERATION = {"key": LABEL, "operator": "Exists"}
SECONDS = 1.0
"""between two looks; a node that is not heard of for 8 s counts as lost"""
_AT_ONCE = 8


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
        for made in self._nodes:
            self.cluster.apply(made)
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
        """So many pods of somebody else, which run; made in parallel."""
        with self.cluster.api() as api, ThreadPoolExecutor(_AT_ONCE) as pool:
            core = client.CoreV1Api(api)

            def make(index: int) -> None:
                core.create_namespaced_pod(namespace, _foreign(f"{name}-{index}", self.names[index % len(self.names)]))

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

    def __init__(self, api: client.ApiClient, names: Sequence[str]) -> None:
        self.core, self.leases, self.names = client.CoreV1Api(api), client.CoordinationV1Api(api), names
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def look(self) -> None:
        """Say that the nodes are there, and of each pod what became of it."""
        for name in self.names:
            self._beat(name)
            pods = self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}").items
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
            self.leases.patch_namespaced_lease(name, "kube-node-lease", lease)
        except client.ApiException as exc:
            if exc.status != 404:
                raise
            self.leases.create_namespaced_lease("kube-node-lease", lease)  # type: ignore[arg-type]

    def _serve(self, pod: Any) -> None:
        about = pod.metadata
        try:
            if about.deletion_timestamp is not None:
                self.core.delete_namespaced_pod(about.name, about.namespace, grace_period_seconds=0)
            elif pod.status.phase == "Pending":
                self.core.patch_namespaced_pod_status(about.name, about.namespace, {"status": _runs(pod)})
        except client.ApiException as exc:
            if exc.status not in (404, 409):  # somebody else was quicker
                raise

    def run(self) -> None:
        """For ever."""
        while True:
            try:
                self.look()
            except (client.ApiException, HTTPError) as exc:
                print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
            time.sleep(SECONDS)
            if os.getppid() == 1:  # whoever wanted the nodes has died
                return


def _runs(pod: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    containers = [
        {
            "name": each.name, "image": each.image, "imageID": each.image, "ready": True, "restartCount": 0,
            "started": True, "state": {"running": {"startedAt": now}},
        }
        for each in pod.spec.containers
    ]  # fmt: skip
    conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")]
    return {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers}


if __name__ == "__main__":
    Play(config.new_client_from_config(sys.argv[1]), sys.argv[2:]).run()  # type: ignore[no-untyped-call]
