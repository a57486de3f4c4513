"""Container image, node pool, queue and volumes of a trial, for backends that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Volume:
    """Storage of the cluster that is mounted into each trial: exactly one of `claim` and `path` is set."""

    mount: str
    """absolute path in the trial"""
    claim: str | None = None
    """name of a PersistentVolumeClaim"""
    path: str | None = None
    """absolute path on the node"""
    read_only: bool = False

    def to_json(self) -> dict[str, Any]:
        """Serialize the fields by name."""
        return {"mount": self.mount, "claim": self.claim, "path": self.path, "read_only": self.read_only}


@dataclass(frozen=True)
class Placement:
    """Placement options of the experiment file. `Backend.check` rejects fields that the backend does not support."""

    image: str | None = None
    """full reference, pinned by digest once the experiment is created"""
    pool: str | None = None
    """node pool; None: any that has the requested resources"""
    queue: str | None = None
    """Kueue's LocalQueue"""
    service_account: str | None = None
    priority_class: str | None = None
    shm: int | None = None
    """bytes of /dev/shm; None: the backend's default"""
    volumes: tuple[Volume, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    """merged into the Kubernetes pod template"""
    slurm: Mapping[str, Any] = field(default_factory=dict)
    """options of Slurm's `sbatch` by their long names"""

    def to_json(self) -> dict[str, Any]:
        """Serialize the fields by name."""
        return {
            "image": self.image,
            "pool": self.pool,
            "queue": self.queue,
            "service_account": self.service_account,
            "priority_class": self.priority_class,
            "shm": self.shm,
            "volumes": [volume.to_json() for volume in self.volumes],
            "pod": dict(self.pod),
            **({"slurm": dict(self.slurm)} if self.slurm else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Placement:
        """Parse the output of `to_json`."""
        volumes = tuple(
            Volume(item["mount"], item.get("claim"), item.get("path"), bool(item.get("read_only")))
            for item in document.get("volumes") or ()
        )
        names = ("image", "pool", "queue", "service_account", "priority_class", "shm")
        return cls(
            **{name: document.get(name) for name in names},
            volumes=volumes,
            pod=dict(document.get("pod") or {}),
            slurm=dict(document.get("slurm") or {}),
        )
