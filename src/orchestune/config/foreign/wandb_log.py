"""Metrics that a script logs with wandb: parsed from the summary that it prints at its end when offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_USES = re.compile(r"^\s*(?:import|from)\b.*\bwandb\b", re.MULTILINE)
_READS_CONFIG = re.compile(r"\bwandb\.config\b")
NUMBER = r"[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|[nN]a[nN]|[iI]nf(?:inity)?)"


def wandb_collect(program: Path, metric: str, new_name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of the experiment file with which a script that uses wandb runs unchanged, and notes.

    Both are empty for a script without wandb.

    `new_name`: the new name of its `metric`.
    """
    try:
        text = program.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}, []
    if not _USES.search(text):
        return {}, []
    group = re.sub(r"\W", "_", new_name)
    name = program.name
    notes = [f"{name} uses wandb: it runs offline, and {metric} is parsed from the summary that finish() prints"]
    if _READS_CONFIG.search(text):
        hint = "fill it with wandb.init(config=dict(orchestune.params())), or from options of the script"
        notes.append(f"{name} reads wandb.config, which no agent fills: {hint}")
    expression = rf"^wandb:\s+{re.escape(metric)}\s+(?P<{group}>{NUMBER})\s*$"
    return {"env": {"WANDB_MODE": "offline"}, "collect": {"regex": expression}}, notes
