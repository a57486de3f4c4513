"""A namespace of a real cluster as the contract of backends sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.backends.kubernetes.client import connect
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import WORKER
from orchestune.backends.kubernetes.objects.plan import ClusterRequirements
from orchestune.backends.kubernetes.objects.runtime_delivery import uses_volume
from orchestune.images.runtime import private_python
from orchestune.kubeapi.client import ApiServer
from orchestune.ports.backend import WorkerOrder
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.machine import Broken

SOURCE = Path(__file__).with_name("stand_in.py").read_text()
_LIST = """
import os
for name in os.listdir("/proc"):
    if name.isdecimal() and int(name) != os.getpid():
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                print(name, file.read().replace(b"\\0", b" ")[:60])
        except OSError:
            pass
"""


class Pods:
    """Implements `BackendUnderTest`."""

    def __init__(self, cluster: Access, config: KubernetesConfig) -> None:
        self.cluster, self.config = cluster, config
        self.namespace = config.namespace
        self._made: list[KubernetesBackend] = []

    def backend(self) -> KubernetesBackend:
        backend = KubernetesBackend(self.config, connect(self.config), stand_in_command)
        self._made.append(backend)
        return backend

    def kill(self, worker: str, handle: Mapping[str, Any]) -> None:
        pods = ["pods", "-n", self.namespace, "-l", f"{WORKER}={worker}"]
        self.cluster.kubectl("delete", *pods, "--force", "--grace-period=0", "--wait=false")

    def stubborn(self) -> Mapping[str, Any]:
        return {"mode": "stubborn"}

    def belongings(self, worker: str) -> Sequence[str]:
        entries: list[str] = []
        for pod in self.cluster.json("get", "pods", "-n", self.namespace, "-l", f"{WORKER}={worker}")["items"]:
            if pod["status"]["phase"] == "Running":
                folder = ClusterRequirements(image_volume=uses_volume(pod)).runtime
                entries += self._processes(pod["metadata"]["name"], folder)
        return entries

    def _processes(self, pod: str, folder: str) -> list[str]:
        """Return the status of the container, or of the pod while it is being deleted and has no container status."""
        look = [*private_python.interpreter(folder), "-c", _LIST]
        try:
            return self.cluster.kubectl("exec", "-n", self.namespace, pod, "-c", "worker", "--", *look).splitlines()
        except Broken:
            return [pod] if self.cluster.exists("pod", pod, "-n", self.namespace) else []

    def in_public(self) -> str:
        return self.cluster.kubectl("get", "jobs,pods,events", "-n", self.namespace, "-o", "json")

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[dict[str, Any]]]:
        requests: list[dict[str, Any]] = []
        call = ApiServer.call

        def record(api: ApiServer, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
            if method == "POST" and path.endswith("/jobs"):
                requests.append(body)
            return call(api, method, path, body, **more)

        with mock.patch.object(ApiServer, "call", record):
            yield requests

    def contents(self) -> Sequence[str]:
        return self.cluster.kubectl("get", "jobs,pods,secrets", "-n", self.namespace, "-o", "name").splitlines()

    def clear(self) -> None:
        for backend in self._made:
            backend.close()
        with contextlib.suppress(Broken):
            self.cluster.kubectl("delete", "jobs,pods", "--all", "-n", self.namespace, "--force", "--grace-period=0")


def stand_in_command(order: WorkerOrder, folder: str) -> Sequence[str]:
    mode = f"import os\nos.environ['STAND_IN'] = {order.launch.get('mode', '')!r}\n"
    return [*private_python.interpreter(folder), "-c", mode + SOURCE]
