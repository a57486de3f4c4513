"""Whether the script that a command names is there: a misspelt one would cost a trial each until a guard sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from orchestune.worker.command import split

_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*|sh|bash|zsh|node|Rscript|julia|ruby|perl")
_SCRIPT = re.compile(r"[\w./-]*\.(?:py|sh|bash|zsh|m?js|cjs|[rR]|jl|rb|pl)")


def absent(run: str | Sequence[str], folder: Path) -> list[str]:
    """What is to be said where the command starts a script that is not in the folder; nothing where all is well.

    Only what is certain counts: an interpreter, and behind it the name of a script with its ending.
    """
    words = split(run) if isinstance(run, str) else run
    if not words or not _INTERPRETER.fullmatch(Path(words[0]).name):
        return []
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    if not _SCRIPT.fullmatch(script) or script.startswith("/") or (folder / script).exists():
        return []
    beside = [str(path.relative_to(folder)) for path in (folder / script).parent.glob(f"*{Path(script).suffix}")]
    near = get_close_matches(script, beside, 1)
    return [f"there is no {script} in this folder{f' (did you mean {near[0]}?)' if near else ''}"]
