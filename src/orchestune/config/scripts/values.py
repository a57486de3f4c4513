"""The values of a configuration file as options: each single value by its dotted path."""

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
from orchestune.system.project_root import is_hidden_elsewhere


def read(path: Path, folder: Path) -> dict[str, Any]:
    """Read a configuration file of a project in `folder` as a dictionary.

    Raises BadInput, with line and column if known, if it is not one, or a hidden file elsewhere.
    """
    if is_hidden_elsewhere(path, folder):
        raise BadInput.one(f"{path} leads to a hidden file outside of the folder", hint="copy the file into the folder")
    if path.suffix.lower() not in READERS:
        raise BadInput.one(f"unsupported file type: {path}", hint=f"supported extensions: {', '.join(READERS)}")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            document = json.loads(text)
        elif path.suffix.lower() == ".toml":
            document = tomllib.loads(text)
        else:
            report = ProblemReport()
            document = plain(compose(text, str(path), report))
            report.raise_if_bad()
    except OSError as exc:
        raise BadInput.one(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise BadInput.one(f"cannot parse {path}: {exc}") from exc
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadInput.one(f"{path} is not a mapping")
    return document


def options(values: Mapping[str, Any], prefix: str = "") -> Iterator[Option]:
    """Yield every single value; lists and references (`${…}`) are left out, and `???` is required."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from options(value, f"{name}.")
        elif value == "???":  # a mandatory value of OmegaConf
            yield Option(name, "other", required=True, argument_template=f"{name}={{{name}}}")
        elif type(value) in KINDS and not (isinstance(value, str) and "${" in value):
            yield Option(name, KINDS[type(value)], value)
