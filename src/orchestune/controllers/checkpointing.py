"""Keeps the log of the store short, beside everything else that is done."""

from __future__ import annotations

from orchestune.services.core import Core


class Checkpointing:
    """Runs in a thread of its own, since it waits for the disk."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Do what has come up."""
        self._core.store.checkpoint()
