"""Copy everything of a cluster's server to another place; verified, and complete or refused."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import RecordTarget
from orchestune.cli.clusters.shared import known_clusters
from orchestune.cli.inspect.archive import ConfirmedTarget, copy_all
from orchestune.cli.terminal.console import Console
from orchestune.client.address import resolver
from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.states import FINAL_STATES
from orchestune.domain.words import brief_list
from orchestune.errors import Conflict, OrchestuneError, UsageError
from orchestune.files.open import open_files

if TYPE_CHECKING:
    from orchestune import documents

_RETRY_SECONDS = 30.0
_STOP_SECONDS = 360.0
"""a server waits five minutes for files of completed trials"""
_POLL_SECONDS = 0.5
_MAX_ROUNDS = 5


class Archive:
    """A server and the destination of its copy. `to` None: this machine's own server."""

    def __init__(self, console: Console, name: str, to: str | None) -> None:
        self._open = ExitStack()
        self.source = self._client(console, name)
        names = {cluster.name for cluster in known_clusters(console).all()}
        destination = to or "local"
        if destination == name:
            raise UsageError(f"cannot copy '{name}' to itself", "choose another destination with --to")
        is_cluster = destination in names
        self.destination = _described(known_clusters(console).get(destination)) if is_cluster else _located(destination)
        """where the archive is, as text for every user"""
        self.target: RecordTarget = (
            ConfirmedTarget(self._client(console, destination)) if is_cluster else ArchiveStore(open_files(destination))
        )

    def _client(self, console: Console, name: str) -> Client:
        client = Client.connect(resolver(console.environ, cluster=name), retry_seconds=_RETRY_SECONDS)
        self._open.callback(client.close)
        return client

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def experiments(self) -> list[documents.Status]:
        """Return all experiments of the server, including deleted ones."""
        return self.source.experiments(limit=None, hidden=True)


def _described(cluster: ConnectedCluster) -> str:
    if cluster.embedded:
        return f"the server of {getpass.getuser()} on {socket.gethostname()}"
    if cluster.url:
        return f"the server {cluster.url}"
    return f"the cluster '{cluster.name}' (namespace {cluster.namespace} of {cluster.context or 'the current context'})"


def _located(destination: str) -> str:
    return (
        destination if "://" in destination else f"{Path(destination).absolute()} (as {socket.gethostname()} sees it)"
    )


def refuse_private_destination(archive: Archive, name: str, to: str | None) -> bool:
    """Return True if experiments of several users are on the server; then raise UsageError without a destination.

    Their results would otherwise go to the machine of the user who happens to destroy the cluster.
    """
    owners = sorted({status["owner"] for status in archive.experiments()})
    if len(owners) > 1 and not to:
        raise UsageError(
            f"'{name}' has experiments of {len(owners)} users: {brief_list(owners, 5)}",
            "choose a destination that all of them can reach: --to s3://BUCKET/PREFIX, a shared folder or another"
            " cluster (--to local: this machine)",
        )
    return len(owners) > 1


def ask_to_end(console: Console, archive: Archive, *, stop: bool) -> None:
    """Wait until all experiments have ended. Raises Conflict if one is running and `stop` is not set."""
    running = [status for status in archive.experiments() if status["state"] not in FINAL_STATES]
    if running and not stop:
        names = ", ".join(status["handle"] for status in running[:5]) + (", …" if len(running) > 5 else "")
        raise Conflict(f"{names} {'is' if len(running) == 1 else 'are'} still running", "wait, or add --stop")
    for status in running:
        console.note(f"stopping {status['handle']}")
        archive.source.stop(status["id"])
    deadline = time.monotonic() + _STOP_SECONDS
    while any(archive.source.experiment(status["id"])["state"] not in FINAL_STATES for status in running):
        if time.monotonic() > deadline:
            raise OrchestuneError(
                "stopped experiments have not ended in time", "check `orchestune status`, then repeat the command"
            )
        time.sleep(_POLL_SECONDS)


def copy_over(console: Console, archive: Archive) -> list[str]:
    """Copy all ended experiments, again if they change meanwhile; return the handles of those that have not ended.

    Raises Conflict if they keep changing because other users work there.
    """
    copied: list[list[str]] | None = None
    for _ in range(_MAX_ROUNDS):
        statuses = archive.experiments()
        over = [status for status in statuses if status["state"] in FINAL_STATES]
        if _fingerprints(over) == copied:
            return [status["handle"] for status in statuses if status["state"] not in FINAL_STATES]
        copy_all(console, archive.source, archive.target, [(status["id"], status["handle"]) for status in over])
        copied = _fingerprints(over)
    raise Conflict("experiments on the server keep changing", "other users are working there; repeat the command later")


def _fingerprints(statuses: Sequence[documents.Status]) -> list[list[str]]:
    """Return values that change whenever an experiment changes."""
    return sorted(
        [status["id"], status["state"], str(status["revision"]), str(status["counts"])] for status in statuses
    )
