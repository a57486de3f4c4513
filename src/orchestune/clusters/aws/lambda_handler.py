"""Lambda handler that removes an idle cluster, like `cluster destroy`, from outside of the cluster.

A cluster cannot remove itself: its nodes are deleted before its control plane, with everything that runs on them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from orchestune.clusters.aws import removing
from orchestune.clusters.aws.claim import Claim
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.inventory import other
from orchestune.clusters.aws.inventory.clusters import refuse_others
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.roles import RETIREMENT
from orchestune.domain.clusters.cluster import CompletedStep, ProvisioningEvent
from orchestune.errors import Conflict, Denied, NotFound

log = logging.getLogger(__name__)
_RESERVE = 60.0
"""seconds before Lambda's timeout at which the next run is invoked"""


class _Later(Exception):
    """The time of this run is used up."""


class LambdaContext(Protocol):
    """Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: object, context: LambdaContext) -> str:
    """Entry point for Lambda, which retries twice after an exception."""
    environ = os.environ
    names = Names(
        environ["ORCHESTUNE_CLUSTER"], environ["AWS_REGION"], environ["ORCHESTUNE_ACCOUNT"],
        environ["ORCHESTUNE_PARTITION"],
    )  # fmt: skip
    return retire(Aws(names.region), names, lambda: context.get_remaining_time_in_millis() / 1000)


def retire(aws: Aws, names: Names, left: Callable[[], float]) -> str:
    """Remove the cluster, or what fits into `left` seconds, then invoke the next run. Return the outcome.

    At the end the function deletes itself and its role. Raises Conflict if foreign resources block the removal.
    """
    claim = Claim(aws, names)

    def beat() -> None:
        claim.beat()
        if left() < _RESERVE:
            raise _Later

    refuse_others(aws, names)
    try:
        with claim:
            claim.take()
            stuck = removing.remove(aws, names, _say, beat, within=True)
    except _Later:
        call(aws, names)
        return "goes on"
    if stuck:
        said = "; ".join(f"{item.kind} {item.name}: {item.why}" for item in stuck)
        raise Conflict(f"not all of '{names.cluster}' could be removed: {said}")
    return _go(aws, names)


def _go(aws: Aws, names: Names) -> str:
    """Delete the function, which still runs to its end, and its role with that role's own permissions.

    IAM does not delete a role that has policies. Removing policies takes seconds to propagate, and until then the role
    can still delete itself. If IAM was faster, a role without permissions or cost is left for `cluster destroy`.
    """
    name = names.role(RETIREMENT)
    with suppress(NotFound):  # the response to an earlier run may have been lost
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")
    try:
        other.strip(aws, name)
        aws.settled("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}", unknown=_has_rights)
    except NotFound:
        pass
    except Denied:
        return f"removed, but for the role {name}, which may nothing any more"
    return "removed"


def _has_rights(code: str, message: str) -> bool:
    """Return True if IAM does not know yet that the role's policies were removed."""
    return code == "DeleteConflict"


def call(aws: Aws, names: Names) -> None:
    """Invoke the function asynchronously; return at once."""
    request: Mapping[str, Any] = {"FunctionName": names.function, "InvocationType": "Event"}
    aws.call("lambda", "Invoke", request, about=f"function {names.function}")


def _say(event: ProvisioningEvent) -> None:
    """Write to the log of Lambda, which keeps warnings."""
    if event.what is not CompletedStep.WAITING:
        log.warning("%s %s", event.what, event.resource.called)
