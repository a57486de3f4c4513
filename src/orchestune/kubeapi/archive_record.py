"""The record of where the archive of a destroyed cluster is: a ConfigMap that stays in its namespace.

Colleagues learn from it where their results are: they have no other contact with a server that is gone. Every
authenticated user of the Kubernetes cluster may read it, because the Roles of Orchestune's users are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from orchestune.errors import ClusterDestroyed

ARCHIVE_RECORD = "orchestune-archive"
"""name of the ConfigMap, and of the Role and RoleBinding that let users read it"""
RECORD_COMPONENT = "archive"
"""component label of these objects: a removal leaves them"""


@dataclass(frozen=True)
class ArchiveRecord:
    """Where the archive is, and who destroyed the cluster when."""

    archive: str
    """destination of records and files, as text for users"""
    by: str
    at: str
    """RFC 3339"""

    def to_data(self) -> dict[str, str]:
        """Return the data of the ConfigMap."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> ArchiveRecord:
        """Parse the data of the ConfigMap; missing keys are empty."""
        return cls(data.get("archive", ""), data.get("by", ""), data.get("at", ""))

    def error(self, name: str) -> ClusterDestroyed:
        """Return the error for a command that needs the server of this cluster, which is registered as `name`."""
        return ClusterDestroyed(
            f"cluster '{name}' was destroyed by {self.by} at {self.at[:16].replace('T', ' ')} UTC;"
            f" its records and files are in {self.archive}",
            "`orchestune import` reads them from a folder or bucket,"
            f" `orchestune cluster disconnect -n {name}` forgets the cluster",
        )
