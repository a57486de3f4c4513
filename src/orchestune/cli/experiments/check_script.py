"""Checks of the script that a command runs, before it runs: mistakes that would fail every trial."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from orchestune.domain.words import brief_list, did_you_mean
from orchestune.worker.command import ALL_PARAMETERS, placeholders, split

_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*|sh|bash|zsh|node|Rscript|julia|ruby|perl")
_SCRIPT = re.compile(r"[^$`*?{}'\"]*\.(?:py|sh|bash|zsh|m?js|cjs|[rR]|jl|rb|pl)")


_PARENT_PATH = re.compile(r"(?:^|(?<==))((?:[^\s\"'=;|&<>()]*/)?\.\.(?:/[^\s\"'=;|&<>()]*)?)(?=$|[\s\"';|&<>()])")
"""a path above the folder, as a word of the command or the value of an option"""
_VARIABLE_READS = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\(|\bENV\s*[\[{])\s*["']([A-Za-z_]\w*)["'](?!\]\s*=[^=])|process\.env\.(\w+)"""
)
"""environment variables that Python, Node.js, R, Julia, Ruby or Perl code reads, not those that it sets"""
_SHELL_EXPANSIONS = re.compile(r"\$\{?([A-Za-z_]\w*)")
_SHELL_VARIABLES = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "COLUMNS", "LINES"})
_MAX_SCRIPT_BYTES = 1 << 20


def missing_script(run: str | Sequence[str], folder: Path, root: Path | None = None) -> list[str]:
    """Return notes if the command starts a script or program that is missing or not executable, or names outside paths.

    `root` is the project that contains `folder`, by default the folder itself.
    """
    outside = _outside_paths(run, folder, root or folder)
    if outside:
        return [
            f"outside the project in {root or folder}, so trials do not have it: {brief_list(outside, 3)}; set --root"
        ]
    program = _program(run)
    script = _script(run) or (program if "/" in program else "")
    if not script or script.startswith("/"):
        return []
    if (folder / script).exists():
        is_runnable = script != program or os.access(folder / script, os.X_OK)
        return (
            []
            if is_runnable
            else [f"'{script}' is not executable: run `chmod +x {script}`, or put its interpreter before it"]
        )
    siblings = [str(path.relative_to(folder)) for path in (folder / script).parent.glob(f"*{Path(script).suffix}")]
    suggestion = did_you_mean(script, siblings)
    return [f"no such file in this folder: '{script}'{f' ({suggestion})' if suggestion else ''}"]


def _outside_paths(run: str | Sequence[str], folder: Path, root: Path) -> list[str]:
    """Return the relative paths in the command that exist but lie outside the project."""
    words = split(run) or run.split() if isinstance(run, str) else run
    paths = [path for word in words for path in _PARENT_PATH.findall(word) if os.path.exists(folder / path)]
    return [path for path in paths if root not in _with_parents(Path(os.path.abspath(folder / path)))]


def _with_parents(path: Path) -> tuple[Path, ...]:
    return (path, *path.parents)


def missing_program(run: str | Sequence[str], folder: Path, path: str) -> list[str]:
    """Return a note if the command's program is not on `path` of this machine."""
    program = _program(run)
    if not program or ("/" in program and not program.startswith("/")) or shutil.which(program, path=path):
        return []
    if "/" in program:
        return [f"no such program on this machine: '{program}'"]
    suggestion = f" (the one in this folder is './{program}')" if (folder / program).is_file() else ""
    return [f"no program '{program}' in PATH of this machine{suggestion}"]


def unused_parameters(run: str | Sequence[str], names: Sequence[str], folder: Path) -> list[str]:
    """Return a note about parameters that the command does not use although it uses others."""
    used = placeholders(run)
    if not set(used) & {*names} or {*ALL_PARAMETERS, "config"} & {*used} or reads_parameters(run, folder):
        return []
    missing = [name for name in names if name not in used]
    if not missing:
        return []
    is_single = len(missing) == 1
    quoted = ", ".join(f"'{name}'" for name in missing)
    subject = f"{quoted} {'is' if is_single else 'are'} not used in the command"
    return [f"{subject}; {'it is' if is_single else 'they are'} only passed in the environment"]


def reads_parameters(run: str | Sequence[str], folder: Path) -> bool:
    """Return True if the script reads its parameters itself: it imports `orchestune`, or reads its variables."""
    command = run if isinstance(run, str) else " ".join(run)
    return "orchestune" in f"{command}\n{_text(run, folder)}".lower()


def unpassed_variables(
    run: str | Sequence[str], folder: Path, environ: Mapping[str, str], passed: Container[str]
) -> list[str]:
    """Return a note about variables of the shell that the command or script reads but that trials do not get.

    Variables that they set themselves do not count. `passed` are the variables that trials do get.
    """
    text = _text(run, folder)
    shell = _script(run).endswith(("sh", "bash", "zsh"))
    variables = (
        _SHELL_EXPANSIONS.findall(text) if shell else [one or other for one, other in _VARIABLE_READS.findall(text)]
    )
    if isinstance(run, str):
        variables += _SHELL_EXPANSIONS.findall(run)
        text = f"{run}\n{text}" if shell else run
    names = [
        name
        for name in dict.fromkeys(variables)
        if name in environ and name not in passed and name not in _SHELL_VARIABLES
        and not name.startswith("ORCHESTUNE_")
        and not re.search(rf"\b{name}=", text)
    ]  # fmt: skip
    if not names:
        return []
    what = f"the command reads {', '.join(names)} of this shell, which trials do not get"
    return [f"{what}: set it in `env` (or --set env.{names[0]}=…), secrets in `secrets`"]


def _program(run: str | Sequence[str]) -> str:
    """Return the program that the command starts; empty if a shell or a parameter decides which."""
    words = split(run) if isinstance(run, str) else run
    return words[0] if words and not placeholders(words[0]) else ""


def _script(run: str | Sequence[str]) -> str:
    """Return the script of the command, or an empty string.

    Only certain cases count: an interpreter, followed by a file name with the suffix of a script.
    """
    words = split(run) or run.split() if isinstance(run, str) else run  # of a shell command line, the first command
    if not words or not _INTERPRETER.fullmatch(Path(words[0]).name):
        return ""
    position = next((position for position, word in enumerate(words) if position and not word.startswith("-")), 0)
    is_inline = any(re.fullmatch(r"-\w*c", word) for word in words[1:position])  # the program text follows `-c`
    return words[position] if position and not is_inline and _SCRIPT.fullmatch(words[position]) else ""


def _text(run: str | Sequence[str], folder: Path) -> str:
    script = _script(run)
    try:
        with (folder / script).open("rb") as file:
            return file.read(_MAX_SCRIPT_BYTES).decode("utf-8", "replace")
    except OSError:  # no script, or reported by `missing_script`
        return ""
