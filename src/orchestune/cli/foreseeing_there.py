"""What an experiment would create in a cluster of Kubernetes: for `--dry-run`. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.backends.kubernetes import plan
from orchestune.backends.kubernetes.backend import worker_command
from orchestune.backends.kubernetes.capacity import Node, ground, node
from orchestune.backends.kubernetes.checking import check_pod
from orchestune.backends.kubernetes.config import KubernetesConfig, read
from orchestune.backends.kubernetes.delivering import decide, server_version
from orchestune.backends.kubernetes.security import Security
from orchestune.cli.scratch import room, scratch
from orchestune.client.api_server import ApiServer
from orchestune.client.clusters import Cluster
from orchestune.clusters.existing.config import CONFIG
from orchestune.domain.experiment import Specification
from orchestune.domain.ids import slug
from orchestune.errors import Denied
from orchestune.ports.backend import WorkerOrder

_FILE = "kubernetes.json"
_UNKNOWN = "00000000-0000-0000-0000-000000000000"


def worker_job(cluster: Cluster, specification: Specification, environ: Mapping[str, str]) -> dict[str, Any]:
    """The Job of one worker, by the configuration that the cluster's server has. What is only known later is zeros.

    UsageError where its server would refuse the `pod:`; Unreachable and Denied as every request through the API server.
    """
    check_pod(specification.placement.pod)
    api = ApiServer(cluster, environ)
    config = _config(api, cluster)
    order = WorkerOrder(
        worker=_UNKNOWN,
        experiment=_UNKNOWN,
        token="",
        slots=1,
        each=config.needs(specification.resources),
        placement=specification.placement,
        handle=f"{slug(specification.name)}-0000",
        owner=cluster.user,
        grace=specification.grace,
    )
    nodes = _nodes(api, config)
    surroundings = ground(nodes, order.placement.pool, order.each)
    version = server_version(api) if config.image_volumes is None else ""
    by_volume = decide(config.image_volumes, version, nodes).volume
    setting = plan.Setting(Security(api, config).restricted(), surroundings, by_volume)
    return plan.job(config, order, setting, worker_command(order, setting.runtime))


def _nodes(api: ApiServer, config: KubernetesConfig) -> list[Node]:
    """As far as this user may see them."""
    try:
        return [node(item, config) for item in api.call("GET", "/api/v1/nodes")["items"]]
    except Denied:
        return []


def _config(api: ApiServer, cluster: Cluster) -> KubernetesConfig:
    found = api.call("GET", f"/api/v1/namespaces/{cluster.namespace}/configmaps/{CONFIG}")
    with scratch("orchestune-") as folder, room():
        file = folder / _FILE
        file.write_text(found["data"][_FILE])
        return read(file)
