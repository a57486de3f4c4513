"""A place for one running attempt: its folder, its view, the two files that the command is told of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.worker.environment import parameters_document
from orchestune.worker.view import View


class Slot:
    """Used by one attempt at a time and by the next one after it."""

    def __init__(self, index: int, folder: Path) -> None:
        self.index = index
        self.folder = folder
        self.parameters = str(folder / "parameters.json")
        self.metrics = str(folder / "metrics.jsonl")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.view = View(folder)

    def write_files(self, parameters: Mapping[str, Any]) -> None:
        """The file with the parameters, and none yet with metrics. OSError where the disk refuses."""
        try:
            os.unlink(self.metrics)
        except FileNotFoundError:
            pass
        data = parameters_document(parameters)
        descriptor = os.open(self.parameters, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            # not O_TRUNC: a file that was cut to nothing and written anew is flushed by ext4 when it is closed
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            if os.fstat(descriptor).st_size != len(data):
                os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
