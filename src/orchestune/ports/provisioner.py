"""The interface of a provisioner, which creates, updates and deletes clusters at a cloud provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orchestune.domain.clusters.cluster import (
    CloudStatus,
    ClusterAddresses,
    ClusterSpec,
    CostCenter,
    Planned,
    PlanProblem,
    ProvisioningEvent,
    RemovalCheck,
)

Say = Callable[[ProvisioningEvent], None]
"""called for each resource when work on it starts, periodically while it lasts, and when it ends"""


Drain = Callable[[str, Callable[[], None]], None]
"""drains a pool"""


class Provisioner(Protocol):
    """One provider in one account and region. Blocking; every call is idempotent and may follow any interruption.

    The provider's state is the only state: resources are found by tag and name. A resource that `apply` did not create
    for the cluster of that name is never changed or deleted. An error names the resource and the provider's reason,
    with a hint; Denied names the missing permission. Throttling and slow transitions are retried inside; after
    a TemporaryError a retry may help.
    """

    def payer(self) -> CostCenter:
        """Return the billed account. Raises Denied without credentials and UsageError without a region."""

    def check(self, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
        """Return the problems of the spec with this provider, and notes on possible refusals. Changes nothing.

        For an existing cluster this includes changes that are not possible in place.
        """

    def plan(self, spec: ClusterSpec) -> list[Planned]:
        """Return every resource in the order in which `apply` creates them. Changes nothing."""

    def apply(self, spec: ClusterSpec, say: Say) -> ClusterAddresses:
        """Create the missing resources, and return when nodes can run pods.

        Raises Conflict if the cluster is being created by another caller, or one of that name is not ours.
        """

    def reach(self, name: str) -> ClusterAddresses | None:
        """Return how to connect to a running cluster, None if we have none of that name.

        Raises TemporaryError while it is being created or deleted.
        """

    def login(self, name: str) -> dict[str, Any]:
        """Return the user entry of a kubeconfig for the cluster, without secrets."""

    def manifests(self, spec: ClusterSpec) -> list[dict[str, Any]]:
        """Return the manifests that pools need to scale and to advertise their GPUs."""

    def retirement(self, spec: ClusterSpec) -> dict[str, Any]:
        """Return the configuration with which the server in the cluster tears down an idle cluster; empty if disabled.

        It has `after`, `archive`, `provider`, and the fields for the provider's `ClusterTeardown`. No secrets.
        """

    def changes(self, spec: ClusterSpec) -> list[Planned]:
        """Return the changes that `update` would make, in its order."""

    def update(self, spec: ClusterSpec, say: Say, drain: Drain) -> None:
        """Create missing resources as `apply` does, update pools to the spec, and delete pools that it lacks.

        Before a pool is deleted, `drain` is called with its name and returns when its nodes are empty; it calls its
        second argument periodically. Unchanged resources are not reported.
        """

    def status(self, name: str) -> CloudStatus | None:
        """Return the state of the cluster, None if we have none of that name."""

    def clusters(self) -> Sequence[CloudStatus]:
        """Return all our clusters in this account and region."""

    def destroy(self, name: str, say: Say, *, keep_registry: bool = False) -> None:
        """Delete the cluster in dependency order, with the resources that Kubernetes created at the provider.

        Retries resources that are still in use. Raises Conflict if a cluster of that name is not ours.
        """

    def prove(self, name: str, *, keep_registry: bool = False) -> RemovalCheck:
        """Search every service of the provider for leftovers of this cluster. Changes nothing."""
