"""Checkpoints SQLite's write-ahead log, so that it stays short."""

from __future__ import annotations

from orchestune.services.core import Core


class Checkpointing:
    """Runs in its own thread, since a checkpoint blocks on the disk."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Copy the committed part of the log into the database file."""
        self._core.store.checkpoint()
