"""The control plane: which programs it consists of, how each is started, and the first objects of a new cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.testbeds.kubernetes.network import DNS, PODS, SERVICES, Network
from tests.testbeds.kubernetes.pki import Authority

CLIENTS = ("kube-controller-manager", "kube-scheduler", "kube-proxy")
_REVIEWER = "token-review.kubeconfig"
GRACE_SECONDS = 8  # without a sign of life, until a node counts as NotReady


def certify(authority: Authority, network: Network, root: Path) -> None:
    """The certificates and kubeconfigs of the control plane, and the administrator's."""
    service = "kubernetes.default.svc"
    names = [network.control, "127.0.0.1", "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", service]
    authority.issue("apiserver", "kube-apiserver", hosts=[*names, f"{service}.cluster.local"])
    authority.issue("front-proxy", "front-proxy-client")
    authority.issue("admin", "admin", ["system:masters"])
    authority.kubeconfig(root / "admin.kubeconfig", "admin", network.server)
    for client in CLIENTS:
        authority.issue(client, f"system:{client}")
        authority.kubeconfig(root / f"{client}.kubeconfig", client, network.server)


def etcd(root: Path) -> list[str]:
    """etcd for one cluster; nothing of it needs to survive a crash of this machine."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        "etcd", "--name=testbed", f"--data-dir={root}/etcd", "--unsafe-no-fsync", f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
    ]  # fmt: skip


def api_server(pki: Path, network: Network) -> list[str]:
    """The API server, with the authorization and the admission plugins which a real cluster has."""
    return [
        "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={network.control}",
        f"--bind-address={network.control}", "--secure-port=6443", f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC", "--allow-privileged=true", "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki}/ca.crt", f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key", f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key", f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP", "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub", f"--service-account-signing-key-file={pki}/sa.key",
        f"--requestheader-client-ca-file={pki}/ca.crt", "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-", f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
    ]  # fmt: skip


def token_review(root: Path, url: str) -> None:
    """Have the API server ask at `url` who has a token that it does not know, as the API servers of clouds do."""
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "reviewer",
        "clusters": [{"name": "reviewer", "cluster": {"server": url}}], "users": [{"name": "reviewer", "user": {}}],
        "contexts": [{"name": "reviewer", "context": {"cluster": "reviewer", "user": "reviewer"}}],
    }  # fmt: skip
    (root / _REVIEWER).write_text(json.dumps(document))


def _review_options(root: Path) -> list[str]:
    if not (root / _REVIEWER).exists():
        return []
    return [
        f"--authentication-token-webhook-config-file={root / _REVIEWER}", "--authentication-token-webhook-version=v1",
        "--authentication-token-webhook-cache-ttl=0s",
    ]  # fmt: skip


def controller_manager(root: Path) -> list[str]:
    """The controllers; a silent node is noticed within seconds."""
    pki = root / "pki"
    return [
        "kube-controller-manager", f"--kubeconfig={root}/kube-controller-manager.kubeconfig", "--leader-elect=false",
        "--use-service-account-credentials", f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key", "--node-monitor-period=1s",
        f"--node-monitor-grace-period={GRACE_SECONDS}s",
    ]  # fmt: skip


def scheduler(root: Path) -> list[str]:
    """The scheduler."""
    return ["kube-scheduler", f"--kubeconfig={root}/kube-scheduler.kubeconfig", "--leader-elect=false"]


def proxy(root: Path, node: str) -> list[str]:
    """A node's kube-proxy; the limits of connection tracking belong to the host and stay as they are."""
    return [
        "kube-proxy", f"--kubeconfig={root}/kube-proxy.kubeconfig", f"--hostname-override={node}",
        f"--cluster-cidr={PODS}", "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
    ]  # fmt: skip


def commands(root: Path, network: Network) -> dict[str, list[str]]:
    """The command of each program of the control plane, by its name."""
    provisioner = [sys.executable, "-m", "tests.testbeds.kubernetes.provisioner"]
    return {
        "etcd": etcd(root),
        "kube-apiserver": [*api_server(root / "pki", network), *_review_options(root)],
        "kube-controller-manager": controller_manager(root),
        "kube-scheduler": scheduler(root),
        "coredns": ["coredns", "-conf", f"{root}/Corefile"],
        "provisioner": [*provisioner, f"{root}/admin.kubeconfig", f"{root}/volumes"],
    }


def corefile(root: Path, network: Network) -> str:
    """CoreDNS outside of the cluster, as the cluster's name server."""
    return f"""\
.:53 {{
  bind {network.control}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {root}/admin.kubeconfig testbed
    pods insecure
  }}
  cache 5
}}
"""


def first_objects(network: Network, storage_class: str, provisioner: str) -> Sequence[dict[str, object]]:
    """kube-proxy's permission, the name server's Service, and a default StorageClass."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    subject = {"kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "system:node-proxier", "apiGroup": "rbac.authorization.k8s.io"}
    labels = {"kubernetes.io/service-name": "kube-dns"}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "kube-proxy"}, "roleRef": role, "subjects": [subject],
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": DNS, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": ports,
            "metadata": {"name": "kube-dns-host", "namespace": "kube-system", "labels": labels},
            "endpoints": [{"addresses": [network.control]}],
        },
        {
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": provisioner,
            "metadata": {
                "name": storage_class, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
        },
    ]  # fmt: skip
