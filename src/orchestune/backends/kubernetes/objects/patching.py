"""Merge of a user's `pod:` into our pod template, like `kubectl patch` as far as templates need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MERGE_KEYS = ("mountPath", "name", "containerPort")
"""merge keys of list entries, in order of preference: a volume may be mounted at several paths"""
_APPENDED_LISTS = ("tolerations", "topologySpreadConstraints", "hostAliases")
"""lists without a merge key that are appended to"""


def merged(base: Any, patch: Any, key: str = "") -> Any:
    """Return `base` patched.

    Objects merge key by key and null deletes; lists merge by name if their entries have one; other lists are replaced.
    """
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        mapping = dict(base)
        for name, value in patch.items():
            if value is None:
                mapping.pop(name, None)
            else:
                mapping[name] = merged(mapping.get(name), value, name)
        return mapping
    if isinstance(base, list) and isinstance(patch, list):
        if key in _APPENDED_LISTS:
            return base + [item for item in patch if item not in base]
        by = next(
            (each for each in _MERGE_KEYS if base and patch and all(_has(item, each) for item in base + patch)), None
        )
        if by is not None:
            return _by_key(base, patch, by)
    if isinstance(patch, Mapping):
        return {name: merged(None, value, name) for name, value in patch.items() if value is not None}
    return patch


def _by_key(base: list[Any], patch: list[Any], by: str) -> list[Any]:
    entries = {item[by]: item for item in base}
    for item in patch:
        entries[item[by]] = merged(entries[item[by]], item) if item[by] in entries else item
    return list(entries.values())


def _has(item: object, key: str) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get(key), (str, int))
