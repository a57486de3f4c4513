"""Impersonation: acting as another user, as `as` and related fields of a kubeconfig's user request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

_REFINEMENTS = ("as-uid", "as-groups", "as-user-extra")


def impersonation(user: Mapping[str, Any]) -> dict[str, str]:
    """Return the impersonation headers; none without `as`. Raises ValueError if related fields are set without `as`."""
    if not user.get("as"):
        for key in _REFINEMENTS:
            if user.get(key):
                raise ValueError(f"it has `{key}` without `as`")
        return {}
    headers = {"Impersonate-User": str(user["as"])}
    if user.get("as-uid"):
        headers["Impersonate-Uid"] = str(user["as-uid"])
    headers |= _repeated("impersonate-group", user.get("as-groups") or ())
    for key, values in (user.get("as-user-extra") or {}).items():
        headers |= _repeated(f"impersonate-extra-{quote(str(key), safe='').lower()}", values)
    return headers


def _repeated(name: str, values: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Yield a header for each value. The keys differ in case: a mapping has each key once, and headers ignore case."""
    for number, value in enumerate(values):
        spelling = (letter.upper() if number >> place & 1 else letter for place, letter in enumerate(name))
        yield "".join(spelling), str(value)
