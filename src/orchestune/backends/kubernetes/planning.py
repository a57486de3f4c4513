"""Checks and plans of workers' Jobs: all of the Kubernetes backend that does not depend on the workers that exist.

The server's backend extends it by watches. A dry run uses `DryRunPlanner` with the rights of the user.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.objects.plan import ClusterRequirements, Manifest
from orchestune.backends.kubernetes.objects.runtime_delivery import RuntimeDelivery
from orchestune.backends.kubernetes.objects.security import Security
from orchestune.backends.kubernetes.observation import capacity
from orchestune.backends.kubernetes.observation.capacity import Node
from orchestune.backends.kubernetes.policy import pod_policy, preflight
from orchestune.backends.kubernetes.policy.dry_run import dry_run_job
from orchestune.backends.kubernetes.policy.node_admission import admitting
from orchestune.domain.access.allowances import Allowances
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.errors import Denied
from orchestune.images.runtime import private_python
from orchestune.kubeapi.client import ApiServer
from orchestune.ports.backend import PlannedWorker, WorkerOrder


def worker_command(order: WorkerOrder, folder: str) -> Sequence[str]:
    """Return the container command: the worker, run by the private Python in `folder`."""
    return private_python.command(folder)


class KubernetesPlanner(ABC):
    """Implements `ports.backend.WorkerPlanner` and `Guard`, except `capacity`. Sends requests that change nothing.

    `command` builds the command of a worker's container, by default that of the worker. `allowances` returns the
    allow-list as it is now, or raises TemporaryError; by default it is that of `config`. It is called for each Job and
    for each check of an experiment, so that a permission that was taken back counts at once.
    """

    assigns_gpus = False

    def __init__(
        self,
        config: KubernetesConfig,
        api: ApiServer,
        command: Callable[[WorkerOrder, str], Sequence[str]] = worker_command,
        allowances: Callable[[], Allowances] | None = None,
    ) -> None:
        self._config, self._api, self._command = config, api, command
        self._allowances = allowances or (lambda: config.allow)
        self._security = Security(api, config)
        self._delivery = RuntimeDelivery(api, config.image_volumes)

    @abstractmethod
    def _nodes(self) -> Sequence[Node] | None:
        """Return the cluster's nodes; None if they may not be listed."""

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        shared = capacity.cores_per_gpu(self._nodes() or (), each) if each.cpu is None and each.gpu else 0.0
        return self._config.needs(each, shared)

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return plan.total_request(self._config, each, placement) if placement.pod else each

    def refuse(self, each: Resources, placement: Placement, launch: Mapping[str, Any]) -> None:
        preflight.check_pod(placement.pod)
        pod_policy.refuse_placement(self._current_config(), each, placement)
        pod_policy.refuse_own_objects(self._api, self._config, placement)

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        preflight.check(self._api, self._config, placement)
        preflight.check_resources(each)
        if placement.pod:
            dry_run_job(self._api, self._config, each, placement)
        nodes = self._nodes()
        if nodes is None:
            return self._check_without_nodes(each)
        if self._config.elastic:
            preflight.check_gpu_labels(each, capacity.node_pool(nodes, None, each).products)
        return ()

    def _check_without_nodes(self, each: Resources) -> Sequence[str]:
        """Check the resources of a trial where nodes may not be listed. Returns notes as `check` does."""
        preflight.check_gpu_labels(each, ())
        return ()

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        nodes = () if self._config.elastic else self._nodes() or ()
        spec = plan.node_constraints(self._config, each, placement, capacity.node_pool(nodes, placement.pool, each))
        return frozenset(node.name for node in nodes) - admitting(nodes, spec)

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        job = self._manifest(order, self._requirements(order))
        return PlannedWorker("each worker would be a Job with a Secret of the same name for its token:", (job,))

    def _current_config(self) -> KubernetesConfig:
        """Return the settings with the allow-list as it is now. Raises TemporaryError if that cannot be read."""
        return replace(self._config, allow=self._allowances())

    def _requirements(self, order: WorkerOrder) -> ClusterRequirements:
        """Return what the cluster requires of the worker's pod.

        Raises PolicyRefused if the allow-list does not permit that pod (any more).
        """
        nodes = self._nodes() or ()
        requirements = ClusterRequirements(
            self._security.restricted(order.experiment),
            capacity.node_pool(nodes, order.placement.pool, order.each),
            self._delivery.decide(nodes, order.experiment).volume,
        )
        pod_policy.refuse_template(self._current_config(), order, requirements)
        return requirements

    def _manifest(self, order: WorkerOrder, requirements: ClusterRequirements) -> Manifest:
        return plan.job(self._config, order, requirements, self._command(order, requirements.runtime))


class DryRunPlanner(KubernetesPlanner):
    """A planner with the rights of a user, who may not be allowed to list nodes. It reads the nodes once."""

    def capacity(self) -> Capacity:
        """Return the allocatable resources of the nodes.

        An upper bound: pods of DaemonSets are not subtracted, as listing the pods of a large cluster takes seconds.
        """
        nodes = self._nodes()
        return Capacity(elastic=True) if nodes is None else Capacity(capacity.machines(nodes, ()), self._config.elastic)

    def _nodes(self) -> Sequence[Node] | None:
        return self._listed

    @cached_property
    def _listed(self) -> Sequence[Node] | None:
        try:
            nodes = self._api.call("GET", "/api/v1/nodes")
        except Denied:
            return None
        return [capacity.node(item, self._config) for item in nodes["items"]]

    def _check_without_nodes(self, each: Resources) -> Sequence[str]:
        return (f"not checked: only the server knows whether it has room for {each}",)
