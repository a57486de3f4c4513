"""A place for one running attempt: its folder, its view, the files that the command is told of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.worker import config
from orchestune.worker.environment import parameters_document
from orchestune.worker.view import View


class Slot:
    """Used by one attempt at a time and by the next one after it."""

    def __init__(self, index: int, folder: Path) -> None:
        self.index = index
        self.folder = folder
        self.parameters = str(folder / "parameters.json")
        self.metrics = str(folder / "metrics.jsonl")
        self.stop = str(folder / "stop.json")
        self.artifacts = str(folder / "artifacts.jsonl")
        self.config = ""
        """the path of the trial's configuration file, where there is one"""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.view = View(folder)

    def write_files(self, parameters: Mapping[str, Any], template: Mapping[str, Any] | None = None) -> None:
        """The files with the parameters, and none yet with metrics or an end. OSError where the disk refuses."""
        self.config = ""
        if template:
            folder = str(self.folder / "config")
            self.config = config.write(folder, str(template["name"]), template["parts"], parameters)
        for path in (self.metrics, self.stop, self.artifacts):
            try:
                os.unlink(path)
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

    def say_stop(self, state: str, reason: Mapping[str, Any] | None) -> None:
        """Write why the attempt is about to end to where the command may look; whole or not at all."""
        part = f"{self.stop}.part"
        try:
            with open(part, "w", encoding="utf-8") as file:
                json.dump({"state": state, **(reason or {})}, file)
            os.replace(part, self.stop)
        except OSError:  # the signal comes all the same
            pass
