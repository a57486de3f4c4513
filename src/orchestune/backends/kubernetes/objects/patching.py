"""Merge of a user's `pod:` into our pod template, like `kubectl patch` as far as templates need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = ("mountPath", "name", "containerPort")
"""merge keys of list entries, in order of preference: a volume may be mounted at several paths"""
_ADDED = ("tolerations", "topologySpreadConstraints", "hostAliases")
"""lists without a merge key that are appended to"""


def merged(base: Any, patch: Any, key: str = "") -> Any:
    """Return `base` patched: objects merge key by key and null deletes; lists merge by name if their entries have one;
    other lists are replaced.
    """
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
