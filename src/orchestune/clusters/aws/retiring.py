"""What runs in Lambda when an idle cluster goes: the destruction of `cluster destroy`, from outside of the cluster.

A cluster cannot do it itself: its machines go before its control plane, and whatever runs on them goes with them.
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
from orchestune.clusters.aws.inventory import rest
from orchestune.clusters.aws.inventory.clusters import refuse_others
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.roles import RETIREMENT
from orchestune.domain.cluster import Event, Happened
from orchestune.errors import Conflict, Denied, NotFound

log = logging.getLogger(__name__)
_RESERVE = 60.0
"""seconds before the end of a run at which the next one is called"""


class _Later(Exception):
    """The time of this run is over."""


class Run(Protocol):
    """What Lambda says of a run."""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: object, context: Run) -> str:
    """Lambda calls this. Whatever is raised has Lambda try again, twice."""
    environ = os.environ
    names = Names(
        environ["ORCHESTUNE_CLUSTER"], environ["AWS_REGION"], environ["ORCHESTUNE_ACCOUNT"],
        environ["ORCHESTUNE_PARTITION"],
    )  # fmt: skip
    return retire(Aws(names.region), names, lambda: context.get_remaining_time_in_millis() / 1000)


def retire(aws: Aws, names: Names, left: Callable[[], float]) -> str:
    """Remove the cluster, or as much of it as `left` seconds allow, and call the next run. What was done, in words.

    In the end the function removes itself and its role. Conflict where something of somebody else is in the way.
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
    """Remove the function, which runs on to its end, and its role by the rights of that role.

    IAM removes no role that has rights; but what a role may is decided by what IAM has spread of it, and that a role
    has lost its rights gets about in seconds. Until then it can still remove itself. Where IAM was quicker a role
    stays that may nothing and costs nothing, and `cluster destroy` removes it.
    """
    name = names.role(RETIREMENT)
    with suppress(NotFound):  # the answer of a run before may have been lost
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")
    try:
        rest.strip(aws, name)
        aws.settled("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}", unknown=_has_rights)
    except NotFound:
        pass
    except Denied:
        return f"removed, but for the role {name}, which may nothing any more"
    return "removed"


def _has_rights(code: str, message: str) -> bool:
    """Whether IAM does not know yet that the role has lost them."""
    return code == "DeleteConflict"


def call(aws: Aws, names: Names) -> None:
    """Have a run begin; returns at once."""
    request: Mapping[str, Any] = {"FunctionName": names.function, "InvocationType": "Event"}
    aws.call("lambda", "Invoke", request, about=f"function {names.function}")


def _say(event: Event) -> None:
    """Into the log of Lambda, which keeps warnings."""
    if event.what is not Happened.WAITING:
        log.warning("%s %s", event.what, event.resource.called)
