"""Kueue in a cluster of this machine: its CRDs, its webhooks, and its controller as a process of the control plane.

with kueue(cluster): cluster.apply(*queue("team", "ml", cpu="2"))
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.testbeds.kubernetes.build import KUEUE, built
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.machine import Broken
from tests.testbeds.waiting import until

Document = dict[str, Any]
NAME = "kueue"
GROUP = "kueue.x-k8s.io"
SPACE = "kueue-system"
PORT = 9443
_JOBS = ("batch-v1-job", "kueue-x-k8s-io")
"""parts of the paths of those webhooks that are needed where there are no other kinds of jobs than Kubernetes' own"""
_CONVERTED = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")
"""those whose versions differ"""
_CERTIFICATES = "/etc/kueue/metrics/certs"
"""where Kueue looks for one regardless of its configuration"""


@contextmanager
def kueue(cluster: Cluster) -> Iterator[None]:
    """Kueue runs in the block, and nothing of it is left in the cluster afterwards."""
    folder = built(KUEUE)
    certificates = _certify(cluster)
    objects = _objects(folder, cluster)
    try:
        for document in objects:
            cluster.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(document))
        kinds = [f"crd/{each['metadata']['name']}" for each in objects if each["kind"] == "CustomResourceDefinition"]
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
        until("the API to show Kueue's kinds", lambda: _has_kueue_kinds(cluster))
        cluster.control.start(NAME, _command(cluster, folder, certificates), {"KUBECONFIG": str(cluster.kubeconfig)})
        until("Kueue to take a flavor", lambda: _takes(cluster), 120, lambda: cluster.control.tail(NAME))
        yield
    finally:
        for kind in ("localqueues", "clusterqueues", "resourceflavors"):
            _ask(cluster, "delete", f"{kind}.{GROUP}", "--all", "--all-namespaces", "--wait=true", "--timeout=60s")
        cluster.control.stop(NAME)
        for document in reversed(objects):
            name = f"{document['kind'].lower()}s/{document['metadata']['name']}"
            _ask(cluster, "delete", name, "--ignore-not-found", "--wait=false")
        until("Kueue's kinds to go", lambda: GROUP not in cluster.kubectl("api-versions"), 120)


def queue(name: str, namespace: str, **quota: str) -> list[Document]:
    """A LocalQueue, and behind it a ClusterQueue of the same name which has so much, and where priority preempts."""
    resources = [{"name": resource, "nominalQuota": amount} for resource, amount in quota.items()]
    group = {"coveredResources": list(quota), "flavors": [{"name": "default", "resources": resources}]}
    spec = {
        "namespaceSelector": {}, "resourceGroups": [group], "preemption": {"withinClusterQueue": "LowerPriority"},
    }  # fmt: skip
    return [
        _manifest("ClusterQueue", name, spec),
        _manifest("LocalQueue", name, {"clusterQueue": name}, namespace=namespace),
    ]


def _manifest(kind: str, name: str, spec: Mapping[str, Any], **metadata: str) -> Document:
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def _has_kueue_kinds(cluster: Cluster) -> bool:
    """Return True if a program that starts now finds them in the newest version."""
    return f"{GROUP}/v1beta2" in cluster.kubectl("api-versions")


def _takes(cluster: Cluster) -> bool:
    """Return True if the webhooks answer."""
    return _ask(cluster, "apply", "-f", "-", text=json.dumps(_manifest("ResourceFlavor", "default", {})))


def _ask(cluster: Cluster, *arguments: str, text: str | None = None) -> bool:
    try:
        cluster.kubectl(*arguments, text=text)
    except Broken:
        return False
    return True


def _certify(cluster: Cluster) -> Path:
    """A folder with the certificate of the webhooks."""
    authority = Authority(cluster.folder / "pki")
    authority.issue(NAME, NAME, hosts=[cluster.network.control])
    folder = cluster.folder / NAME
    folder.mkdir(exist_ok=True)
    for suffix in ("crt", "key"):
        (folder / f"tls.{suffix}").write_bytes((authority.folder / f"{NAME}.{suffix}").read_bytes())
    return folder


def _command(cluster: Cluster, folder: Path, certificates: Path) -> Sequence[str]:
    """The controller, in whose eyes /etc holds a folder more."""
    config = {
        "apiVersion": f"config.{GROUP}/v1beta1", "kind": "Configuration", "namespace": SPACE,
        "health": {"healthProbeBindAddress": "127.0.0.1:0"}, "metrics": {"bindAddress": "127.0.0.1:0"},
        "webhook": {"port": PORT, "host": cluster.network.control, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False}, "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": ["batch/job"]},
    }  # fmt: skip
    (certificates / "config.json").write_text(json.dumps(config))  # JSON is YAML
    prepare = (
        f"cp -a /etc /run/etc && mkdir -p /run/{_CERTIFICATES.strip('/')} && "
        f"cp {certificates}/tls.* /run/{_CERTIFICATES.strip('/')} && mount --bind /run/etc /etc && "
        f"exec {folder}/kueue --config={certificates}/config.json --feature-gates=VisibilityOnDemand=false"
    )
    return ["unshare", "--mount", "sh", "-c", prepare]


def _objects(folder: Path, cluster: Cluster) -> list[Document]:
    """The namespace, the CRDs and the webhooks, which the API server reaches by the control plane's address."""
    bundle = base64.b64encode((cluster.folder / "pki" / "ca.crt").read_bytes()).decode()
    documents: list[Document] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}]
    for file in sorted(folder.glob("*.yaml")):
        for document in YAML(typ="safe", pure=True).load_all(file):
            if document is None:
                continue
            if document["kind"] == "CustomResourceDefinition":
                document.pop("status", None)
                if document["spec"]["names"]["plural"] in _CONVERTED:
                    client = _client("/convert", cluster, bundle)
                    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
                    document["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
            else:
                document["metadata"]["name"] = f"{NAME}-{document['metadata']['name']}"
                document["webhooks"] = [
                    {**each, "clientConfig": _client(each["clientConfig"]["service"]["path"], cluster, bundle)}
                    for each in document["webhooks"]
                    if any(part in each["clientConfig"]["service"]["path"] for part in _JOBS)
                ]
            documents.append(document)
    return documents


def _client(path: str, cluster: Cluster, bundle: str) -> Document:
    return {"url": f"https://{cluster.network.control}:{PORT}{path}", "caBundle": bundle}
