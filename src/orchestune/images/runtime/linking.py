"""Shared libraries that programs of this machine need, as listed by the dynamic loader."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestune.errors import UsageError

_LIBRARY = re.compile(r"^\s*(?P<name>\S+) => (?P<path>/.+) \(0x[0-9a-f]+\)$")
_LOADER = re.compile(r"^\s*(?P<path>/\S*ld-\S+)(?: => \S+)? \(0x[0-9a-f]+\)$")
_DLOPENED = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""libraries that libc opens by name: to terminate a thread, to resolve a host name (part of libc since glibc 2.34)"""


@dataclass(frozen=True)
class Linked:
    """Loader and shared libraries that a set of files needs."""

    loader: Path
    libraries: dict[str, Path]
    """by the name under which the loader looks for it"""


def linked(files: Iterable[Path]) -> Linked:
    """Return loader and libraries of executables and extension modules. Raises UsageError if they are unknown."""
    names = [os.fspath(file) for file in files]
    try:
        process = subprocess.run(
            ["ldd", *names], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError as exc:
        raise UsageError("cannot list the libraries of this machine's Python: `ldd` is not installed") from exc
    return parse(process.stdout)


def parse(output: str) -> Linked:
    """Parse the output of `ldd`. Libraries missing on this machine are skipped: no program could load them."""
    loader: Path | None = None
    libraries: dict[str, Path] = {}
    for line in output.splitlines():
        if match := _LOADER.match(line):
            loader = loader or Path(match["path"])
        elif match := _LIBRARY.match(line):
            libraries.setdefault(os.path.basename(match["name"]), Path(match["path"]))
    if loader is None:
        raise UsageError("`ldd` shows no dynamic loader of this machine's Python", "use a Python of the system")
    return Linked(loader, libraries)


def opened_by_libc(libraries: dict[str, Path]) -> dict[str, Path]:
    """Return the libraries that libc opens at run time, if they exist beside it."""
    libc = libraries.get("libc.so.6")
    if libc is None:
        return {}
    return {name: libc.with_name(name) for name in _DLOPENED if libc.with_name(name).exists()}
