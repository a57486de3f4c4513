"""What an experiment would create in a cluster of Kubernetes: for `--dry-run`. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestune.backends.kubernetes import plan
from orchestune.backends.kubernetes.backend import worker_command
from orchestune.backends.kubernetes.capacity import Node, ground, node
from orchestune.backends.kubernetes.checking import check_pod
from orchestune.backends.kubernetes.config import KubernetesConfig, read
from orchestune.backends.kubernetes.delivering import decide, server_version
from orchestune.cli.scratch import room, scratch
from orchestune.client.api_server import ApiServer
from orchestune.client.clusters import Cluster
from orchestune.domain.experiment import Specification
from orchestune.domain.ids import slug
from orchestune.domain.resources import Resources
from orchestune.errors import Denied, NotFound
from orchestune.ports.backend import WorkerOrder

_CONFIG = "orchestune-config"
_FILE = "kubernetes.json"
_UNKNOWN = "00000000-0000-0000-0000-000000000000"
_ENFORCE = "pod-security.kubernetes.io/enforce"


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
        each=_each(config, specification.resources),
        placement=specification.placement,
        handle=f"{slug(specification.name)}-0000",
        owner=cluster.user,
        grace=specification.grace,
    )
    nodes = _nodes(api, config)
    surroundings = ground(nodes, order.placement.pool, order.each)
    version = server_version(api) if config.image_volumes is None else ""
    setting = plan.Setting(_restricted(api, config), surroundings, decide(config.image_volumes, version, nodes).volume)
    return plan.job(config, order, setting, worker_command(order, setting.runtime))


def _nodes(api: ApiServer, config: KubernetesConfig) -> list[Node]:
    """As far as this user may see them."""
    try:
        return [node(item, config) for item in api.call("GET", "/api/v1/nodes")["items"]]
    except Denied:
        return []


def _each(config: KubernetesConfig, needs: Resources) -> Resources:
    cpu = config.cpu if needs.cpu is None else needs.cpu
    return replace(needs, cpu=cpu, memory=config.memory if needs.memory is None else needs.memory)


def _config(api: ApiServer, cluster: Cluster) -> KubernetesConfig:
    found = api.call("GET", f"/api/v1/namespaces/{cluster.namespace}/configmaps/{_CONFIG}")
    with scratch("orchestune-") as folder, room():
        file = folder / _FILE
        file.write_text(found["data"][_FILE])
        return read(file)


def _restricted(api: ApiServer, config: KubernetesConfig) -> bool:
    """Whether pods must not run as root; as the server sees it, where this user may look."""
    if config.restricted is not None:
        return config.restricted
    try:
        labels = api.call("GET", f"/api/v1/namespaces/{config.namespace}")["metadata"].get("labels") or {}
    except (Denied, NotFound):
        return False
    return bool(labels.get(_ENFORCE) == "restricted")
