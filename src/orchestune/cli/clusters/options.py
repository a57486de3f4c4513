"""Options of `cluster connect`, set by a user or by `cluster create`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

NO_FILE = Path()
"""value of an empty file option `''`"""


@dataclass(frozen=True)
class ConnectOptions:
    """Settings of a server; None keeps the deployed value, or the default."""

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
    """when the server destroys the cluster; empty: never"""
    allow: Sequence[str] | None = None
    """additional permissions of experiments, such as claim:datasets"""
    disallow: Sequence[str] | None = None
    """permissions to revoke"""

    @classmethod
    def of(cls, args: argparse.Namespace) -> ConnectOptions:
        """Create the options from a command line."""
        options: dict[str, Any] = {field.name: getattr(args, field.name, None) for field in fields(cls)}
        return cls(**options | {"pull_secrets": tuple(filter(None, args.pull_secret)) if args.pull_secret else None})

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that differ from the defaults, keyed by their names in `ConnectionSettings`."""
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
