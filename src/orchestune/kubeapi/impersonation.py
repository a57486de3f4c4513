"""Impersonation: acting as another user, as `as` and related fields of a kubeconfig's user request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

_MORE = ("as-uid", "as-groups", "as-user-extra")


def impersonation(user: Mapping[str, Any]) -> dict[str, str]:
    """Return the impersonation headers; none without `as`. Raises ValueError if related fields are set without `as`."""
    if not user.get("as"):
        for key in _MORE:
            if user.get(key):
                raise ValueError(f"it has `{key}` without `as`")
        return {}
    found = {"Impersonate-User": str(user["as"])}
    if user.get("as-uid"):
        found["Impersonate-Uid"] = str(user["as-uid"])
    found |= _each("impersonate-group", user.get("as-groups") or ())
    for key, values in (user.get("as-user-extra") or {}).items():
        found |= _each(f"impersonate-extra-{quote(str(key), safe='').lower()}", values)
    return found


def _each(name: str, values: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Yield a header for each value. The keys differ in case: a mapping has each key once, and headers ignore case."""
    for number, value in enumerate(values):
        spelled = (sign.upper() if number >> place & 1 else sign for place, sign in enumerate(name))
        yield "".join(spelled), str(value)
