"""Checks after a removal that nothing of Orchestune is left in a namespace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from orchestune.clusters.existing import plan
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.objects import display_name
from orchestune.clusters.existing.provisioner import REMOVED, own_objects
from orchestune.kubeapi.errors import PermissionMissing

Manifest = dict[str, Any]
_TIMEOUT_SECONDS = 120.0
"""seconds for finalizers: detaching a volume or emptying a namespace takes tens of seconds"""
_NOTE_DELAY, _POLL_SECONDS = 10.0, 0.5
"""seconds of waiting before progress is reported, and seconds between polls"""


def wait_until_gone(
    api: ContextClient,
    connection: ConnectionSettings,
    note: Callable[[str], None],
    *,
    with_namespace: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Wait until everything that a removal has deleted is gone; return what still stands after the timeout, and why.

    `with_namespace`: the namespace itself was deleted. What this user may not read is not reported.
    """
    start, is_noted = clock(), False
    while True:
        present = list(_present(api, connection, with_namespace=with_namespace))
        # Only objects that are being deleted will disappear; waiting for the others has no use.
        if not any(_is_going(document) for document in present) or clock() > start + _TIMEOUT_SECONDS:
            return [f"{display_name(document)}{_why(document)}" for document in present]
        if not is_noted and clock() - start > _NOTE_DELAY:
            note(f"waiting until {', '.join(display_name(document) for document in present[:3])} is gone")
            is_noted = True
        sleep(_POLL_SECONDS)


def _present(api: ContextClient, connection: ConnectionSettings, *, with_namespace: bool) -> Iterator[Manifest]:
    for version, kind in REMOVED:
        try:
            yield from own_objects(api, version, kind, connection.namespace)
        except PermissionMissing:
            continue
    singles = [
        (each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in plan.administrators_part(connection)
    ]
    singles += [("v1", "Namespace", connection.namespace)] if with_namespace else []
    for version, kind, name in singles:
        try:
            document = api.get(version, kind, name)
        except PermissionMissing:
            continue
        if document is not None:
            yield {"apiVersion": version, "kind": kind, **document}


def _is_going(document: Manifest) -> bool:
    return bool(document["metadata"].get("deletionTimestamp"))


def _why(document: Manifest) -> str:
    """Return why an object is not gone: its finalizers, or what a namespace reports about its contents."""
    if not _is_going(document):
        return ""
    conditions = (document.get("status") or {}).get("conditions") or ()
    messages = [str(item.get("message")) for item in conditions if item.get("status") == "True" and item.get("message")]
    finalizers = document["metadata"].get("finalizers") or (document.get("spec") or {}).get("finalizers") or ()
    reason = "; ".join(messages) or (f"its finalizers {', '.join(finalizers)} are not done" if finalizers else "")
    return f" is being deleted{f': {reason}' if reason else ''}"
