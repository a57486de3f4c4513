"""The values of a configuration file as options: each single one, by its path with dots."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import plain
from orchestune.config.document.report import ProblemReport
from orchestune.config.document.value_spans import READERS
from orchestune.config.scripts.option import KINDS, Option
from orchestune.errors import BadInput


def read(path: Path) -> dict[str, Any]:
    """The file as a dictionary. BadInput where it is none, with line and column where that is known."""
    if path.suffix.lower() not in READERS:
        raise BadInput.one(f"{path} is of no known kind", hint=f"known endings: {', '.join(READERS)}")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            found = json.loads(text)
        elif path.suffix.lower() == ".toml":
            found = tomllib.loads(text)
        else:
            report = ProblemReport()
            found = plain(compose(text, str(path), report))
            report.raise_if_bad()
    except OSError as exc:
        raise BadInput.one(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise BadInput.one(f"{path} cannot be read: {exc}") from exc
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadInput.one(f"{path} holds no mapping")
    return found


def options(values: Mapping[str, Any], before: str = "") -> Iterator[Option]:
    """Every single value; what refers to another one (`${…}`) is left out, and lists are. `???` has to be said."""
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from options(value, f"{name}.")
        elif value == "???":  # of OmegaConf: has to be said
            yield Option(name, "other", required=True, word=f"{name}={{{name}}}")
        elif type(value) in KINDS and not (isinstance(value, str) and "${" in value):
            yield Option(name, KINDS[type(value)], value)
