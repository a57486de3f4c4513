"""What an experiment would create in a cluster of Kubernetes: for `--dry-run`. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestune.backends.kubernetes.backend import worker_command
from orchestune.backends.kubernetes.config import KubernetesConfig, read
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.objects.runtime_delivery import Delivering
from orchestune.backends.kubernetes.objects.security import Security
from orchestune.backends.kubernetes.observation.capacity import Node, ground, node
from orchestune.backends.kubernetes.policy.pod_policy import refuse_template
from orchestune.backends.kubernetes.policy.preflight import check_pod
from orchestune.cli.experiments.foreseeing import order
from orchestune.cli.terminal.temporary_folder import room, scratch
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels.api_server import TunnelApiServer
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import Denied
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS, CONFIG_MAP


def worker_job(cluster: ConnectedCluster, specification: Specification, environ: Mapping[str, str]) -> dict[str, Any]:
    """The Job of one worker, by the configuration that the cluster's server has. What is only known later is zeros.

    UsageError if its server would refuse the `pod:`, PolicyRefused if it asks for what is not allowed; Unreachable and
    Denied as every request through the API server.
    """
    check_pod(specification.placement.pod)
    api = TunnelApiServer(cluster, environ)
    config = _config(api, cluster)
    foreseen = replace(order(specification), each=config.needs(specification.resources), owner=cluster.user)
    nodes = _nodes(api, config)
    surroundings = ground(nodes, foreseen.placement.pool, foreseen.each)
    by_volume = Delivering(api, config.image_volumes).decide(nodes).volume
    setting = plan.ClusterRequirements(Security(api, config).restricted(), surroundings, by_volume)
    refuse_template(config, foreseen, setting)
    return plan.job(config, foreseen, setting, worker_command(foreseen, setting.runtime))


def _nodes(api: TunnelApiServer, config: KubernetesConfig) -> list[Node]:
    """As far as this user may see them."""
    try:
        return [node(item, config) for item in api.call("GET", "/api/v1/nodes")["items"]]
    except Denied:
        return []


def _config(api: TunnelApiServer, cluster: ConnectedCluster) -> KubernetesConfig:
    found = api.call("GET", f"/api/v1/namespaces/{cluster.namespace}/configmaps/{CONFIG_MAP}")
    with scratch("orchestune-") as folder, room():
        file = folder / BACKEND_SETTINGS
        file.write_text(found["data"][BACKEND_SETTINGS])
        return read(file)
