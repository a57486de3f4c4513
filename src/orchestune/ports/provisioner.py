"""What makes, changes and removes clusters at a cloud provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orchestune.domain.cluster import ClusterSpec, Complaint, Event, Payer, Planned, Proof, Reached, Standing

Say = Callable[[Event], None]
"""hears of each resource when work on it begins, now and then while it lasts, and when it ends"""


Drain = Callable[[str, Callable[[], None]], None]
"""empties a pool"""


class Provisioner(Protocol):
    """One provider, in one account and region. Blocking; every call may be repeated, after any interruption.

    What stands at the provider is the truth: things are found by tag and name, nothing is remembered elsewhere. What
    was not made by `apply` for the cluster of that name is never changed and never removed. A refusal names the
    resource, gives the provider's reason and says what to do; Denied names the right that is missing. Throttling and
    states that take time are waited out within; TemporaryError says that a repeat may help.
    """

    def payer(self) -> Payer:
        """Who would pay. Denied where there are no credentials, UsageError where no region is named."""

    def check(self, spec: ClusterSpec) -> tuple[list[Complaint], list[str]]:
        """What the provider will not do as the spec asks, all of it, and notes on what it may not. Changes nothing.

        Where the cluster is there, also what of it cannot be brought to the spec in place.
        """

    def plan(self, spec: ClusterSpec) -> list[Planned]:
        """Every resource in the order in which `apply` makes them. Changes nothing."""

    def apply(self, spec: ClusterSpec, say: Say) -> Reached:
        """Make what lacks, leave what is there, return when machines can run pods.

        Conflict where somebody makes the same cluster now, or where one of that name is not ours.
        """

    def reach(self, name: str) -> Reached | None:
        """How a cluster that is up is reached; None where there is none of ours of that name.

        TemporaryError while one is made or removed.
        """

    def login(self, name: str) -> dict[str, Any]:
        """The user of a kubeconfig that logs in there. Nothing secret stands in it."""

    def manifests(self, spec: ClusterSpec) -> list[dict[str, Any]]:
        """What has to run in the cluster for its pools to grow, shrink and show their GPUs."""

    def retirement(self, spec: ClusterSpec) -> dict[str, Any]:
        """What the server in the cluster is told, so that it can have an idle cluster destroyed; empty: it shall not.

        With `after`, `archive`, `provider`, and what `Undertaker`s of this provider need. Nothing secret.
        """

    def changes(self, spec: ClusterSpec) -> list[Planned]:
        """What `update` would do, in its order."""

    def update(self, spec: ClusterSpec, say: Say, drain: Drain) -> None:
        """Make what lacks, as `apply` does; bring pools to what the spec says; remove those that it lacks.

        Before that `drain` gets the name of a pool, and returns when nothing runs there any more; it calls its second
        argument now and then. What is there as the spec says is not told of.
        """

    def status(self, name: str) -> Standing | None:
        """The cluster as it is; None where there is none of ours of that name."""

    def clusters(self) -> Sequence[Standing]:
        """Every cluster of ours in this account and region."""

    def destroy(self, name: str, say: Say, *, keep_registry: bool = False) -> None:
        """Remove all of it, what Kubernetes made at the provider included, in the order of dependence.

        Waits for and tries again what is still in use. Conflict where a cluster of that name is not ours.
        """

    def prove(self, name: str, *, keep_registry: bool = False) -> Proof:
        """Look at every service for anything of this cluster. Changes nothing."""
