"""What `cluster connect` is asked for, by a user or by `cluster create`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

NO_FILE = Path()
"""what `''` is in the place of a file"""


@dataclass(frozen=True)
class ConnectOptions:
    """The settings of a server; None leaves one as it is in the cluster, or to its default."""

    registry: str | None = None
    server_image: str | None = None
    default_image: str | None = None
    pull_secrets: tuple[str, ...] | None = None
    image_volumes: str | None = None
    storage_class: str | None = None
    claim: str | None = None
    size: str | None = None
    database_url: str | None = None
    files: str | None = None
    retention: str | None = None
    env_secret: str | None = None
    replicas: int | None = None
    gpu_resource: str | None = None
    pool_label: str | None = None
    autoscaling: bool | None = None
    create_namespace: bool | None = None
    proxy: str | None = None
    no_proxy: str | None = None
    ca: Path | None = None
    retirement: Mapping[str, Any] | None = None
    """when the server has the cluster destroyed; empty: never"""
    allow: Sequence[str] | None = None
    """access that experiments get beyond what they have, such as claim:datasets"""
    disallow: Sequence[str] | None = None
    """access that they lose"""

    @classmethod
    def of(cls, args: argparse.Namespace) -> ConnectOptions:
        """Those of a command line."""
        known: dict[str, Any] = {item.name: getattr(args, item.name, None) for item in fields(cls)}
        return cls(**known | {"pull_secrets": tuple(filter(None, args.pull_secret)) if args.pull_secret else None})

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults, keyed by their names in `ConnectionSettings`."""
        names = (
            "registry", "storage_class", "claim", "size", "files", "default_image", "gpu_resource", "pool_label",
            "env_secret", "replicas", "image_volumes", "proxy", "no_proxy", "create_namespace", "server_image",
            "pull_secrets", "retirement", "retention", "allow", "disallow",
        )  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "elastic": self.autoscaling,
            "database": True if self.database_url else None,
            "certificates": None if self.ca is None else self.ca != NO_FILE,
        }
