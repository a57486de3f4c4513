"""The cluster autoscaler: adds nodes for pending pods and removes idle ones."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws.manifests.objects import SYSTEM, Manifest, made
from orchestune.clusters.aws.requests.control import AUTOSCALER_ACCOUNT

_RBAC = "rbac.authorization.k8s.io"
_NAME = AUTOSCALER_ACCOUNT
_LONGEST_DELAY = 600.0
"""upper bound in seconds of the scale-down delay after a scale-up, the autoscaler's default"""
_LOOK = ["get", "list", "watch"]


def autoscaler(image: str, cluster: str, region: str, scale_down: float) -> list[Manifest]:
    """Build its account, RBAC objects and Deployment. Its AWS permissions come from pod identity."""
    subject = [{"kind": "ServiceAccount", "name": _NAME, "namespace": SYSTEM}]
    return [
        made("v1", "ServiceAccount", _NAME, "autoscaler", SYSTEM),
        made(f"{_RBAC}/v1", "ClusterRole", _NAME, "autoscaler", rules=_rules()),
        made(f"{_RBAC}/v1", "ClusterRoleBinding", _NAME, "autoscaler", subjects=subject,
             roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": _NAME}),
        made(f"{_RBAC}/v1", "Role", _NAME, "autoscaler", SYSTEM, rules=_own_rules()),
        made(f"{_RBAC}/v1", "RoleBinding", _NAME, "autoscaler", SYSTEM, subjects=subject,
             roleRef={"apiGroup": _RBAC, "kind": "Role", "name": _NAME}),
        _deployment(image, cluster, region, scale_down),
    ]  # fmt: skip


def _rule(group: str, resources: str, verbs: list[str], names: list[str] | None = None) -> Manifest:
    found: Manifest = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs}
    return found | ({"resourceNames": names} if names else {})


def _rules() -> list[Manifest]:
    return [
        _rule("", "events endpoints", ["create", "patch"]),
        _rule("", "pods/eviction", ["create"]),
        _rule("", "pods/status", ["update"]),
        _rule("", "nodes", [*_LOOK, "update", "delete"]),
        _rule("", "namespaces pods services replicationcontrollers persistentvolumeclaims persistentvolumes", _LOOK),
        _rule("batch", "jobs cronjobs", _LOOK),
        _rule("apps", "daemonsets replicasets statefulsets", _LOOK),
        _rule("policy", "poddisruptionbudgets", _LOOK),
        _rule("storage.k8s.io", "storageclasses csinodes csidrivers csistoragecapacities volumeattachments", _LOOK),
        _rule("resource.k8s.io", "resourceclaims resourceslices deviceclasses", _LOOK),
    ]


def _own_rules() -> list[Manifest]:
    return [
        _rule("", "configmaps", ["create", *_LOOK]),
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
            f"--scale-down-delay-after-add={round(min(scale_down, _LONGEST_DELAY))}s",
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
    return made("apps/v1", "Deployment", _NAME, "autoscaler", SYSTEM, spec=spec)
