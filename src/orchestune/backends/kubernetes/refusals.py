"""What an API server refuses, in our errors: whether to try again, and which verb on which resource is missing."""

from __future__ import annotations

import json
import re

from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, UsageError

_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


class Forbidden(Denied):
    """The server's account lacks a right."""


class Unauthenticated(TemporaryError):
    """The API server does not know the token; one that expired is read again."""


class Expired(TemporaryError):
    """A watch was to go on from a point that the API server no longer remembers: list again."""


def refusal(status: int, content: str) -> OrchestuneError:
    """The error behind an answer of the API server with that status."""
    message, reason = _said(content)
    message = message or f"status {status}"
    if status == 401:
        return Unauthenticated("the cluster's API server does not know the token", "is its ServiceAccount there?")
    if status == 403:
        return _forbidden(message)
    if status == 404:
        return NotFound(f"the cluster says: {message}")
    if status == 410:
        return Expired(message)
    if status == 409 and reason == "AlreadyExists":
        return Conflict(message)
    if status in (408, 409, 429) or status >= 500:
        return TemporaryError(f"the cluster's API server answers {status}: {message}")
    return UsageError(f"the cluster refuses this: {message}")


def _said(content: str) -> tuple[str, str]:
    try:
        document = json.loads(content)
        return str(document.get("message") or ""), str(document.get("reason") or "")
    except (ValueError, AttributeError):
        return content[:300].strip(), ""


def _forbidden(message: str) -> OrchestuneError:
    if "exceeded quota" in message:
        return TemporaryError(f"a quota of the namespace has no room: {message.partition('forbidden: ')[2] or message}")
    if "being terminated" in message:
        return TemporaryError("the namespace is being removed")
    found = _FORBIDDEN.search(message)
    if found is None:
        return Denied(f"the cluster forbids it: {message}")
    resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f"in the namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    return Forbidden(
        f"the server may not {found['verb']} {resource} {where}",
        f"grant its ServiceAccount the verb `{found['verb']}` on `{resource}`",
    )
