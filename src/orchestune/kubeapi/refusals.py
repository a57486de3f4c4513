"""Translation of an API server's errors: retriable or not, the missing permission, and a remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError

_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_ESCALATION = "is attempting to grant RBAC permissions not currently held"
MAKE_NAMESPACE = "add --create-namespace, or have an administrator make it"
_ADMISSION = ("violates PodSecurity", "admission webhook", "denied the request")


class PermissionMissing(Denied):
    """The caller lacks a permission."""


class Unauthenticated(TemporaryError):
    """The API server rejects the token; an expired one is read again."""


class WatchExpired(TemporaryError):
    """The resource version of a watch is no longer available: list again."""


class Changed(TemporaryError):
    """The object has changed since it was read: read it again."""


@dataclass(frozen=True)
class Asker:
    """The caller, as error messages describe it."""

    name: str
    """`the server`, `this user`"""
    unknown: Callable[[], OrchestuneError]
    """returns the error if the API server does not know the caller"""
    remedy: Callable[[str, str], str]
    """returns the hint for a missing permission, from its verb and resource"""
    cluster: str = "the cluster"
    patient: bool = False
    """an exceeded quota is retried"""


def answered(content: str, asker: Asker) -> dict[str, Any]:
    """Parse a response. Raises Unreachable if it is not from an API server but, for example, a proxy's login page."""
    try:
        found = json.loads(content) if content else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _somebody_else(f"it answers {' '.join(content.split())[:80]!r}", asker)
    return found


def refusal(status: int, content: str, asker: Asker) -> OrchestuneError:
    """Return the error for a response with this status, from 300 on."""
    message, reason = _said(content)
    message = message or f"status {status}"
    if status < 400:
        return _somebody_else(f"it answers {status}, and leads elsewhere", asker)
    if status == 401:
        return asker.unknown()
    if status == 403:
        return _forbidden(message, asker)
    if status == 404:
        return _missing(message, asker)
    if status == 410:
        return WatchExpired(message)
    if status == 409 and reason == "AlreadyExists":
        return Conflict(message)
    if status in (408, 409, 429) or status >= 500:
        text = f"the API server of {asker.cluster} answers {status}: {message}"
        error = Changed if status == 409 else TemporaryError
        return error(text, "try again in a moment")
    return UsageError(f"{asker.cluster} refuses this: {message}")


def _somebody_else(why: str, asker: Asker) -> Unreachable:
    return Unreachable(
        f"what answers for {asker.cluster} is no API server of Kubernetes: {why}",
        "is its address the right one, and does a proxy stand before it at which one has to log in?",
    )


def _said(content: str) -> tuple[str, str]:
    try:
        document = json.loads(content)
        return str(document.get("message") or ""), str(document.get("reason") or "")
    except (ValueError, AttributeError):
        return content[:300].strip(), ""


def _missing(message: str, asker: Asker) -> OrchestuneError:
    namespace = re.match(r'namespaces "([^"]+)" not found', message)
    if namespace:
        return NotFound(f"there is no namespace {namespace[1]} in {asker.cluster}", MAKE_NAMESPACE)
    return NotFound(f"{asker.cluster} says: {message}")


def _forbidden(message: str, asker: Asker) -> OrchestuneError:
    if "exceeded quota" in message:
        text = f"a quota of the namespace has no room: {message.partition('forbidden: ')[2] or message}"
        return TemporaryError(text) if asker.patient else Denied(text)
    if any(part in message for part in _ADMISSION):
        return Denied(f"an admission rule of {asker.cluster} forbids it: {message}")
    if _ESCALATION in message:
        which = message.partition(_ESCALATION)[2].strip(": ")
        return PermissionMissing(
            f"{asker.name} may not hand on rights that it does not hold: {which}",
            "somebody who holds them runs this, such as who has the ClusterRole `admin` in the namespace",
        )
    if "being terminated" in message:
        return TemporaryError("the namespace is being removed", "wait until it is gone, then repeat the command")
    found = _FORBIDDEN.search(message)
    if found is None:
        return Denied(f"{asker.cluster} forbids it: {message}")
    resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f"in the namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    of = "" if asker.cluster == "the cluster" else f" of {asker.cluster}"
    return PermissionMissing(
        f"{asker.name} may not {found['verb']} {resource} {where}{of}", asker.remedy(found["verb"], resource)
    )
