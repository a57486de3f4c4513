"""What an experiment file asks of Slurm."""

from __future__ import annotations

import re
from typing import Any

from orchestune.config.document.kinds import ValueKind
from orchestune.config.document.nodes import Entries, ScalarNode
from orchestune.config.document.report import Field

_WORDS = "a mapping from long options of sbatch to their values"
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_OURS = frozenset({
    "array", "batch", "chdir", "error", "export", "export-file", "get-user-env", "help", "hold", "input", "job-name",
    "no-kill", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "quiet",
    "requeue", "signal", "test-only", "usage", "verbose", "version", "wait", "wrap",
})  # fmt: skip
"""options by which workers are started, found and ended"""


def _read(found: Field) -> dict[str, Any] | None:
    if not isinstance(found.node, Entries):
        found.expected(_WORDS)
        return None
    options: dict[str, Any] = {}
    for name, (_, value) in found.entries().items():
        if not _OPTION.fullmatch(name):
            value.wrong("is no long option of sbatch", "such as account, qos, time or constraint")
        elif name in _OURS:
            value.wrong("is an option by which workers are started and ended, and cannot be set", "leave it out")
        elif not isinstance(value.node, ScalarNode) or value.empty:
            value.expected("a text, a number, or true for an option that takes none")
        else:
            options[name] = value.node.value if isinstance(value.node.value, bool) else value.node.text
    return options


SLURM = ValueKind[dict[str, Any]](_WORDS, {"type": "object"}, _read)
