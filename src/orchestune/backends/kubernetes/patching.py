"""A user's `pod:` merged into our pod template: as `kubectl patch` does, as far as a template needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = ("mountPath", "name", "containerPort")
"""what tells the entries of a list apart, in this order: a volume may be mounted at several paths"""
_ADDED = ("tolerations", "topologySpreadConstraints", "hostAliases")
"""lists without such a key to which is added"""


def merged(base: Any, patch: Any, key: str = "") -> Any:
    """Objects are merged key by key, null removes; lists of named entries by name; other lists are replaced."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        found = dict(base)
        for name, value in patch.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = merged(found.get(name), value, name)
        return found
    if isinstance(base, list) and isinstance(patch, list):
        if key in _ADDED:
            return base + [item for item in patch if item not in base]
        by = next((each for each in _KEYS if base and patch and all(_has(item, each) for item in base + patch)), None)
        if by is not None:
            return _by_key(base, patch, by)
    if isinstance(patch, Mapping):
        return {name: merged(None, value, name) for name, value in patch.items() if value is not None}
    return patch


def _by_key(base: list[Any], patch: list[Any], by: str) -> list[Any]:
    found = {item[by]: item for item in base}
    for item in patch:
        found[item[by]] = merged(found[item[by]], item) if item[by] in found else item
    return list(found.values())


def _has(item: object, key: str) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get(key), (str, int))
