"""Connected clusters of this user, and the default one: a private file in the state folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.domain.words import did_you_mean
from orchestune.errors import NotFound, UsageError
from orchestune.system.private import locked, write_private

FILE = "clusters.json"
_LOCK = "clusters.lock"
_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

Provider = Literal["local", "docker", "slurm", "kubernetes", "hosted"]


@dataclass(frozen=True)
class ConnectedCluster:
    """A cluster to run experiments on, and the access to its server."""

    name: str
    provider: Provider
    kubeconfig: str | None = None
    """absolute path, or several separated by `:`; None: KUBECONFIG, or ~/.kube/config"""
    context: str | None = None
    """context of the kubeconfig; None: the current one"""
    namespace: str = ""
    registry: str | None = None
    """registry to push images for this cluster to: `registry.lab:5000` or `ghcr.io/lab`"""
    url: str = ""
    """URL of a hosted server"""
    role: str = ""
    """this user's highest role: owner, editor or viewer; empty: not known yet"""
    user: str = ""
    """the caller's name in events on that cluster"""
    version: str = ""
    """version of the server at the last contact"""
    cloud: str = ""
    """cloud provider on which Orchestune created it, such as `aws`; empty: it existed before"""
    region: str = ""
    """region of the cloud provider"""
    profile: str = ""
    """profile in the cloud provider's own settings; empty: as the environment selects"""
    archive: str = ""
    """destination of its records and files when it destroys itself, or was destroyed; empty: neither"""
    destroyed_by: str = ""
    """who destroyed it, as recorded in the cluster; empty: it exists, as far as known"""
    destroyed_at: str = ""
    """when, in RFC 3339"""
    token: str = field(default="", repr=False)
    """token of a hosted server; for Kubernetes clusters each command gets a new one"""

    @property
    def embedded(self) -> bool:
        """True if the embedded server of this machine manages it."""
        return self.provider in BUILTIN_CLUSTERS

    def to_json(self) -> dict[str, Any]:
        """Serialize for the file, including the token."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ConnectedCluster:
        """Parse the result of `to_json`; ignores unknown fields. Raises TypeError if a required one is missing."""
        names = {field_.name for field_ in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in names})


BUILT_IN = (
    ConnectedCluster("local", "local"),
    ConnectedCluster("docker", "docker"),
    ConnectedCluster("slurm", "slurm"),
)
"""Always available on the embedded server: processes and containers of this machine, and jobs in Slurm."""
_RESERVED = {cluster.name: cluster for cluster in BUILT_IN}


class Clusters:
    """The clusters in one state folder. Each call rereads the file; concurrent commands change it one at a time.

    Raises UsageError if the file is unusable.
    """

    def __init__(self, state: Path) -> None:
        self._path, self._lock = state / FILE, state / _LOCK

    def all(self) -> tuple[ConnectedCluster, ...]:
        """Return `local`, `docker` and `slurm`, then the connected clusters by name."""
        return (*BUILT_IN, *self.connected())

    def connected(self) -> tuple[ConnectedCluster, ...]:
        """Return the connected clusters, by name."""
        return tuple(sorted(self._read()[1].values(), key=lambda cluster: cluster.name))

    def find(self, name: str) -> ConnectedCluster | None:
        """Return the cluster with this name, None if absent."""
        return {**_RESERVED, **self._read()[1]}.get(name)

    def get(self, name: str) -> ConnectedCluster:
        """Return the cluster with this name. Raises NotFound with similar names."""
        cluster = self.find(name)
        if cluster is not None:
            return cluster
        suggestion = did_you_mean(name, [cluster.name for cluster in self.all()])
        hint = f"{suggestion} `orchestune cluster list` lists them, `orchestune cluster connect -n {name}` connects one"
        raise NotFound(f"no such cluster: '{name}'", hint.lstrip())

    def add(self, cluster: ConnectedCluster) -> None:
        """Add or replace a cluster by its name. Raises UsageError if the name is not allowed."""
        check_name(cluster.name)
        with self._changing() as (_, clusters):
            clusters[cluster.name] = cluster

    def remove(self, name: str) -> ConnectedCluster:
        """Remove a cluster and return it; a removed default is replaced by `local`. Raises NotFound as `get` does."""
        if name in _RESERVED:
            raise UsageError(f"cannot remove the built-in cluster '{name}'", "only connected clusters can be removed")
        cluster = self.get(name)
        with self._changing() as (_, clusters):
            clusters.pop(name, None)
        return cluster

    @property
    def default(self) -> str:
        """Name of the cluster that commands use by default."""
        name, clusters = self._read()
        return name if name in clusters or name in _RESERVED else BUILT_IN[0].name

    def use(self, name: str) -> None:
        """Make it the default. Raises NotFound as `get` does."""
        self.get(name)
        with self._changing() as (default, _):
            default[:] = [name]

    @contextmanager
    def _changing(self) -> Iterator[tuple[list[str], dict[str, ConnectedCluster]]]:
        """Yield the default (a list of one name) and the connected clusters, and write both back after the block."""
        try:
            with locked(self._lock):
                name, clusters = self._read()
                default = [name]
                yield default, clusters
                if default[0] not in clusters and default[0] not in _RESERVED:
                    default[0] = BUILT_IN[0].name
                document = {
                    "schema": _SCHEMA,
                    "default": default[0],
                    "clusters": [c.to_json() for c in clusters.values()],
                }
                write_private(self._path, json.dumps(document, indent=1))
        except OSError as exc:
            raise self._unusable(exc.strerror) from exc

    def _read(self) -> tuple[str, dict[str, ConnectedCluster]]:
        """Return the default and the connected clusters by name."""
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return BUILT_IN[0].name, {}
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from exc
        try:
            schema = int(document["schema"])
            clusters = [ConnectedCluster.from_json(item) for item in document["clusters"]] if schema == _SCHEMA else []
            default = str(document["default"])
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise self._unusable("it is not a list of clusters") from exc
        if schema != _SCHEMA:
            raise self._unusable(f"a later version wrote it (schema {schema})")
        return default, {cluster.name: cluster for cluster in clusters}

    def _unusable(self, why: object) -> UsageError:
        hint = "fix it, or move it away and reconnect your clusters"
        return UsageError(f"invalid file {self._path}: {why}", hint)


def check_name(name: str) -> None:
    """Raise UsageError if a new cluster cannot have this name."""
    if name in _RESERVED:
        raise UsageError(f"reserved cluster name: '{name}' ({BUILTIN_CLUSTERS[name]})", "choose another name")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"invalid cluster name: {name!r}", "use letters, digits, dots, dashes and underscores, at most 63"
        )
