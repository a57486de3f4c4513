"""The section `slurm`: options of sbatch for the jobs of an experiment."""

from __future__ import annotations

import re
from typing import Any

from orchestune.config.document.kinds import ValueKind
from orchestune.config.document.nodes import Entries, ScalarNode
from orchestune.config.document.report import Field

_WORDS = "a mapping from long options of sbatch to their values"
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_RESERVED = frozenset({
    "array", "batch", "chdir", "error", "export", "export-file", "get-user-env", "help", "hold", "input", "job-name",
    "no-kill", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "quiet",
    "requeue", "signal", "test-only", "usage", "verbose", "version", "wait", "wrap",
})  # fmt: skip
"""options that Orchestune sets to start, find and cancel workers"""


def _read(field: Field) -> dict[str, Any] | None:
    if not isinstance(field.node, Entries):
        field.expected(_WORDS)
        return None
    options: dict[str, Any] = {}
    for name, (_, value) in field.entries().items():
        if not _OPTION.fullmatch(name):
            value.reject("not a long option of sbatch", "write an option such as account, qos, time or constraint")
        elif name in _RESERVED:
            value.reject("cannot be set: Orchestune uses this option to start and cancel workers", "remove it")
        elif not isinstance(value.node, ScalarNode) or value.empty:
            value.expected("text, a number, or true for an option without a value")
        else:
            options[name] = value.node.value if isinstance(value.node.value, bool) else value.node.text
    return options


SLURM = ValueKind[dict[str, Any]](_WORDS, {"type": "object"}, _read)
