"""One user's command line and a namespace of a real cluster."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.testbeds.home import Home
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

OURS = "app.kubernetes.io/part-of=orchestune"
KINDS = (
    "deployments,replicasets,pods,jobs,services,configmaps,secrets,persistentvolumeclaims,serviceaccounts,roles,"
    "rolebindings,networkpolicies,poddisruptionbudgets"
)


class Lab:
    """`orchestune cluster … -n lab` as one user; nothing of the user's own state is left when the block ends."""

    def __init__(self, cluster: Access, namespace: str, registry: Registry, kubeconfig: Path | None = None) -> None:
        self.cluster, self.namespace, self.registry = cluster, namespace, registry
        self.kubeconfig = kubeconfig or cluster.kubeconfig
        self.name = f"lab-{namespace[-8:]}"
        self.home = Home(KUBECONFIG=str(self.kubeconfig), USER="ada")

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.home.close()

    def connect(self, *options: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`cluster connect` into the namespace."""
        return self.run("connect", "--namespace", self.namespace, *options, expect=expect)

    def run(self, command: str, *options: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`cluster COMMAND -n NAME`."""
        return self.home.run("cluster", command, "-n", self.name, *options, expect=expect)

    def json(self, command: str, *options: str) -> Any:
        """Return the output of `cluster COMMAND -n NAME --json`."""
        return self.home.json("cluster", command, "-n", self.name, *options)

    def ours(self) -> list[str]:
        """Everything in the namespace that carries our label: `deployment.apps/orchestune-server`."""
        return self.cluster.kubectl("get", KINDS, "-n", self.namespace, "-l", OURS, "-o", "name").split()

    def experiment(self, image: str, **keys: Any) -> Path:
        """A folder with an experiment of six trials in a shell."""
        folder = Path(tempfile.mkdtemp(prefix="experiment-", dir=self.home.folder))
        document = {
            "name": "shell",
            "image": image,
            "run": "echo trying {x}; echo score={x}; echo kept > note.txt",
            "parameters": {"x": {"type": "float", "min": 0, "max": 1}},
            "metrics": {"score": "maximize"},
            "budget": 6,
            "parallelism": 2,
            "keep": ["note.txt"],
            **keys,
        }
        (folder / "experiment.yml").write_text(json.dumps(document))
        return folder


def kubeconfig_of(cluster: Access, account: str, namespace: str, target: Path) -> Path:
    """A kubeconfig for a ServiceAccount: a user who may do what its Roles say and no more."""
    cluster.kubectl("create", "serviceaccount", account, "-n", namespace)
    token = cluster.kubectl("create", "token", account, "-n", namespace, "--duration=1h").strip()
    server = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    place = server["clusters"][0]["cluster"]
    base64.b64decode(place["certificate-authority-data"])
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": place}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": account, "namespace": namespace}}],
    }
    target.write_text(json.dumps(document))
    return target


def role(name: str, namespace: str, rules: Sequence[dict[str, Any]], account: str) -> list[dict[str, Any]]:
    """A Role with these rules, and its binding to a ServiceAccount."""
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": api, "kind": "Role", "name": name}
    head = {"apiVersion": f"{api}/v1", "metadata": {"name": name, "namespace": namespace}}
    return [
        {**head, "kind": "Role", "rules": list(rules)},
        {**head, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


def bind(cluster: Access, namespace: str, account: str, role: str) -> None:
    """Give a ServiceAccount one of our Roles (viewer, editor, owner); it counts when this returns."""
    who = f"--serviceaccount={namespace}:{account}"
    cluster.kubectl("create", "rolebinding", account, f"--role=orchestune-{role}", who, "-n", namespace)
    permission = (
        "auth",
        "can-i",
        "create",
        f"serviceaccounts/orchestune-{role}",
        "--subresource=token",
        "-n",
        namespace,
    )
    counts = lambda: may(cluster, *permission, f"--as=system:serviceaccount:{namespace}:{account}")
    until(f"{account} to be {role}", counts)


def may(cluster: Access, *permission: str) -> bool:
    """Return the output of `kubectl auth can-i`."""
    try:
        return cluster.kubectl(*permission).strip() == "yes"
    except Broken:  # it exits with 1 for a no
        return False


def wait_until_gone(lab: Lab) -> None:
    """Return once nothing of ours is in the namespace, not even what is still ending."""
    until("everything of ours to go", lambda: not lab.ours(), describe=lab.ours)
