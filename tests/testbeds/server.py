"""A server on this host whose workers run in a namespace of a test cluster, and the command line that talks to it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.client.address import resolver
from orchestune.client.api import Client
from tests.testbeds.home import Home
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images

LABEL = "app.kubernetes.io/part-of=orchestune"
LOOP = """
import os, sys, time
value = float(os.environ["ORCHESTUNE_PARAM_X"])
print("node", os.environ["ORCHESTUNE_NODE"], "user", os.getuid(), flush=True)
time.sleep(float(os.environ.get("SECONDS_EACH", "0")))
print(f"loss={value * value}")
"""
FIRST_TAKES_LONG = """
import os, time
time.sleep(600 if os.environ["ORCHESTUNE_ATTEMPT"] == "1" else 0)
print("loss=1")
"""
"""a trial whose first attempt is sure to be running whenever a test takes something away from it"""


class Lab:
    """`with Lab(...) as lab: handle = lab.run({...}, model); lab.wait(handle)`. Nothing is left of it afterwards."""

    def __init__(self, cluster: Access, namespace: str, images: Images, folder: Path, **settings: Any) -> None:
        self.cluster, self.namespace, self.images, self.folder = cluster, namespace, images, folder
        self._port = free_port()
        self._token = folder / "tokens"
        self._token.write_text("tester a-token-that-is-long-enough-to-be-one\n")
        url = f"http://{address_for_pods(cluster)}:{self._port}"
        document = {
            "cluster": "lab", "namespace": namespace, "url": url, "runtime_image": images.runtime,
            "default_image": images.python, "kubeconfig": str(cluster.kubeconfig), "cpu": 0.1, "farewell": 10,
            **settings,
        }  # fmt: skip
        self.config = folder / "kubernetes.json"
        self.config.write_text(json.dumps(document))
        self.home = Home(ORCHESTUNE_SERVER=f"http://127.0.0.1:{self._port}", ORCHESTUNE_TOKEN=self._secret)
        self._client = Client.connect(resolver(self.home.env), retry_seconds=60)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def _secret(self) -> str:
        return self._token.read_text().split()[1]

    def __enter__(self) -> Lab:
        self.cluster.kubectl("create", "serviceaccount", "orchestune-worker", "-n", self.namespace)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.kill()
        self.home.close()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "orchestune", "server", "--host", "0.0.0.0", "--port", str(self._port)]
        command += ["--state", str(self.folder / "state"), "--kubernetes", str(self.config)]
        command += ["--token-file", str(self._token)]
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("the server to answer", self._answers, describe=self.log)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Shut down the server; workers continue. Idempotent."""
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait()
            self._server = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 5).close()
        except OSError:
            assert self._server is not None and self._server.poll() is None, self.log()
            return False
        return True

    def log(self) -> str:
        """Return the server's output."""
        return (self.folder / "server.log").read_text()

    def run(self, model: str = LOOP, **keys: Any) -> str:
        """Start an experiment of one Python program (or of `run`), and return its handle."""
        return str(json.loads(self.ask(model, **keys).stdout)["handle"])

    def ask(self, model: str = LOOP, expect: int | None = 0, **keys: Any) -> subprocess.CompletedProcess[str]:
        """`orchestune run --detach --json` of an experiment."""
        project = self.folder / f"project-{len(list(self.folder.iterdir()))}"
        project.mkdir()
        (project / "model.py").write_text(model)
        document = {
            "name": "test", "run": "python3 model.py", "parameters": {"x": "-1..1.0"}, "metrics": {"loss": "minimize"},
            "budget": 2, "parallelism": 1, "image": self.images.python, "resources": {"cpu": 0.1, "memory": "64Mi"},
            **keys,
        }  # fmt: skip
        (project / "experiment.yml").write_text(json.dumps(document))
        return self.home.run("run", "--detach", "--json", cwd=project, expect=expect)

    def status(self, handle: str) -> Any:
        """Return the output of `orchestune status HANDLE --json`, without a new process for each call."""
        return self._client.experiment(handle)

    def trial(self, handle: str, number: int = 1) -> Any:
        """Return the output of `orchestune trials HANDLE/N --json`."""
        return self._client.trial(handle, number)

    def wait(self, handle: str, *states: str) -> Any:
        """The status once it is in one of these states (completed)."""
        expected_states = states or ("completed",)

        def look() -> Mapping[str, Any] | None:
            status: Mapping[str, Any] = self.status(handle)
            return status if status["state"] in expected_states else None

        return until(f"{handle} to be {' or '.join(expected_states)}", look, 170, lambda: self.diagnostics(handle))

    def diagnostics(self, handle: str) -> str:
        """Return what may explain why something did not come."""
        pods = self.cluster.kubectl("get", "jobs,pods", "-n", self.namespace, "-o", "wide")
        return f"{json.dumps(self.status(handle), indent=1)}\n{pods}\n{self.log()[-3000:]}"

    def wait_running(self, handle: str) -> str:
        """The name of the pod in which the experiment's only running trial is."""

        def look() -> bool:
            return bool(self.status(handle)["counts"]["running"])

        until(f"a trial of {handle} to run", look, 170, lambda: self.diagnostics(handle))
        return str(self.pods(handle)[0]["metadata"]["name"])

    def pods(self, handle: str) -> list[dict[str, Any]]:
        """The pods of an experiment, oldest first."""
        selector = f"{LABEL},orchestune.dev/handle={handle}"
        pod_list: list[dict[str, Any]] = self.cluster.json("get", "pods", "-n", self.namespace, "-l", selector)["items"]
        return sorted(pod_list, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def leftovers(self) -> str:
        """Return our objects in the namespace."""
        return self.cluster.kubectl("get", "jobs,pods,secrets", "-n", self.namespace, "-l", LABEL, "-o", "name")


def address_for_pods(cluster: Access) -> str:
    """Return the address at which pods reach this host."""
    if isinstance(cluster, Cluster):
        return cluster.host_address
    addresses = cluster.json("get", "nodes")["items"][0]["status"]["addresses"]
    node = next(item["address"] for item in addresses if item["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))
        return str(probe.getsockname()[0])
