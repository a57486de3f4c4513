"""Evaluation of policies, and the error of each service for a denied call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.testbeds.aws.actions import Need
from tests.testbeds.aws.identities import Identity
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call

TagsOf = Callable[[str], Mapping[str, str] | None]
"""the tags of a resource by its ARN; None if it is unknown"""


def allows(policy: Mapping[str, Any] | None, need: Need, tags: TagsOf) -> bool:
    """Return True if some statement of `policy` allows it (there are no statements that deny)."""
    return policy is None or any(_fits(statement, need, tags) for statement in policy["Statement"])


def _fits(statement: Mapping[str, Any], need: Need, tags: TagsOf) -> bool:
    assert statement["Effect"] == "Allow", "this fake reads policies that allow"
    if not any(fnmatchcase(need.action.lower(), pattern.lower()) for pattern in _many(statement["Action"])):
        return False
    if not any(fnmatchcase(need.resource, pattern) for pattern in _many(statement["Resource"])):
        return False
    context = dict(need.context)
    for name, value in (tags(need.resource) or {}).items():
        context[f"aws:ResourceTag/{name}"] = value
    return all(
        _holds(operator, context.get(key), _many(patterns))
        for operator, conditions in statement.get("Condition", {}).items()
        for key, patterns in conditions.items()
    )


def _holds(operator: str, value: str | None, patterns: Iterable[str]) -> bool:
    if operator == "StringEquals":
        return value in set(patterns)
    if operator == "StringLike":
        return value is not None and any(fnmatchcase(value, pattern) for pattern in patterns)
    raise AssertionError(f"this fake does not know the condition {operator}")


def _many(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def denied(call: Call, who: Identity, need: Need, terse: bool) -> Refused:
    """Return the error of the service. `terse`: EC2 without the sentence that names the action, as it used to."""
    action = need.action
    because = f"because no identity-based policy allows the {action} action"
    sentence = f"User: {who.arn} is not authorized to perform: {action} on resource: {need.resource} {because}"
    if need.refusal:
        return Refused("InvalidRequestException", f"{need.refusal} Encoded authorization failure message: {_ENCODED}")
    if call.service == "ec2":
        rest = "" if terse else f" {sentence}. Encoded authorization failure message: {_ENCODED}"
        return Refused("UnauthorizedOperation", f"You are not authorized to perform this operation.{rest}", 403)
    if call.service in ("iam", "sts", "autoscaling", "elb", "elbv2"):
        return Refused("AccessDenied", sentence, 403)
    if call.service == "s3":
        return Refused("AccessDenied", sentence, 403)
    return Refused("AccessDeniedException", sentence, 400 if call.protocol == "json" else 403)


_ENCODED = "SAh2nDlM_rJs7hFuZ5hszTmXB0Cpmz2KENOOFaiMYyH7cyIdM"
