"""The interface for tearing down the cluster in which the server itself runs."""

from __future__ import annotations

from typing import Protocol


class ClusterTeardown(Protocol):
    """A job outside of the cluster, with permissions that no workload inside has."""

    def begin(self) -> None:
        """Start the teardown and return at once. Idempotent: a running teardown is not started twice.

        After a TemporaryError it is unknown whether it has started; other errors say why it has not.
        """
