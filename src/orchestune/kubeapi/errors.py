"""Translation of an API server's errors: retriable or not, the missing permission, and a remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError

_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_ESCALATION = "is attempting to grant RBAC permissions not currently held"
MAKE_NAMESPACE = "add --create-namespace, or have an administrator make it"
_ONLY_CLUSTER = "the cluster"
"""name of a cluster in messages to a caller that knows one"""
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
class ApiCaller:
    """The caller, as error messages describe it."""

    name: str
    """`the server`, `this user`"""
    unknown: Callable[[str], OrchestuneError]
    """returns the error if the API server does not know the caller, from the hint of the endpoint"""
    remedy: Callable[[str, str], str]
    """returns the hint for a missing permission, from its verb and resource"""
    cluster: str = _ONLY_CLUSTER
    network_hint: str = ""
    """hint if the API server does not answer"""
    certificate_error: type[OrchestuneError] = Unreachable
    """class of the error if the certificate of the API server is not trusted"""
    is_retrying: bool = False
    """it retries later: a failed login and an exceeded quota are temporary"""

    def api_server(self, host: str) -> str:
        """Return the name of the API server in messages; `host` is its URL."""
        if self.cluster == _ONLY_CLUSTER:
            return f"the cluster's API server {host}"
        return f"the API server {urlsplit(host).netloc} of {self.cluster}"


def parsed(content: str, caller: ApiCaller) -> dict[str, Any]:
    """Parse a response. Raises Unreachable if it is not from an API server but, for example, a proxy's login page."""
    try:
        document = json.loads(content) if content else {}
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _not_an_api_server(f"it answers {' '.join(content.split())[:80]!r}", caller)
    return document


def refusal(status: int, content: str, caller: ApiCaller, login_hint: str = "") -> OrchestuneError:
    """Return the error for a response with this status, from 300 on. `login_hint`: how the caller can log in again."""
    message, reason = _status(content)
    message = message or f"status {status}"
    if status < 400:
        return _not_an_api_server(f"it answers {status}, and leads elsewhere", caller)
    if status == 401:
        return caller.unknown(login_hint)
    if status == 403:
        return _forbidden(message, caller)
    if status == 404:
        return _missing(message, caller)
    if status == 410:
        return WatchExpired(message)
    if status == 409 and reason == "AlreadyExists":
        return Conflict(message)
    if status in (408, 409, 429) or status >= 500:
        text = f"the API server of {caller.cluster} answers {status}: {message}"
        error = Changed if status == 409 else TemporaryError
        return error(text, "try again in a moment")
    return UsageError(f"{caller.cluster} refuses this: {message}")


def _not_an_api_server(why: str, caller: ApiCaller) -> Unreachable:
    return Unreachable(
        f"what answers for {caller.cluster} is no API server of Kubernetes: {why}",
        "is its address the right one, and does a proxy stand before it at which one has to log in?",
    )


def _status(content: str) -> tuple[str, str]:
    """Return message and reason of a response."""
    try:
        document = json.loads(content)
        return str(document.get("message") or ""), str(document.get("reason") or "")
    except (ValueError, AttributeError):
        return content[:300].strip(), ""


def _missing(message: str, caller: ApiCaller) -> OrchestuneError:
    namespace = re.match(r'namespaces "([^"]+)" not found', message)
    if namespace:
        return NotFound(f"there is no namespace {namespace[1]} in {caller.cluster}", MAKE_NAMESPACE)
    return NotFound(f"{caller.cluster} says: {message}")


def _forbidden(message: str, caller: ApiCaller) -> OrchestuneError:
    if "exceeded quota" in message:
        text = f"a quota of the namespace has no room: {message.partition('forbidden: ')[2] or message}"
        return TemporaryError(text) if caller.is_retrying else Denied(text)
    if any(part in message for part in _ADMISSION):
        return Denied(f"an admission rule of {caller.cluster} forbids it: {message}")
    if _ESCALATION in message:
        rules = message.partition(_ESCALATION)[2].strip(": ")
        return PermissionMissing(
            f"{caller.name} may not hand on rights that it does not hold: {rules}",
            "somebody who holds them runs this, such as who has the ClusterRole `admin` in the namespace",
        )
    if "being terminated" in message:
        return TemporaryError("the namespace is being removed", "wait until it is gone, then repeat the command")
    permission = _FORBIDDEN.search(message)
    if permission is None:
        return Denied(f"{caller.cluster} forbids it: {message}")
    resource = f"{permission['resource']}.{permission['group']}" if permission["group"] else permission["resource"]
    scope = f"in the namespace {permission['namespace']}" if permission["namespace"] else "in the whole cluster"
    of_cluster = "" if caller.cluster == _ONLY_CLUSTER else f" of {caller.cluster}"
    return PermissionMissing(
        f"{caller.name} may not {permission['verb']} {resource} {scope}{of_cluster}",
        caller.remedy(permission["verb"], resource),
    )
