"""Constants at the top level of a Python or R script, or of a settings module that it imports, as its options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from orchestune.config.document.constants import READERS, Unparsable
from orchestune.config.scripts.option import KINDS, Option, Script
from orchestune.config.scripts.proposing import propose
from orchestune.domain.search.parameters import Value

_SETTINGS = re.compile(r"(?i).*(?:config|settings|const|param|hyper).*")
"""names of modules whose constants are settings of the program rather than of a library"""
_MAX_TEXT_CHARACTERS = 60


def read(files: Iterable[Path], folder: Path) -> Script | None:
    """Return the constants of the first file that has one worth a search; None if there is none.

    `files` are the script and the modules that it imports, of which only settings modules count.
    """
    for number, path in enumerate(files):
        if number and not _SETTINGS.fullmatch(path.stem):
            continue
        options = tuple(Option(name, KINDS[type(value)], value) for name, value in _constants(path) if _is_short(value))
        if any(propose(option).vary for option in options):
            relative = path.resolve().relative_to(folder.resolve()).as_posix()
            return Script("its constants", options, argument_template="", constants=relative)
    return None


def _constants(path: Path) -> list[tuple[str, Value]]:
    reader = READERS.get(path.suffix.lower())
    try:
        constants = reader(path.read_text(encoding="utf-8")) if reader else {}
    except (OSError, UnicodeDecodeError, Unparsable):
        return []
    return [(name, constant.value) for name, constant in constants.items()]


def _is_short(value: Value) -> bool:
    return not isinstance(value, str) or (len(value) <= _MAX_TEXT_CHARACTERS and value.isprintable())
