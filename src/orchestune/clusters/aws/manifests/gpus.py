"""NVIDIA's device plugin, which advertises the GPUs of each node."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.clusters.aws.manifests.objects import SYSTEM, Manifest, made
from orchestune.kubeapi.labels import POOL

NAME = "orchestune-nvidia-device-plugin"
_FOLDER = "/var/lib/kubelet/device-plugins"


def device_plugin(image: str, pools: Sequence[str]) -> Manifest:
    """Build a DaemonSet for all nodes of the GPU `pools`, tolerating any taint."""
    labels = {"app.kubernetes.io/name": NAME}
    where = {"matchExpressions": [{"key": POOL, "operator": "In", "values": sorted(pools)}]}
    container = {
        "name": "plugin",
        "image": image,
        "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "plugins", "mountPath": _FOLDER}],
    }
    pod = {
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [where]}}
        },
        "containers": [container],
        "volumes": [{"name": "plugins", "hostPath": {"path": _FOLDER, "type": "Directory"}}],
    }
    return made(
        "apps/v1", "DaemonSet", NAME, "cards", SYSTEM,
        spec={
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )  # fmt: skip
