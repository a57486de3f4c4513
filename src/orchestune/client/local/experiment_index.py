"""Clusters of the experiments that were started from this state folder, so that users need not repeat their names."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from orchestune.domain.lifecycle.ids import is_handle
from orchestune.errors import Ambiguous
from orchestune.system.private import locked, write_private

FILE = "experiments.json"
_LOCK = "experiments.lock"
MAX_EXPERIMENTS = 500
"""maximum number of remembered experiments; the oldest are dropped"""


@dataclass(frozen=True)
class StartedExperiment:
    """An experiment that was started on this machine."""

    handle: str
    id: str
    cluster: str
    folder: str
    """`HOST:PATH`, the key by which servers find the experiments of a folder"""
    inputs_digest: str = ""
    """what it read on this machine at its start; empty if unknown"""

    @property
    def path(self) -> Path | None:
        """The folder on this machine; None if it was another machine's, which may share the home folder."""
        host, _, path = self.folder.partition(":")
        return Path(path) if path and host == socket.gethostname() else None


_NAMES = tuple(item.name for item in fields(StartedExperiment))


def inputs_digest(specification: Mapping[str, Any], launch: Mapping[str, Any]) -> str:
    """Return a digest of what an experiment reads on this machine: the sources of its secrets and what is packed.

    `rerun`, `try` and `shell` send secrets and files without asking only if it is still the same: otherwise the server
    could answer with another specification, and choose what they read.
    """
    import hashlib  # imported on demand: only commands that start or read an experiment need it

    secrets = sorted((str(secret["name"]), str(secret["source"])) for secret in specification.get("secrets") or ())
    code = launch.get("code") or {}
    packed = [code.get("ignore") or [], code.get("limit"), code.get("modules") or []]
    packed += [code["folder"]] if code.get("folder") else []
    return hashlib.sha256(json.dumps([secrets, packed]).encode()).hexdigest()


class ExperimentIndex:
    """The remembered experiments, newest first. Best-effort: an unusable file counts as empty."""

    def __init__(self, state: Path) -> None:
        self._path, self._lock = state / FILE, state / _LOCK

    def all(self) -> list[StartedExperiment]:
        """Return all remembered experiments.

        Skips malformed handles: an untrusted server may have sent them, and shell completion inserts handles.
        """
        try:
            experiments = [StartedExperiment(**_strings(item)) for item in self._items()]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [started for started in experiments if is_handle(started.handle)]

    def add(self, started: StartedExperiment) -> None:
        """Add an experiment as the newest."""
        self._change(
            lambda experiments: [started, *(item for item in experiments if item.id != started.id)][:MAX_EXPERIMENTS]
        )

    def forget(self, forgotten: Callable[[StartedExperiment], bool]) -> None:
        """Remove matching experiments, which were deleted or whose cluster was."""
        self._change(lambda experiments: [item for item in experiments if not forgotten(item)])

    def cluster_of(self, ref: str) -> str | None:
        """Return the cluster of the experiment with this handle, id or prefix of either; None if unknown.

        Raises Ambiguous if it matches several in different clusters.
        """
        matches = [item for item in self.all() if item.handle.startswith(ref) or item.id.startswith(ref)]
        exact = [item for item in matches if ref in (item.handle, item.id)]
        exact = exact or [item for item in matches if item.handle.rpartition("-")[0] == ref] or matches
        clusters = dict.fromkeys(item.cluster for item in exact)
        if len(clusters) < 2:
            return next(iter(clusters), None)
        candidates = ", ".join(f"{item.handle} in {item.cluster}" for item in exact[:5])
        raise Ambiguous(f"'{ref}' is ambiguous: {candidates}", "write more of the handle, or add --cluster")

    def started(self, identity: str, cluster: str) -> StartedExperiment | None:
        """Return the experiment of this cluster with exactly this id; None if it was not started here."""
        return next((item for item in self.all() if (item.id, item.cluster) == (identity, cluster)), None)

    def of_folder(self, folder: str) -> list[StartedExperiment]:
        """Return the experiments that were started in this folder, newest first."""
        return [item for item in self.all() if item.folder == folder]

    def _items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._path.read_bytes())["experiments"]
        return items

    def _change(self, changed: Callable[[list[StartedExperiment]], list[StartedExperiment]]) -> None:
        """Apply `changed` to the list and store it, best-effort."""
        with suppress(OSError), locked(self._lock):
            before = self.all()
            after = changed(before)
            if after != before:
                document = {"schema": 1, "experiments": [asdict(item) for item in after]}
                write_private(self._path, json.dumps(document))


def _strings(item: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(item[name]) for name in _NAMES}
