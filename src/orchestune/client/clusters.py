"""Which clusters this user has connected, and which of them is the default: one owner-only file of the state folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from orchestune.domain.places import OWN
from orchestune.domain.words import did_you_mean
from orchestune.errors import NotFound, UsageError
from orchestune.system.private import locked, write_private

FILE = "clusters.json"
_LOCK = "clusters.lock"
_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

Provider = Literal["local", "docker", "slurm", "kubernetes", "hosted"]


@dataclass(frozen=True)
class Cluster:
    """A place where experiments run, and how this user reaches the server that answers for it."""

    name: str
    provider: Provider
    kubeconfig: str | None = None
    """absolute path, or several with `:` between them; None: what KUBECONFIG says, else ~/.kube/config"""
    context: str | None = None
    """of the kubeconfig; None: its current one"""
    namespace: str = ""
    registry: str | None = None
    """where images that are built for this cluster are pushed to: `registry.lab:5000` or `ghcr.io/lab`"""
    url: str = ""
    """of a hosted server"""
    role: str = ""
    """the strongest of owner, editor and viewer that this user may be; empty: not known yet"""
    user: str = ""
    """the caller's own name there, as events show it"""
    version: str = ""
    """of the server when it was last seen"""
    cloud: str = ""
    """the provider at which it was made, such as `aws`; empty: it was there already"""
    region: str = ""
    """of the provider"""
    profile: str = ""
    """of the provider's own settings, as which it is found; empty: what the environment says"""
    archive: str = ""
    """where its records and files go when it destroys itself; empty: it does not"""
    token: str = field(default="", repr=False)
    """of a hosted server; clusters of Kubernetes give a new one for each command"""

    @property
    def embedded(self) -> bool:
        """Whether the server of this machine answers for it."""
        return self.provider in OWN

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file; the token too."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Cluster:
        """The inverse of `to_json`; what a later version added is left out. TypeError where a name is missing."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


BUILT_IN = (Cluster("local", "local"), Cluster("docker", "docker"), Cluster("slurm", "slurm"))
"""Always there, under the embedded server: processes and containers of this machine, and jobs that it submits."""
_RESERVED = {cluster.name: cluster for cluster in BUILT_IN}


class Clusters:
    """The clusters of one state folder. Each call reads the file anew; changes of several commands never mix.

    UsageError where the file cannot be used.
    """

    def __init__(self, state: Path) -> None:
        self._path, self._lock = state / FILE, state / _LOCK

    def all(self) -> tuple[Cluster, ...]:
        """`local`, `docker` and `slurm`, then those that were connected, by name."""
        return (*BUILT_IN, *self.connected())

    def connected(self) -> tuple[Cluster, ...]:
        """Those that were connected, by name."""
        return tuple(sorted(self._read()[1].values(), key=lambda cluster: cluster.name))

    def find(self, name: str) -> Cluster | None:
        """The cluster of that name, if there is one."""
        return {**_RESERVED, **self._read()[1]}.get(name)

    def get(self, name: str) -> Cluster:
        """The cluster of that name. NotFound names what is near."""
        found = self.find(name)
        if found is not None:
            return found
        meant = did_you_mean(name, [cluster.name for cluster in self.all()])
        hint = f"{meant} `orchestune cluster list` lists them, `orchestune cluster connect -n {name}` connects one"
        raise NotFound(f"there is no cluster '{name}'", hint.lstrip())

    def add(self, cluster: Cluster) -> None:
        """Remember it, or replace the one of that name. UsageError where the name cannot be taken."""
        check_name(cluster.name)
        with self._changing() as (_, known):
            known[cluster.name] = cluster

    def remove(self, name: str) -> Cluster:
        """Forget it, and return what was known of it; `local` is the default again where it was. NotFound as `get`."""
        if name in _RESERVED:
            raise UsageError(f"'{name}' is always there", "only clusters that were connected can be forgotten")
        found = self.get(name)
        with self._changing() as (_, known):
            known.pop(name, None)
        return found

    @property
    def default(self) -> str:
        """The name of the cluster that is meant where none is named."""
        name, known = self._read()
        return name if name in known or name in _RESERVED else BUILT_IN[0].name

    def use(self, name: str) -> None:
        """Make it the default. NotFound as `get`."""
        self.get(name)
        with self._changing() as (chosen, _):
            chosen[:] = [name]

    @contextmanager
    def _changing(self) -> Iterator[tuple[list[str], dict[str, Cluster]]]:
        """The default (a list of one name) and the connected clusters, written back after the block."""
        try:
            with locked(self._lock):
                name, known = self._read()
                chosen = [name]
                yield chosen, known
                if chosen[0] not in known and chosen[0] not in _RESERVED:
                    chosen[0] = BUILT_IN[0].name
                document = {"schema": _SCHEMA, "default": chosen[0], "clusters": [c.to_json() for c in known.values()]}
                write_private(self._path, json.dumps(document, indent=1))
        except OSError as exc:
            raise self._unusable(exc.strerror) from exc

    def _read(self) -> tuple[str, dict[str, Cluster]]:
        """The default and the connected clusters by name."""
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return BUILT_IN[0].name, {}
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from exc
        try:
            schema = int(document["schema"])
            found = [Cluster.from_json(item) for item in document["clusters"]] if schema == _SCHEMA else []
            default = str(document["default"])
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise self._unusable("it is no list of clusters") from exc
        if schema != _SCHEMA:
            raise self._unusable(f"a later version wrote it (schema {schema})")
        return default, {cluster.name: cluster for cluster in found}

    def _unusable(self, why: object) -> UsageError:
        hint = "mend it, or move it away and connect your clusters again"
        return UsageError(f"the file {self._path} cannot be used: {why}", hint)


def check_name(name: str) -> None:
    """UsageError where a cluster that is to be connected cannot have this name."""
    if name in _RESERVED:
        raise UsageError(f"'{name}' means {OWN[name]}, and no other cluster can be named so", "choose another name")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a cluster", "letters, digits, dots, dashes and underscores; at most 63 of them"
        )
