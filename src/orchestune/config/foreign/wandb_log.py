"""What a script logs with wandb, where there is no service to log to: its summary, which it prints at its end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_USES = re.compile(r"^\s*(?:import|from)\b.*\bwandb\b", re.MULTILINE)
_READS_CONFIG = re.compile(r"\bwandb\.config\b")
NUMBER = r"[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|[nN]a[nN]|[iI]nf(?:inity)?)"


def collected(program: Path, metric: str, called: str) -> tuple[dict[str, Any], list[str]]:
    """Keys of the experiment file that let such a script run untouched, and notes; none without wandb.

    `called`: what its `metric` is called here.
    """
    try:
        text = program.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}, []
    if not _USES.search(text):
        return {}, []
    group = re.sub(r"\W", "_", called)
    name = program.name
    notes = [f"{name} uses wandb: it stays offline here, and {metric} is read from the summary that finish() prints"]
    if _READS_CONFIG.search(text):
        fill = "fill it by wandb.init(config=dict(orchestune.params())), or from options of the script"
        notes.append(f"{name} reads wandb.config, which no agent fills here: {fill}")
    expression = rf"^wandb:\s+{re.escape(metric)}\s+(?P<{group}>{NUMBER})\s*$"
    return {"env": {"WANDB_MODE": "offline"}, "collect": {"regex": expression}}, notes
