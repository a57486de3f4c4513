"""Scripts that use wandb: metrics from the summary that is printed at the end when offline, and what to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_USES = re.compile(r"^\s*(?:import|from)\b.*\bwandb\b", re.MULTILINE)
_RUN = re.compile(r"(\w+)\s*=\s*wandb\.init\(|\bwandb\.init\([\s\S]{0,500}?\)\s*as\s+(\w+)\s*:")
"""names of the run: `run = wandb.init(…)`, `with wandb.init(…) as run:`"""
_INIT = re.compile(r"\bwandb\.init\(")
NUMBER = r"[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|[nN]a[nN]|[iI]nf(?:inity)?)"


def wandb_collect(program: Path, metric: str | None, new_name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of the experiment file with which a script that uses wandb runs unchanged, and notes.

    Both are empty for a script without wandb.

    `new_name`: the new name of its `metric`, if the sweep names one.
    """
    try:
        text = program.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}, []
    if not _USES.search(text):
        return {}, []
    notes = _config_notes(program.name, text)
    if metric is None:
        return {"env": {"WANDB_MODE": "offline"}}, notes
    group = re.sub(r"\W", "_", new_name)
    parsed = f"{program.name} uses wandb: it runs offline, and {metric} is parsed from the summary that finish() prints"
    notes.insert(0, parsed)
    expression = rf"^wandb:\s+{re.escape(metric)}\s+(?P<{group}>{NUMBER})\s*$"
    return {"env": {"WANDB_MODE": "offline"}, "collect": {"regex": expression}}, notes


def _config_notes(name: str, text: str) -> list[str]:
    """Return the line to change in a script that reads its parameters from `wandb.config`, or from that of its run."""
    runs = {run for names in _RUN.findall(text) for run in names if run}
    config = re.search(rf"\b({'|'.join(['wandb', *map(re.escape, sorted(runs))])})\.config\b", text)
    in_place = re.search(r"\bwandb\.init\([^()]*\)\.config\b", text)
    if not (config or in_place) or "orchestune.params(" in text:
        return []
    what = f"{config[1]}.config" if config else "wandb.init().config"
    call = _INIT.search(text)
    place = f"line {text.count(chr(10), 0, call.start()) + 1}" if call else "it"
    change = f"in {place} write wandb.init(config=dict(orchestune.params()), …), above it `import orchestune`"
    return [f"{name} reads {what}, which no agent fills: {change}; or take the parameters as options of the script"]
