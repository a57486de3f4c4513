"""What the API server refuses, in our words: which verb on which resource, and who can help."""

from __future__ import annotations

import json
import re

from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, UsageError

_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_ESCALATION = "is attempting to grant RBAC permissions not currently held"
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


class Forbidden(Denied):
    """The kubeconfig's user lacks a right."""


def refusal(status: int, content: str, method: str, place: str) -> OrchestuneError:
    """The error behind an answer of the API server."""
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    message = str(document.get("message") or content[:300] or f"status {status}")
    reason = document.get("reason")
    if status == 401:
        return Denied(
            "the cluster does not know this user: the kubeconfig's credentials are wrong or have expired",
            "log in to the cluster again, then repeat the command",
        )
    if status == 403:
        return _forbidden(message, method, place)
    if status == 404:
        missing_namespace = re.match(r'namespaces "([^"]+)" not found', message)
        if missing_namespace:
            return NotFound(
                f"there is no namespace {missing_namespace[1]}",
                "add --create-namespace, or have an administrator make it",
            )
        return NotFound(f"the cluster says: {message}")
    if status == 409 and reason == "AlreadyExists":
        return Conflict(message)
    if status in (409, 429) or status >= 500:
        return TemporaryError(f"the cluster answers {status}: {message}", "try again in a moment")
    return UsageError(f"the cluster refuses this: {message}")


def _forbidden(message: str, method: str, place: str) -> OrchestuneError:
    if "exceeded quota" in message:
        return Denied(f"a quota of the namespace forbids it: {message.partition('forbidden: ')[2] or message}")
    if "violates PodSecurity" in message or "admission webhook" in message or "denied the request" in message:
        return Denied(f"an admission rule of the cluster forbids it: {message}")
    if _ESCALATION in message:
        return Forbidden(
            f"this user may not hand on rights that it does not hold: {message.partition(_ESCALATION)[2].strip(': ')}",
            "`orchestune cluster connect --print-admin` prints what an administrator has to apply",
        )
    if "being terminated" in message:
        return TemporaryError("the namespace is being removed", "wait until it is gone, then repeat the command")
    found = _FORBIDDEN.search(message)
    if found is None:
        return Forbidden(f"the cluster forbids {_VERBS.get(method, method)} on {place}: {message}")
    resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f" in the namespace {found['namespace']}" if found["namespace"] else " in the whole cluster"
    return Forbidden(
        f"this user may not {found['verb']} {resource}{where}",
        f"an administrator can grant the verb `{found['verb']}` on `{resource}`; docs/how-to/permissions.md lists all",
    )
