"""The cluster autoscaler: adds nodes for pending pods and removes idle ones."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws.manifests.objects import SYSTEM, Manifest, labeled
from orchestune.clusters.aws.requests.control import AUTOSCALER_ACCOUNT

_RBAC = "rbac.authorization.k8s.io"
_NAME = AUTOSCALER_ACCOUNT
_MAX_SCALE_DOWN_DELAY = 600.0
"""upper bound in seconds of the scale-down delay after a scale-up, the autoscaler's default"""
_READ = ["get", "list", "watch"]


def autoscaler(image: str, cluster: str, region: str, scale_down: float) -> list[Manifest]:
    """Build its account, RBAC objects and Deployment. Its AWS permissions come from pod identity."""
    subject = [{"kind": "ServiceAccount", "name": _NAME, "namespace": SYSTEM}]
    return [
        labeled("v1", "ServiceAccount", _NAME, "autoscaler", SYSTEM),
        labeled(f"{_RBAC}/v1", "ClusterRole", _NAME, "autoscaler", rules=_rules()),
        labeled(f"{_RBAC}/v1", "ClusterRoleBinding", _NAME, "autoscaler", subjects=subject,
             roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": _NAME}),
        labeled(f"{_RBAC}/v1", "Role", _NAME, "autoscaler", SYSTEM, rules=_own_rules()),
        labeled(f"{_RBAC}/v1", "RoleBinding", _NAME, "autoscaler", SYSTEM, subjects=subject,
             roleRef={"apiGroup": _RBAC, "kind": "Role", "name": _NAME}),
        _deployment(image, cluster, region, scale_down),
    ]  # fmt: skip


def _rule(group: str, resources: str, verbs: list[str], names: list[str] | None = None) -> Manifest:
    """Build a rule of a role; `resources` are separated by spaces, and `names` restricts the rule to these objects."""
    rule: Manifest = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs}
    return rule | ({"resourceNames": names} if names else {})


def _rules() -> list[Manifest]:
    return [
        _rule("", "events endpoints", ["create", "patch"]),
        _rule("", "pods/eviction", ["create"]),
        _rule("", "pods/status", ["update"]),
        _rule("", "nodes", [*_READ, "update", "delete"]),
        _rule("", "namespaces pods services replicationcontrollers persistentvolumeclaims persistentvolumes", _READ),
        _rule("batch", "jobs cronjobs", _READ),
        _rule("apps", "daemonsets replicasets statefulsets", _READ),
        _rule("policy", "poddisruptionbudgets", _READ),
        _rule("storage.k8s.io", "storageclasses csinodes csidrivers csistoragecapacities volumeattachments", _READ),
        _rule("resource.k8s.io", "resourceclaims resourceslices deviceclasses", _READ),
    ]


def _own_rules() -> list[Manifest]:
    return [
        _rule("", "configmaps", ["create", *_READ]),
        _rule("", "configmaps", ["delete", "get", "update", "watch"], ["cluster-autoscaler-status"]),
        _rule("coordination.k8s.io", "leases", ["create"]),
        _rule("coordination.k8s.io", "leases", ["get", "update"], [_NAME]),
    ]


def _deployment(image: str, cluster: str, region: str, scale_down: float) -> Manifest:
    labels = {"app.kubernetes.io/name": _NAME}
    discovery = f"asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{cluster}"
    container: dict[str, Any] = {
        "name": "autoscaler",
        "image": image,
        "command": [
            "./cluster-autoscaler", "--cloud-provider=aws", f"--node-group-auto-discovery={discovery}",
            "--expander=least-waste", "--skip-nodes-with-local-storage=false", "--skip-nodes-with-system-pods=false",
            f"--scale-down-unneeded-time={round(scale_down)}s",
            f"--scale-down-delay-after-add={round(min(scale_down, _MAX_SCALE_DOWN_DELAY))}s",
            "--stderrthreshold=info", "--v=2",
        ],
        "env": [{"name": "AWS_REGION", "value": region}],
        "resources": {"requests": {"cpu": "100m", "memory": "300Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
    }  # fmt: skip
    pod = {
        "serviceAccountName": _NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }  # fmt: skip
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return labeled("apps/v1", "Deployment", _NAME, "autoscaler", SYSTEM, spec=spec)
