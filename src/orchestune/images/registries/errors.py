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
            f"a registry without TLS is named with http:// in front",
        ) from exc
    except requests.exceptions.Timeout as exc:
        raise Unreachable(f"the registry {registry} does not answer", "check its address and the network") from exc
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as exc:
        raise Unreachable(
            f"the registry {registry} cannot be reached: {_innermost(exc)}", "check its address and the network"
        ) from exc
    except requests.exceptions.RequestException as exc:
        raise OrchestuneError(f"the registry {registry} gave no usable answer: {_innermost(exc)}") from exc


def check(answer: requests.Response, registry: str, what: str) -> None:
    """Raise the error for an unsuccessful response; `what` names the operation, as in "cannot {what}"."""
    if answer.ok:
        return
    status, said = answer.status_code, _said(answer)
    if status in (401, 403):
        raise Denied(f"the registry {registry} does not let this account {what}{said}", hint(registry))
    if status == 404:
        raise NotFound(f"the registry {registry} cannot {what}: there is no such thing{said}", "check name and tag")
    if status == 429:
        raise TemporaryError(f"the registry {registry} wants fewer requests{said}", f"wait, or {hint(registry)}")
    kind = TemporaryError if status >= 500 else OrchestuneError
    raise kind(f"the registry {registry} cannot {what}: {status} {answer.reason}{said}")


def _said(answer: requests.Response) -> str:
    """Return the registry's error messages, if any."""
    try:
        errors = answer.json()["errors"]
        words = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({'; '.join(words)})" if words else ""


def _innermost(exc: BaseException) -> str:
    """Return the root cause below the layers of requests and urllib3, without the URL, which may contain a token."""
    seen: BaseException = exc
    for _ in range(8):
        nested = getattr(seen, "reason", None)
        if not isinstance(nested, BaseException):
            nested = next((item for item in seen.args if isinstance(item, BaseException)), None)
        if nested is None:
            break
        seen = nested
    text = str(seen)
    if found := _ERRNO.search(text):
        return found["words"]
    return text.partition("): ")[2] or (seen.strerror if isinstance(seen, OSError) else None) or type(seen).__name__
