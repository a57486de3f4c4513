"""The job of one revision, parsed once for all its attempts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.worker import command
from orchestune.worker.mask import spellings
from orchestune.worker.metrics.scanner import Declared
from orchestune.worker.settings import FILE_VARIABLE

TERMINAL_VARIABLE = "ORCHESTUNE_TERMINAL"
"""variable that makes a trial interactive; its value is JSON, described in `processes.terminal`"""
DISCOVER = "ORCHESTUNE_DISCOVER"
"""the variable with the path of a file for the metrics in files that the command writes, see `discover`"""


class PreparedJob:
    """A job of the protocol. `environment` holds the variables that its attempts share."""

    def __init__(self, document: Mapping[str, Any], environment: Mapping[bytes, bytes]) -> None:
        self.revision = int(document["revision"])
        self.run: Any = document["run"]
        self.names = [str(name) for name in document.get("parameters") or ()]
        self.collect = list(document.get("collect") or ())
        expressions = [str(item["where"]) for item in self.collect if item["kind"] == "regex"]
        metrics = (str(name) for name in document.get("metrics") or ())
        self.declared = Declared(metrics, expressions, self.names)
        self.environment = dict(environment)
        self.terminal = os.fsencode(TERMINAL_VARIABLE) in self.environment
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
        self.constants: Mapping[str, Any] | None = document.get("constants")
        self.stdin = str(document.get("stdin") or "")
        self.root: str | None = document.get("root")
        self.folder = str(document.get("folder") or "")
        """folder in which the command runs, relative to the root of the bundle"""
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
        words = command.render(self.run, parameters, self.names, config)
        if not words:
            raise ValueError("the command is empty for this configuration")
        return [*_own_command(), self._mode, *words] if self._mode else words


def _own_command() -> list[str]:
    """Return this program's command line without its arguments, including a dynamic loader in front of it."""
    try:
        words = [os.fsdecode(word) for word in Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:  # not Linux
        words = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
    count = len(words) - len(sys.argv[1:])
    return [shutil.which(words[0]) or words[0], *words[1:count]]
