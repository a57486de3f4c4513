"""Everything that a cluster's server has, to another place; checked, and complete or refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import RecordTarget
from orchestune.cli.clusters.shared import known
from orchestune.cli.inspect.archive import ConfirmedTarget, copy_all
from orchestune.cli.terminal.console import Console
from orchestune.client.address import resolver
from orchestune.client.api import Client
from orchestune.client.states import OVER
from orchestune.errors import Conflict, OrchestuneError, UsageError
from orchestune.files.open import open_files

if TYPE_CHECKING:
    from orchestune import documents

_PATIENCE = 30.0
_STOP_SECONDS = 360.0
"""a server gives files of completed trials five minutes to arrive"""
_POLL = 0.5
_ROUNDS = 5


class Archive:
    """A server, and the place where what it has shall go. `to` None: this machine's own server."""

    def __init__(self, console: Console, name: str, to: str | None) -> None:
        self._open = ExitStack()
        self.source = self._client(console, name)
        names = {cluster.name for cluster in known(console).all()}
        chosen = to or "local"
        if chosen == name:
            raise UsageError(f"the copy cannot go to '{name}' itself", "name another place with --to")
        server = chosen in names
        self.target: RecordTarget = (
            ConfirmedTarget(self._client(console, chosen)) if server else ArchiveStore(open_files(chosen))
        )

    def _client(self, console: Console, name: str) -> Client:
        client = Client.connect(resolver(console.environ, cluster=name), patience=_PATIENCE)
        self._open.callback(client.close)
        return client

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def experiments(self) -> list[documents.Status]:
        """All that the server has, deleted ones too."""
        return self.source.experiments(limit=None, hidden=True)


def ask_to_end(console: Console, archive: Archive, *, stop: bool) -> None:
    """Wait until everything is over; Conflict where something runs that nobody asked to stop."""
    running = [status for status in archive.experiments() if status["state"] not in OVER]
    if running and not stop:
        names = ", ".join(status["handle"] for status in running[:5]) + (", …" if len(running) > 5 else "")
        raise Conflict(f"{names} {'is' if len(running) == 1 else 'are'} not over", "wait, or say --stop")
    for status in running:
        console.note(f"stopping {status['handle']}")
        archive.source.stop(status["id"])
    until = time.monotonic() + _STOP_SECONDS
    while any(archive.source.experiment(status["id"])["state"] not in OVER for status in running):
        if time.monotonic() > until:
            raise OrchestuneError(
                "what was stopped does not end", "look at `orchestune status`, then repeat the command"
            )
        time.sleep(_POLL)


def copy_over(console: Console, archive: Archive) -> list[str]:
    """Copy all that is over, and again what changed meanwhile; the handles of what is not over.

    Conflict where it keeps changing: somebody else works there.
    """
    copied: list[list[str]] | None = None
    for _ in range(_ROUNDS):
        found = archive.experiments()
        over = [status for status in found if status["state"] in OVER]
        if _marks(over) == copied:
            return [status["handle"] for status in found if status["state"] not in OVER]
        copy_all(console, archive.source, archive.target, [(status["id"], status["handle"]) for status in over])
        copied = _marks(over)
    raise Conflict("experiments there keep changing", "somebody else works there; repeat the command later")


def _marks(statuses: Sequence[documents.Status]) -> list[list[str]]:
    """What changes when an experiment does."""
    return sorted(
        [status["id"], status["state"], str(status["revision"]), str(status["counts"])] for status in statuses
    )
