"""Writes the record of where the archive of a destroyed cluster is, and removes it once a server is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.objects import display_name, manifest
from orchestune.clusters.existing.rights import rule
from orchestune.kubeapi.archive_record import ARCHIVE_RECORD, RECORD_COMPONENT, ArchiveRecord
from orchestune.kubeapi.errors import PermissionMissing

Manifest = dict[str, Any]
_RBAC_GROUP = "rbac.authorization.k8s.io"
_RBAC = f"{_RBAC_GROUP}/v1"


def documents(connection: ConnectionSettings, record: ArchiveRecord) -> list[Manifest]:
    """Return the ConfigMap, and the Role and RoleBinding that let every authenticated user read it."""
    parts: list[tuple[str, str, dict[str, Any]]] = [
        ("v1", "ConfigMap", {"data": record.to_data()}),
        (_RBAC, "Role", {"rules": [rule("", ["configmaps"], ["get"], [ARCHIVE_RECORD])]}),
        (
            _RBAC,
            "RoleBinding",
            {
                "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "Role", "name": ARCHIVE_RECORD},
                "subjects": [{"apiGroup": _RBAC_GROUP, "kind": "Group", "name": "system:authenticated"}],
            },
        ),
    ]
    return [
        manifest(version, kind, ARCHIVE_RECORD, connection, RECORD_COMPONENT, **body) for version, kind, body in parts
    ]


def write(
    api: ContextClient, connection: ConnectionSettings, record: ArchiveRecord, note: Callable[[str], None]
) -> None:
    """Create or replace the record; `note` receives which part this user may not create."""
    for document in documents(connection, record):
        try:
            api.apply(document)
        except PermissionMissing as exc:
            note(f"colleagues may not see where the archive is: {display_name(document)}: {exc.message}")


def remove(api: ContextClient, connection: ConnectionSettings, note: Callable[[str], None]) -> None:
    """Delete the record of an earlier server in the namespace. Idempotent."""
    if api.get("v1", "ConfigMap", ARCHIVE_RECORD, connection.namespace) is None:
        return
    for document in documents(connection, ArchiveRecord("", "", "")):
        try:
            api.delete(document)
        except PermissionMissing as exc:
            note(f"{display_name(document)} of the earlier server stays: {exc.message}")
