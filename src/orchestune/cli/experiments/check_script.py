"""What is known of the script that a command names before it runs: mistakes that would cost a trial each."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from orchestune.domain.words import did_you_mean
from orchestune.worker.command import KNOWN, placeholders, split

_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*|sh|bash|zsh|node|Rscript|julia|ruby|perl")
_SCRIPT = re.compile(r"[^$`*?{}'\"]*\.(?:py|sh|bash|zsh|m?js|cjs|[rR]|jl|rb|pl)")


_READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\(|\bENV\s*[\[{])\s*["']([A-Za-z_]\w*)["'](?!\]\s*=[^=])|process\.env\.(\w+)"""
)
"""a variable that Python, Node.js, R, Julia, Ruby or Perl reads, not one that it sets"""
_EXPANDS = re.compile(r"\$\{?([A-Za-z_]\w*)")
_SHELLS_OWN = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "COLUMNS", "LINES"})
_LARGEST = 1 << 20


def absent(run: str | Sequence[str], folder: Path) -> list[str]:
    """What is to be said where the command starts a script or a program that is not in the folder, or is no program;
    nothing where all is well.
    """
    program = _program(run)
    script = _script(run) or (program if "/" in program else "")
    if not script or script.startswith("/"):
        return []
    if os.path.normpath(script).startswith("../") and (folder / script).exists():
        return [f"{script} is not in this folder, whose code alone trials have: run from the folder that holds both"]
    if (folder / script).exists():
        able = script != program or os.access(folder / script, os.X_OK)
        return [] if able else [f"{script} cannot be executed: chmod +x {script}, or name its interpreter before it"]
    beside = [str(path.relative_to(folder)) for path in (folder / script).parent.glob(f"*{Path(script).suffix}")]
    meant = did_you_mean(script, beside)
    return [f"there is no {script} in this folder{f' ({meant})' if meant else ''}"]


def unknown(run: str | Sequence[str], folder: Path, path: str) -> list[str]:
    """What is to be said where no program of the command's name is on the path of this machine."""
    program = _program(run)
    if not program or ("/" in program and not program.startswith("/")) or shutil.which(program, path=path):
        return []
    if "/" in program:
        return [f"there is no program {program} on this machine"]
    meant = f"; that of this folder is called ./{program}" if (folder / program).is_file() else ""
    return [f"there is no program {program} on this machine's PATH{meant}"]


def left_over(run: str | Sequence[str], names: Sequence[str], folder: Path) -> list[str]:
    """What is to be said of parameters that stand nowhere in a command in which others do."""
    named = placeholders(run)
    if not set(named) & {*names} or {*KNOWN, "config"} & {*named} or asks(run, folder):
        return []
    missing = [name for name in names if name not in named]
    if not missing:
        return []
    one = len(missing) == 1
    what = f"{', '.join(missing)} {'stands' if one else 'stand'} nowhere in the command"
    return [f"{what}: {'it reaches' if one else 'they reach'} it in its environment alone"]


def asks(run: str | Sequence[str], folder: Path) -> bool:
    """Whether the script gets its parameters without an argument: it imports `orchestune`, or reads its variables."""
    command = run if isinstance(run, str) else " ".join(run)
    return "orchestune" in f"{command}\n{_text(run, folder)}".lower()


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


def _program(run: str | Sequence[str]) -> str:
    """The program that the command starts; empty where a shell or a value of a parameter decides that."""
    words = split(run) if isinstance(run, str) else run
    return words[0] if words and not placeholders(words[0]) else ""


def _script(run: str | Sequence[str]) -> str:
    """The script of the command. Only what is certain counts: an interpreter, and behind it the name of a script with
    its ending.
    """
    words = split(run) or run.split() if isinstance(run, str) else run  # in a shell it is the first command
    if not words or not _INTERPRETER.fullmatch(Path(words[0]).name):
        return ""
    place = next((place for place, word in enumerate(words) if place and not word.startswith("-")), 0)
    said = any(re.fullmatch(r"-\w*c", word) for word in words[1:place])  # what stands there is the program itself
    return words[place] if place and not said and _SCRIPT.fullmatch(words[place]) else ""


def _text(run: str | Sequence[str], folder: Path) -> str:
    script = _script(run)
    try:
        with (folder / script).open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:  # none, or told otherwise
        return ""
