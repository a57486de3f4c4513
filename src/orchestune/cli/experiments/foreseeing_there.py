"""The Job that an experiment would create in a Kubernetes cluster: for `--dry-run`. Read-only."""

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
from orchestune.cli.experiments.foreseeing import worker_order
from orchestune.cli.terminal.temporary_folder import temporary_folder, translated_disk_errors
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels.api_server import api_server
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import Denied
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS, CONFIG_MAP


def worker_job(cluster: ConnectedCluster, specification: Specification, environ: Mapping[str, str]) -> dict[str, Any]:
    """Build the Job of one worker with the configuration of the cluster's server. Ids that are assigned later are
    zeros.

    Raises UsageError if the server would refuse the `pod:`, PolicyRefused if it is not allowed; Unreachable and Denied
    like every request through the API server.
    """
    check_pod(specification.placement.pod)
    api = api_server(cluster, environ)
    config = _config(api, cluster)
    planned = replace(worker_order(specification), each=config.needs(specification.resources), owner=cluster.user)
    nodes = _nodes(api, config)
    node_features = ground(nodes, planned.placement.pool, planned.each)
    is_image_volume = Delivering(api, config.image_volumes).decide(nodes).volume
    requirements = plan.ClusterRequirements(Security(api, config).restricted(), node_features, is_image_volume)
    refuse_template(config, planned, requirements)
    return plan.job(config, planned, requirements, worker_command(planned, requirements.runtime))


def _nodes(api: ApiServer, config: KubernetesConfig) -> list[Node]:
    """Return the nodes, or none if this user may not list them."""
    try:
        return [node(item, config) for item in api.call("GET", "/api/v1/nodes")["items"]]
    except Denied:
        return []


def _config(api: ApiServer, cluster: ConnectedCluster) -> KubernetesConfig:
    config_map = api.call("GET", f"/api/v1/namespaces/{cluster.namespace}/configmaps/{CONFIG_MAP}")
    with temporary_folder("orchestune-") as folder, translated_disk_errors():
        file = folder / BACKEND_SETTINGS
        file.write_text(config_map["data"][BACKEND_SETTINGS])
        return read(file)
