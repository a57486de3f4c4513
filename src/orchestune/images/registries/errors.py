"""Translation of registry and network errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, Unreachable
from orchestune.images.registries.login import hint
from orchestune.images.registries.untrusted import Untrusted

_ERRNO = re.compile(r"\[Errno -?\d+\] (?P<words>[^\[\]()']+)")


@contextmanager
def translated(registry: str) -> Iterator[None]:
    """Raise connection errors of `registry` as Unreachable, Untrusted (TLS), TemporaryError."""
    try:
        yield
    except requests.exceptions.SSLError as exc:
        raise Untrusted(
            f"the registry {registry} cannot be trusted: {_innermost(exc)}",
            f"put its CA into /etc/docker/certs.d/{registry}/ca.crt or name it in REQUESTS_CA_BUNDLE; "
            f"write http:// before the name of a registry without TLS",
        ) from exc
    except requests.exceptions.Timeout as exc:
        raise Unreachable(f"the registry {registry} does not answer", "check its address and the network") from exc
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as exc:
        raise Unreachable(
            f"the registry {registry} cannot be reached: {_innermost(exc)}", "check its address and the network"
        ) from exc
    except requests.exceptions.RequestException as exc:
        raise OrchestuneError(f"the registry {registry} sent an invalid response: {_innermost(exc)}") from exc


def check(response: requests.Response, registry: str, operation: str) -> None:
    """Raise the error for an unsuccessful response; `what` names the operation, as in "cannot {what}"."""
    if response.ok:
        return
    status, details = response.status_code, _error_details(response)
    if status in (401, 403):
        raise Denied(f"the registry {registry} does not let this account {operation}{details}", hint(registry))
    if status == 404:
        raise NotFound(f"the registry {registry} cannot {operation}: not found{details}", "check name and tag")
    if status == 429:
        raise TemporaryError(
            f"the rate limit of the registry {registry} is exceeded{details}", f"wait, or {hint(registry)}"
        )
    kind = TemporaryError if status >= 500 else OrchestuneError
    raise kind(f"the registry {registry} cannot {operation}: {status} {response.reason}{details}")


def _error_details(response: requests.Response) -> str:
    """Return the registry's error messages, if any."""
    try:
        errors = response.json()["errors"]
        messages = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({'; '.join(messages)})" if messages else ""


def _innermost(exc: BaseException) -> str:
    """Return the root cause below the layers of requests and urllib3, without the URL, which may contain a token."""
    innermost: BaseException = exc
    for _ in range(8):
        nested = getattr(innermost, "reason", None)
        if not isinstance(nested, BaseException):
            nested = next((argument for argument in innermost.args if isinstance(argument, BaseException)), None)
        if nested is None:
            break
        innermost = nested
    text = str(innermost)
    if match := _ERRNO.search(text):
        return match["words"]
    strerror = innermost.strerror if isinstance(innermost, OSError) else None
    return text.partition("): ")[2] or strerror or type(innermost).__name__
