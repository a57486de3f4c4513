"""Removal of an idle cluster by a Lambda function, from outside of the cluster: the handler, and its trigger.

A cluster cannot remove itself: its nodes are deleted before its control plane, with everything that runs on them. So
the server invokes this function once its records are archived, and the function does what `cluster destroy` does. A run
of Lambda lasts at most 15 minutes and a removal longer, so each run stops in time and invokes the next one. All state
is in AWS: a run that is killed, invoked twice or retried by Lambda finds what is left. Two runs at once are excluded by
`cluster_lock`: the second one raises Conflict.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from orchestune.clusters.aws import removing
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.cluster_lock import ClusterLock
from orchestune.clusters.aws.inventory import other
from orchestune.clusters.aws.inventory.clusters import refuse_foreign
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.roles import RETIREMENT
from orchestune.domain.clusters.cluster import CompletedStep, ProvisioningEvent
from orchestune.errors import Conflict, Denied, NotFound

log = logging.getLogger(__name__)
_RESERVE_SECONDS = 60.0
"""seconds before Lambda's timeout at which the next run is invoked"""


class _OutOfTime(Exception):
    """The time of this run is used up."""


class LambdaContext(Protocol):
    """Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int: ...


class LambdaTeardown:
    """Implements `ClusterTeardown` with the Lambda function of one cluster."""

    def __init__(self, cluster: str, region: str) -> None:
        self._cluster, self._region = cluster, region

    def begin(self) -> None:
        invoke(Aws(self._region), Names(self._cluster, self._region, ""))


def handler(event: object, context: LambdaContext) -> str:
    """Entry point for Lambda, which retries twice after an exception."""
    environ = os.environ
    names = Names(
        environ["ORCHESTUNE_CLUSTER"], environ["AWS_REGION"], environ["ORCHESTUNE_ACCOUNT"],
        environ["ORCHESTUNE_PARTITION"],
    )  # fmt: skip
    return tear_down(Aws(names.region), names, lambda: context.get_remaining_time_in_millis() / 1000)


def tear_down(aws: Aws, names: Names, remaining_seconds: Callable[[], float]) -> str:
    """Remove the cluster, or as much as fits into this run, then invoke the next run. Return the outcome.

    `remaining_seconds` returns the time until Lambda kills this run. At the end the function deletes itself and its
    role. Raises Conflict if foreign resources block the removal, or another process works on the cluster.
    """
    lock = ClusterLock(aws, names)

    def heartbeat() -> None:
        lock.heartbeat()
        if remaining_seconds() < _RESERVE_SECONDS:
            raise _OutOfTime

    refuse_foreign(aws, names)
    try:
        with lock:
            lock.acquire()
            remaining = removing.remove(aws, names, _log_event, heartbeat, inside_lambda=True)
    except _OutOfTime:  # the lock is released: the next run need not wait until it expires
        invoke(aws, names)
        return "continues in the next run"
    if remaining:
        reasons = "; ".join(f"{resource.kind} {resource.name}: {resource.why}" for resource in remaining)
        raise Conflict(f"cannot remove all of '{names.cluster}': {reasons}")
    return _delete_self(aws, names)


def _delete_self(aws: Aws, names: Names) -> str:
    """Delete the function, which still runs to its end, and its role with that role's own permissions.

    IAM does not delete a role that has policies. Removing policies takes seconds to propagate, and until then the role
    can still delete itself. If IAM was faster, a role without permissions or cost is left for `cluster destroy`.
    """
    name = names.role(RETIREMENT)
    with suppress(NotFound):  # the response to an earlier run may have been lost
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")
    try:
        other.delete_policies(aws, name)
        aws.call_eventually("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}", is_transient=_has_policies)
    except NotFound:
        pass
    except Denied:
        return f"removed, except for the role {name}, which has no permissions any more"
    return "removed"


def _has_policies(code: str, message: str) -> bool:
    """Return True if IAM does not know yet that the role's policies were removed."""
    return code == "DeleteConflict"


def invoke(aws: Aws, names: Names) -> None:
    """Invoke the function asynchronously; return at once."""
    request: Mapping[str, Any] = {"FunctionName": names.function, "InvocationType": "Event"}
    aws.call("lambda", "Invoke", request, about=f"function {names.function}")


def _log_event(event: ProvisioningEvent) -> None:
    """Write to the log of Lambda, which keeps warnings."""
    if event.what is not CompletedStep.WAITING:
        log.warning("%s %s", event.what, event.resource.title)
