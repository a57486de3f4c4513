"""The job of one revision, parsed once for all its attempts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from orchestune.worker import command
from orchestune.worker.mask import spellings
from orchestune.worker.metrics.scanner import Declared
from orchestune.worker.processes.self_command import again
from orchestune.worker.settings import FILE_VARIABLE

TOLD = "ORCHESTUNE_TERMINAL"
"""the variable that turns a trial into a terminal: JSON, see `terminal`"""
DISCOVER = "ORCHESTUNE_DISCOVER"
"""the variable with the path of a file for the metrics in files that the command writes, see `discover`"""


class PreparedJob:
    """A `PreparedJob` of the protocol. `environment` holds the variables that its attempts share."""

    def __init__(self, document: Mapping[str, Any], environment: Mapping[bytes, bytes]) -> None:
        self.revision = int(document["revision"])
        self.run: Any = document["run"]
        self.names = [str(name) for name in document.get("parameters") or ()]
        self.collect = list(document.get("collect") or ())
        expressions = [str(item["where"]) for item in self.collect if item["kind"] == "regex"]
        self.declared = Declared((str(name) for name in document.get("metrics") or ()), expressions)
        self.environment = dict(environment)
        self.terminal = os.fsencode(TOLD) in self.environment
        """the trial is interactive"""
        if self.terminal:
            self.environment[os.fsencode(FILE_VARIABLE)] = os.fsencode(os.environ.get(FILE_VARIABLE, ""))
        self._mode = "terminal" if self.terminal else "discover" if os.fsencode(DISCOVER) in self.environment else ""
        """subcommand of the worker that runs the command; empty: it is run directly"""
        self.secrets = spellings(str(value) for value in (document.get("secrets") or {}).values())
        self.timeout: float | None = document.get("timeout")
        self.grace = float(document.get("grace") or 0.0)
        keep = document.get("keep") or {}
        self.keep = [str(pattern) for pattern in keep.get("patterns") or ()]
        self.keep_limit = int(keep.get("limit") or 2**30)
        self.checkpoint_every: float | None = document.get("checkpoint_every")
        self.config: Mapping[str, Any] | None = document.get("config")
        self.stdin = str(document.get("stdin") or "")
        self.root: str | None = document.get("root")
        self.links = [str(path) for path in document.get("links") or ()]
        self.preload = [str(name) for name in document.get("preload") or ()]
        self.pin = int(document.get("pin") or 0)
        """number of cores to pin each attempt to; 0 for no pinning"""
        self.cap = int(document.get("cap_bytes") or 64 * 2**20)

    def arguments(self, parameters: Mapping[str, Any], config: str) -> list[str]:
        """Return the command line of one configuration; `config` is the path of its file. Raises ValueError.

        For an interactive trial it is the command line of `terminal`, with the command as its arguments; to discover
        metrics in files, that of `discover`.
        """
        found = command.render(self.run, parameters, self.names, config)
        if not found:
            raise ValueError("the command is empty with these parameters")
        return [*again(), self._mode, *found] if self._mode else found
