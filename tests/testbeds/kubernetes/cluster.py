"""A real Kubernetes on this machine: a control plane and nodes, each a machine of its own, in one folder.

Several clusters may run at once. Also after crashes, `Cluster.down` leaves no process, mount, network device,
control group or file behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.testbeds import cgroups
from tests.testbeds.images import Image, root_with
from tests.testbeds.kubernetes import control, network
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.build import binaries
from tests.testbeds.kubernetes.node import PAUSE_IMAGE, Node
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.kubernetes.provisioner import NAME as PROVISIONER
from tests.testbeds.kubernetes.provisioner import STORAGE_CLASS
from tests.testbeds.machine import SYSTEM_PATH, Broken, Machine, checked, pause_program
from tests.testbeds.owned import REPOSITORY, owned_folder
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

NODES = ("cpu1", "cpu2", "gpu1")
KIND = "clusters"
CONTROL = "control-plane"
READY_SECONDS = 300.0
# the order in which they start; the nodes' programs are kubelet, containerd and kube-proxy
PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns", "provisioner")


class Cluster(Access):
    """The cluster in `folder`, running or not; `up` recreates it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "admin.kubeconfig")
        self.folder, self.name = folder, folder.name
        self.control = Machine(folder / "machines", CONTROL)
        try:
            settings = json.loads((folder / "cluster.json").read_text())
        except FileNotFoundError:
            settings = {"nodes": NODES, "number": 0, "path": ""}
        self._use(**settings)

    def _use(self, nodes: Sequence[str], number: int, path: str) -> None:
        self.network, self.programs = network.Network(number), path
        self.nodes = {name: Node(name, index, self.folder, self.name) for index, name in enumerate(nodes, 1)}
        self.machines = {name: Machine(self.folder / "machines", name) for name in nodes}

    @property
    def host_address(self) -> str:
        """Return the address at which nodes and pods reach a port of the host (of this address or of all)."""
        return self.network.host

    # Up and down

    def up(self, nodes: Sequence[str] = NODES, registry: Registry | None = None, reviewer: int = 0) -> None:
        """Start from nothing; every node is ready when this returns, and pulls from `registry`.

        `reviewer`: a port of the host for the reviews of tokens that the cluster does not know.
        """
        if os.geteuid() != 0:
            raise Broken("a Kubernetes of one's own takes root: namespaces, mounts and network devices")
        if self.kubeconfig.exists():
            raise Broken(f"the cluster {self.name} is up, or was not taken down: {self.folder}")
        path = ":".join(map(str, binaries()))
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.control.on()
            plane = network.claim(self.control)
            settings = {"nodes": list(nodes), "number": plane.number, "path": path}
            (self.folder / "cluster.json").write_text(json.dumps(settings))
            self._use(list(nodes), plane.number, path)
            if reviewer:
                control.token_review(self.folder, f"http://{self.host_address}:{reviewer}/token-review")
            self._start(registry)
        except BaseException:
            self.down()
            raise

    def _start(self, registry: Registry | None) -> None:
        authority = Authority.create(self.folder / "pki")
        control.certify(authority, self.network, self.folder)
        (self.folder / "Corefile").write_text(control.corefile(self.folder, self.network))
        self.start("etcd")
        self.start("kube-apiserver")
        pause = root_with(self.folder / "pause.tar", {"pause": pause_program()})
        Image(pause, ["/pause"]).archive(PAUSE_IMAGE, self.folder / "pause-image.tar")
        for node in self.nodes.values():
            node.write(authority, self.network)
            self._switch_on(node.name)
        if registry is not None:
            self.use_registry(registry)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._prepare, self.nodes))
        until("the API server", self.answers, READY_SECONDS, lambda: self.control.tail("kube-apiserver"))
        for program in PLANE[2:]:
            self.start(program)
        for name in self.nodes:
            self.start("kubelet", name)
            self.start("kube-proxy", name)
        self.apply(*control.first_objects(self.network, STORAGE_CLASS, PROVISIONER))
        for name in self.nodes:
            self.wait_ready(name)

    def down(self) -> None:
        """End everything and remove the folder. Idempotent; also after a crash of the process that started it."""
        for machine in (*self.machines.values(), self.control):
            machine.off()
        for node in self.nodes.values():
            cgroups.remove(node.cgroup)
        if self.network.number:
            until(f"{self.network.uplink} to go", lambda: not Path(f"/sys/class/net/{self.network.uplink}").exists())
        Registry(self.folder / "registry").stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Programs

    def _command(self, program: str, node: str | None) -> list[str]:
        if node is not None:
            nodes = self.nodes[node]
            if program == "kube-proxy":
                return control.proxy(self.folder, node)
            return nodes.containerd() if program == "containerd" else nodes.kubelet(self.network)
        return control.commands(self.folder, self.network)[program]

    def machine(self, node: str | None) -> Machine:
        """A node, or the control plane."""
        return self.control if node is None else self.machines[node]

    def start(self, program: str, node: str | None = None) -> None:
        """Start one of the programs: of the control plane, or a node's kubelet, containerd or kube-proxy."""
        env = {"PATH": f"{self.programs}:{SYSTEM_PATH}", "PYTHONPATH": str(REPOSITORY)}
        self.machine(node).start(program, self._command(program, node), env)

    def stop(self, program: str, node: str | None = None, number: signal.Signals = signal.SIGKILL) -> None:
        """Stop one of the programs; the processes that it supervised continue."""
        self.machine(node).stop(program, number)

    # Nodes

    def _switch_on(self, name: str) -> None:
        node = self.nodes[name]
        self.machines[name].on()
        network.join(self.control, self.machines[name], self.network, node.index, len(self.nodes))
        cgroups.make(node.cgroup)

    def _prepare(self, name: str) -> None:
        self.start("containerd", name)
        until(
            f"containerd of {name}",
            lambda: self._ctr_answers(name),
            describe=lambda: self.machines[name].tail("containerd"),
        )
        self.ctr(name, "images", "import", str(self.folder / "pause-image.tar"))

    def _ctr_answers(self, name: str) -> bool:
        try:
            self.ctr(name, "version")
        except Broken:
            return False
        return True

    def ctr(self, node: str, *arguments: str) -> str:
        """containerd's own tool on a node, where Kubernetes keeps its images and containers."""
        ctr = ["ctr", "--address", str(self.nodes[node].socket), "--namespace", "k8s.io", *arguments]
        return checked(ctr, env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"})

    def load(self, name: str, image: Image, nodes: Sequence[str] = ()) -> None:
        """Put an image on nodes (all of them) under its name, without a registry."""
        file = image.archive(name, self.folder / f"{abs(hash(name))}.image.tar")
        for node in nodes or self.nodes:
            self.ctr(node, "images", "import", str(file))
        file.unlink()

    def use_registry(self, registry: Registry) -> None:
        """Let every node pull over plain http from a registry of the host, by its address there and by ours."""
        address = registry.listen(self.host_address)
        for node in self.nodes.values():
            for name in (registry.address, address):
                folder = node.registries / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "hosts.toml").write_text(f'[host."http://{address}"]\n  capabilities = ["pull", "resolve"]\n')

    def trust(self, registry: str, authority: Path) -> None:
        """Let every node pull from a registry whose certificate this authority signed."""
        for node in self.nodes.values():
            folder = node.registries / registry
            folder.mkdir(parents=True, exist_ok=True)
            hosts_file = f'server = "https://{registry}"\n[host."https://{registry}"]\n  ca = "{authority}"\n'
            (folder / "hosts.toml").write_text(hosts_file)

    def wait_ready(self, name: str) -> None:
        """Return when the node is Ready and shows its pretended GPUs."""
        kubelet_log = lambda: self.machines[name].tail("kubelet")
        until(f"node {name} to be ready", lambda: self.node_ready(name), READY_SECONDS, kubelet_log)
        gpus = self.nodes[name].gpus
        if gpus:
            self.pretend_gpus(name, gpus)

    def lose_node(self, name: str) -> None:
        """The node's plug is pulled: kubelet, containerd, its shims and every container die at once."""
        self.machines[name].off()

    def restart_node(self, name: str) -> None:
        """Switch a node on (again), with the disk it had; it is ready when this returns."""
        self.lose_node(name)
        cgroups.remove(self.nodes[name].cgroup)
        self._switch_on(name)
        self._prepare(name)
        self.start("kubelet", name)
        self.start("kube-proxy", name)
        self.wait_ready(name)

    def cut_off(self, name: str) -> None:
        """Unplug the node's network cable: it keeps running and is unreachable."""
        network.cut(self.control, self.nodes[name].index, off=True)

    def reconnect(self, name: str) -> None:
        """Plug the cable in again; the node is ready when this returns."""
        network.cut(self.control, self.nodes[name].index, off=False)
        self.wait_ready(name)

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a person of this name, who may do what the cluster's RBAC says."""
        authority = Authority(self.folder / "pki")
        authority.issue(f"user-{name}", name, groups)
        return authority.kubeconfig(self.folder / f"user-{name}.kubeconfig", f"user-{name}", self.network.server)

    def heal(self) -> None:
        """Restart, reconnect and uncordon everything that a test stopped, lost or cordoned."""
        for program in PLANE:
            if not self.control.running(program):
                self.start(program)
        until("the API server", self.answers, READY_SECONDS)
        for name, machine in self.machines.items():
            if not machine.alive or not machine.running("containerd"):
                self.restart_node(name)
            network.cut(self.control, self.nodes[name].index, off=False)
            for program in ("kubelet", "kube-proxy"):
                if not machine.running(program):
                    self.start(program, name)
            self.wait_ready(name)
            self.kubectl("uncordon", name)


def down(folder: Path) -> None:
    """Take down the cluster in a folder."""
    Cluster(folder).down()


@contextmanager
def cluster(registry: Registry | None = None, nodes: Sequence[str] = NODES, reviewer: int = 0) -> Iterator[Cluster]:
    """A cluster of this process; nothing of it is left when the block, or the process, ends."""
    with owned_folder(KIND, __name__) as folder:
        mine = Cluster(folder)
        mine.up(nodes, registry, reviewer)
        yield mine
