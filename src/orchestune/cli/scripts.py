"""What is known of the script that a command names before it runs: mistakes that would cost a trial each."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from orchestune.worker.command import split

_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*|sh|bash|zsh|node|Rscript|julia|ruby|perl")
_SCRIPT = re.compile(r"[\w./-]*\.(?:py|sh|bash|zsh|m?js|cjs|[rR]|jl|rb|pl)")


_READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\(|\bENV\s*[\[{])\s*["']([A-Za-z_]\w*)["'](?!\]\s*=[^=])|process\.env\.(\w+)"""
)
"""a variable that Python, Node.js, R, Julia, Ruby or Perl reads, not one that it sets"""
_EXPANDS = re.compile(r"\$\{?([A-Za-z_]\w*)")
_SHELLS_OWN = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "COLUMNS", "LINES"})
_LARGEST = 1 << 20


def absent(run: str | Sequence[str], folder: Path) -> list[str]:
    """What is to be said where the command starts a script that is not in the folder; nothing where all is well."""
    script = _script(run)
    if not script or script.startswith("/") or (folder / script).exists():
        return []
    beside = [str(path.relative_to(folder)) for path in (folder / script).parent.glob(f"*{Path(script).suffix}")]
    near = get_close_matches(script, beside, 1)
    return [f"there is no {script} in this folder{f' (did you mean {near[0]}?)' if near else ''}"]


def asks(run: str | Sequence[str], folder: Path) -> bool:
    """Whether the script gets its parameters without an argument: it imports `orchestune`, or reads its variables."""
    return "orchestune" in _text(run, folder).lower()


def withheld(run: str | Sequence[str], folder: Path, environ: Mapping[str, str], given: Container[str]) -> list[str]:
    """What is to be said where command or script read variables of the shell that no trial gets, and that they do not
    set themselves; `given` are those it does get.
    """
    text = _text(run, folder)
    shell = _script(run).endswith(("sh", "bash", "zsh"))
    found = _EXPANDS.findall(text) if shell else [one or other for one, other in _READS.findall(text)]
    if isinstance(run, str):
        found += _EXPANDS.findall(run)
        text = f"{run}\n{text}" if shell else run
    names = [
        name
        for name in dict.fromkeys(found)
        if name in environ and name not in given and name not in _SHELLS_OWN and not name.startswith("ORCHESTUNE_")
        and not re.search(rf"\b{name}=", text)
    ]  # fmt: skip
    if not names:
        return []
    what = f"trials do not get {', '.join(names)} of this shell, which the command reads"
    return [f"{what}: put it under `env` (or --set env.{names[0]}=…), secrets under `secrets`"]


def _script(run: str | Sequence[str]) -> str:
    """The script of the command. Only what is certain counts: an interpreter, and behind it the name of a script with
    its ending.
    """
    words = split(run) or run.split() if isinstance(run, str) else run  # in a shell it is the first command
    if not words or not _INTERPRETER.fullmatch(Path(words[0]).name):
        return ""
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    return script if _SCRIPT.fullmatch(script) else ""


def _text(run: str | Sequence[str], folder: Path) -> str:
    script = _script(run)
    try:
        with (folder / script).open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:  # none, or told otherwise
        return ""
