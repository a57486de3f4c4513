"""A node: its settings of containerd, of the pods' network and of the kubelet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.testbeds.kubernetes.network import DNS, Network
from tests.testbeds.kubernetes.pki import Authority

PAUSE_IMAGE = "docker.io/testbed/pause:1"
GPUS = 4
GPU_PREFIX = "gpu"


@dataclass(frozen=True)
class Node:
    """A node of the cluster in the folder `root`; `index` (from 1) gives it its addresses."""

    name: str
    index: int
    root: Path
    cluster: str

    @property
    def folder(self) -> Path:
        """Folder of its disk."""
        return self.root / "nodes" / self.name

    @property
    def socket(self) -> Path:
        """Socket of its containerd."""
        return self.folder / "containerd.sock"

    @property
    def cgroup(self) -> str:
        """The control group above all of its pods."""
        return f"orchestune-{self.cluster}-{self.name}"

    @property
    def gpus(self) -> int:
        """Number of cards that it pretends to have."""
        return GPUS if self.name.startswith(GPU_PREFIX) else 0

    @property
    def registries(self) -> Path:
        """Folder in which containerd looks up the access to a registry."""
        return self.folder / "registries"

    def write(self, authority: Authority, network: Network) -> None:
        """Its certificate and its settings."""
        for folder in ("kubelet", "containerd", "registries", "cni"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        certificate = f"kubelet-{self.name}"
        authority.issue(
            certificate, f"system:node:{self.name}", ["system:nodes"], [self.name, network.node(self.index)]
        )
        authority.kubeconfig(self.folder / "kubeconfig", certificate, network.server)
        (self.folder / "containerd.toml").write_text(self._containerd())
        (self.folder / "cni" / "10-pods.conflist").write_text(self._cni(network))
        (self.folder / "kubelet.yaml").write_text(self._kubelet(network))
        (self.folder / "resolv.conf").write_text(f"nameserver {network.control}\n")

    def containerd(self) -> list[str]:
        """The command of its containerd."""
        return ["containerd", "--config", f"{self.folder}/containerd.toml"]

    def kubelet(self, network: Network) -> list[str]:
        """The command of its kubelet."""
        return [
            "kubelet", f"--config={self.folder}/kubelet.yaml", f"--kubeconfig={self.folder}/kubeconfig",
            f"--root-dir={self.folder}/kubelet", f"--hostname-override={self.name}",
            f"--node-ip={network.node(self.index)}",
        ]  # fmt: skip

    def _containerd(self) -> str:
        # restrict_oom_score_adj: without CAP_SYS_RESOURCE no container may get an OOM score below its parent's
        return f"""\
version = 3
root = "{self.folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "{self.registries}"
"""

    def _cni(self, network: Network) -> str:
        addresses = {"type": "host-local", "subnet": network.pods(self.index), "routes": [{"dst": "0.0.0.0/0"}]}
        # routed, not bridged: what pods of one node say to each other through a Service passes the node's rules
        routed = {"type": "ptp", "ipMasq": False, "ipam": addresses}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [routed, ports]}, indent=1)

    def _kubelet(self, network: Network) -> str:
        pki = self.root / "pki"
        # a kubelet from 1.35 on refuses control groups of version 1 by default
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": network.node(self.index), "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False}, "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/kubelet-{self.name}.crt", "tlsPrivateKeyFile": f"{pki}/kubelet-{self.name}.key",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.cgroup}", "failCgroupV1": False, "failSwapOn": False,
            "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": f"{self.folder}/resolv.conf",
            "maxPods": 250, "nodeStatusUpdateFrequency": "2s",
            # a heartbeat each 2 s, a quarter of the lease; a report only after a change
            "nodeLeaseDurationSeconds": 8, "nodeStatusReportFrequency": "5m",
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100, "podLogsDir": f"{self.folder}/pod-logs",
            "registryPullQPS": 0, "eventRecordQPS": 0,
        }  # fmt: skip
        return json.dumps(settings, indent=1)
