"""Options of a Python script from the parser that it builds: `SCRIPT --help` in a copy of its folder, up to the help.

Only for scripts that no other user can change, and that import a parser which `capture_parser` knows. Anything that
fails, such as a missing module, leaves the options to the static readers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestune.bundles.listing import EntryKind, Listing, plan
from orchestune.cli.terminal.temporary_folder import temporary_folder
from orchestune.client.local.home import create_private_folder
from orchestune.config.scripts import capture_parser
from orchestune.config.scripts.option import Option, Script
from orchestune.domain.specification.code import DEFAULT_LIMIT
from orchestune.errors import OrchestuneError
from orchestune.system.private import access_of_others, replaceable_by_others

_TIMEOUT_SECONDS = 60.0  # importing a large library from a cold disk takes half of it
_PROGRAM = Path(capture_parser.__file__)
_MAX_HASHED_BYTES = 2**20
"""size of a file up to which its content decides whether the options are read again, above it size and time do"""
_MAX_LINKED_ENTRIES = 10_000
"""entries below an unpacked path up to which they are checked, in a third of a second; larger folders are not linked"""


class ParserProbe:
    """Runs scripts of a folder with the interpreter `python`; options are kept in the folder `cache`.

    `announce` is called with a line for the user before a script runs, which can take a while.
    """

    def __init__(
        self,
        folder: Path,
        python: str,
        environ: Mapping[str, str],
        cache: Path,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder, self._environ, self._cache, self._announce = folder, environ, cache, announce
        self._python = shutil.which(python, path=environ.get("PATH"))

    def __call__(self, arguments: Sequence[str], libraries: Sequence[str]) -> Script | None:
        """Return the options of `python ARGUMENTS`, a script or `-m` and a module, or None if that fails."""
        if self._python is None:
            return None
        try:
            listing = plan(self._folder, (), DEFAULT_LIMIT)
            if not _is_own(self._folder, listing):
                return None  # reading the options of a script must not run code of another user
            cached = self._cache / f"{_digest(listing, self._python, arguments)}.json"
            if not cached.is_file():
                program = f"{' '.join(arguments)} --help"
                self._announce(f"running {program} in a copy of this folder, up to the help, to read its options")
                self._run(listing, self._python, arguments, libraries, cached)
            return _script(json.loads(cached.read_text(encoding="utf-8")))
        except (OSError, OrchestuneError, ValueError, KeyError, TypeError):
            return None

    def _run(
        self, listing: Listing, python: str, arguments: Sequence[str], libraries: Sequence[str], target: Path
    ) -> None:
        create_private_folder(self._cache)
        # Not in TMPDIR: if that is not sticky, another user can exchange the copy.
        with temporary_folder("copy-", self._cache) as folder:
            _copy(listing, folder)
            original = os.path.realpath(listing.folder)
            command = [python, str(_PROGRAM), str(target), original, ",".join(libraries), *arguments]
            environment = {**self._environ, "PYTHON_TYRO_BACKEND": "argparse"}
            process = subprocess.Popen(
                command, cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                process.wait(_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with suppress(ProcessLookupError, PermissionError):  # the group has ended
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _copy(listing: Listing, folder: Path) -> None:
    """Copy the code into `folder`, and link what is not packed, except what other users can change or is very large."""
    for entry in listing.entries:
        source, target = listing.folder / entry.path, folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind is EntryKind.FOLDER:
            target.mkdir(exist_ok=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
    for path in listing.left_out:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target) and _is_own_tree(listing.folder / path):
            target.symlink_to(listing.folder.resolve() / path)


def _is_own(folder: Path, listing: Listing) -> bool:
    """Return True if only this user and root can change or replace the packed files that the script could import."""
    paths = (folder, *(folder / entry.path for entry in listing.entries))
    return not any(map(access_of_others, paths)) and replaceable_by_others(folder) is None


def _is_own_tree(path: Path) -> bool:
    """Return True if only this user and root can change `path` and everything below it, links followed.

    False too if it cannot be read, or has more than `_MAX_LINKED_ENTRIES` entries.
    """
    pending, visited, count = [path], set[str](), 0
    try:
        while pending:
            entry = pending.pop()
            real = os.path.realpath(entry)
            if access_of_others(entry) or (entry.is_symlink() and replaceable_by_others(Path(real))):
                return False
            if entry.is_dir() and real not in visited:
                visited.add(real)
                names = os.listdir(entry)
                count += len(names)
                if count > _MAX_LINKED_ENTRIES:
                    return False
                pending += [entry / name for name in names]
    except OSError:
        return False
    return True


def _digest(listing: Listing, python: str, arguments: Sequence[str]) -> str:
    digest = hashlib.sha256(_PROGRAM.read_bytes())
    digest.update(repr((os.path.realpath(listing.folder), python, list(arguments))).encode())
    for entry in listing.entries:
        path = listing.folder / entry.path
        digest.update(f"{entry.path}\0{entry.size}\0".encode())
        if entry.kind is not EntryKind.FOLDER and path.is_file():
            is_small = entry.size <= _MAX_HASHED_BYTES
            digest.update(path.read_bytes() if is_small else str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


def _script(document: Mapping[str, object]) -> Script:
    options, commands = document["options"], document["commands"]
    assert isinstance(options, list) and isinstance(commands, dict)
    return Script(
        str(document["reader"]),
        tuple(map(_option, options)),
        commands={name: tuple(map(_option, listed)) for name, listed in commands.items()},
    )


def _option(document: Mapping[str, object]) -> Option:
    return Option(**{**document, "choices": tuple(document["choices"])})  # type: ignore[arg-type]
