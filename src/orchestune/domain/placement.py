"""In what and where a trial runs, for places that have images, pools and queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Volume:
    """Storage of the place that is mounted into each trial: exactly one of `claim` and `path` is given."""

    mount: str
    """absolute path in the trial"""
    claim: str | None = None
    """name of a PersistentVolumeClaim"""
    path: str | None = None
    """absolute path on the machine"""
    read_only: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"mount": self.mount, "claim": self.claim, "path": self.path, "read_only": self.read_only}


@dataclass(frozen=True)
class Placement:
    """What the file says of the place. A backend that knows nothing of a field says so (`Backend.check`)."""

    image: str | None = None
    """full reference, by digest once the experiment is there"""
    pool: str | None = None
    """node pool; None: chosen by what the trial needs"""
    queue: str | None = None
    """Kueue's LocalQueue"""
    service_account: str | None = None
    priority_class: str | None = None
    shm: int | None = None
    """bytes of /dev/shm; None: what the place gives"""
    volumes: tuple[Volume, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    """merged into the pod template of Kubernetes"""
    slurm: Mapping[str, Any] = field(default_factory=dict)
    """options of Slurm's `sbatch` by their long names"""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
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
        """The inverse of `to_json`."""
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
