"""Data that an experiment takes from the shell that starts it, apart from its variables (`inherited_environment`)."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from orchestune.errors import BadInput, Problem


def python(environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return path and version of the shell's Python, without starting it."""
    program = shutil.which("python", path=environ.get("PATH")) or shutil.which("python3", path=environ.get("PATH"))
    if program is None:
        return None
    version = ""
    with suppress(OSError, UnicodeDecodeError):  # not a virtual environment
        for line in (Path(program).parent.parent / "pyvenv.cfg").read_text().splitlines():
            name, _, value = line.partition("=")
            version = value.strip() if name.strip() in ("version", "version_info") else version
    return {"path": program, "version": version or Path(os.path.realpath(program)).name.removeprefix("python")}


def folder_key(folder: Path) -> str:
    """Return the server's key for the folder that an experiment was started from: host and path, as `in_utf8`."""
    return f"{socket.gethostname()}:{in_utf8(Path(os.path.realpath(folder)))}"


def in_utf8(path: Path) -> str:
    """Return the path as valid text; bytes that are not UTF-8 are escaped (`\\xff`)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def owner(environ: Mapping[str, str]) -> str:
    """Return the user's name."""
    name = environ.get("USER") or environ.get("LOGNAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without an entry in the password file
        return str(os.getuid())


def secret_values(
    sources: Iterable[tuple[str, str]], environ: Mapping[str, str], folder: Path, section: str = "secrets."
) -> dict[str, str]:
    """Return the values of (name, `env:NAME` or `file:PATH`). Raises BadInput with each missing name, never a value.

    `section` is the prefix of the names in error messages.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name, source in sources:
        kind, _, place = source.partition(":")
        if kind == "env":
            value = environ.get(place)
            if value is None:
                problems.append(Problem(f"the environment variable {place} is not set", key=f"{section}{name}"))
                continue
        else:
            try:
                value = (folder / os.path.expanduser(place)).read_text("utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as exc:
                text = exc.strerror if isinstance(exc, OSError) else "not valid UTF-8"
                problems.append(Problem(f"cannot read the file {place}: {text}", key=f"{section}{name}"))
                continue
            if "\0" in value:
                text = f"the file {place} contains a NUL byte (not possible in environment variables)"
                problems.append(Problem(text, key=f"{section}{name}"))
                continue
        values[name] = value
    if problems:
        raise BadInput(problems)
    return values
