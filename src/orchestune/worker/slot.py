"""Execution slot for one attempt at a time: its folder, its view and the files passed to the command."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.worker.environment import parameters_document
from orchestune.worker.files import config_copy
from orchestune.worker.files.removal import clear
from orchestune.worker.files.view import TrialFolder

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
"""without O_TRUNC: ext4 flushes a file that was truncated and rewritten when it is closed"""


class Slot:
    """An execution slot, reused by one attempt after the other."""

    def __init__(self, index: int, folder: Path) -> None:
        self.index = index
        self.folder = folder
        self.parameters = str(folder / "parameters.json")
        self.metrics = str(folder / "metrics.jsonl")
        self.stop = str(folder / "stop.json")
        self.artifacts = str(folder / "artifacts.jsonl")
        self.config = ""
        """path of the trial's configuration file; empty if there is none"""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.view = TrialFolder(folder)

    def write_files(self, parameters: Mapping[str, Any], template: Mapping[str, Any] | None = None) -> None:
        """Write the parameter and configuration files, and remove those of the previous attempt. Raises OSError."""
        self.config = ""
        if template:
            folder = str(self.folder / "config")
            self.config = config_copy.write(folder, str(template["name"]), template["parts"], parameters)
        for path in (self.metrics, self.stop, self.artifacts):
            clear(path)
        data = parameters_document(parameters)
        try:
            _write(self.parameters, data)
        except OSError:  # a command may have replaced it by anything
            clear(self.parameters)
            _write(self.parameters, data)

    def write_stop_reason(self, state: str, reason: Mapping[str, Any] | None) -> None:
        """Write the reason for the stop atomically to the file that the command can read. Best-effort."""
        part = f"{self.stop}.part"
        try:
            clear(part)
            with open(part, "x", encoding="utf-8") as file:
                json.dump({"state": state, **(reason or {})}, file)
            os.replace(part, self.stop)
        except OSError:  # the signal is sent in any case
            pass


def _write(path: str, data: bytes) -> None:
    """Write a file. Raises OSError if the path is not a regular file with a single link."""
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise FileExistsError(path)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        if status.st_size > len(data):
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
