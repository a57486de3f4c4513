"""Import for `--from`: detects the tool of a file or storage and converts it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, ScalarNode, mapping, plain
from orchestune.config.document.report import ProblemReport
from orchestune.config.experiment_file import with_sibling_command
from orchestune.config.foreign import katib, sweep
from orchestune.config.sections.short_spelling import spelled
from orchestune.config.sources import sigopt_modules
from orchestune.config.sources.draft import Draft
from orchestune.config.sources.orchestrate import converted, is_older
from orchestune.config.sources.recognize import KATIB, SWEEP, kind, unsupported
from orchestune.errors import UsageError

MAX_BYTES = 2**20
_NUMERIC = {"type", "min", "max", "log", "step"}
_SUPPORTED = "a file of SigOpt Orchestrate, a sweep of W&B, an Experiment of Katib, or the storage of an Optuna study"


def read(source: str, study: str | None = None, metrics: Sequence[str] = (), python: str = "python") -> Draft:
    """Convert a file or storage. `metrics` names the objectives of a study, `python` is the command of the interpreter.

    Raises BadInput, UsageError or NotFound. Writes nothing.
    """
    if _is_storage(source):
        from orchestune.config.foreign import optuna_study  # slow to import

        return optuna_study.draft(source, study, metrics)
    return _of_file(Path(source), python)


def _is_storage(source: str) -> bool:
    """Return True if the source is the URL or the file of an Optuna storage."""
    if "://" in source or re.search(r"\.(?:db|sqlite3?)$", source):
        return True
    try:
        with open(source, "rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head.startswith((b"SQLite format 3", b'{"op_code":'))


def _of_file(path: Path, python: str) -> Draft:
    report = ProblemReport()
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8")
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}", f"use --from with {_SUPPORTED}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8 text", f"use --from with {_SUPPORTED}") from exc
    if path.suffix == ".py":
        raise UsageError(f"{path} is a script", f"use `orchestune init {shlex.quote(str(path))}`, without --from")
    root = compose(text, str(path), report)
    if not isinstance(root, Entries):
        raise UsageError(f"{path} is not a mapping", f"use --from with {_SUPPORTED}")
    report.raise_if_bad()
    tool = kind(root)
    if tool == SWEEP:
        imported = sweep.draft(root, report, python)
    elif tool == KATIB:
        imported = katib.draft(root, report)
    elif is_older(root):
        imported = _of_orchestrate(root, path, report)
    elif root.get("run") is not None:
        raise UsageError(
            f"{path} is already an experiment file", f"start it with `orchestune run -f {shlex.quote(str(path))}`"
        )
    elif (unsupported_tool := unsupported(root)) is not None:
        raise UsageError(f"{path} is {unsupported_tool[0]}", unsupported_tool[1])
    else:
        raise UsageError(f"unsupported file: {path}", f"use --from with {_SUPPORTED}")
    report.raise_if_bad()
    return replace(imported, notes=(*imported.notes, *dict.fromkeys(report.notes)))


def _of_orchestrate(root: Entries, path: Path, report: ProblemReport) -> Draft:
    document = _short(with_sibling_command(converted(root, report), path, report))
    files = {file: sigopt_modules.text(file) for file in sigopt_modules.missing_modules(document, path.parent)}
    if files:
        report.notes.append(
            "the scripts use the discontinued SigOpt service; a replacement module was added beside them"
        )
    return Draft(document, files=files)


def _short(root: Entries) -> Entries:
    """Convert ranges and goals to the short form, if it is equivalent."""
    for section, shorter in (("parameters", _range), ("metrics", _goal)):
        node = root.get(section)
        if isinstance(node, Entries):
            pairs = tuple((key, shorter(plain(value)) or value) for key, value in node.entries)
            position = node.position
            entries = mapping({key.text: value for key, value in pairs}, position)
            root = root.with_entry(ScalarNode(position, section, section), entries)
    return root


def _range(value: Any) -> str | list[Any] | None:
    if not isinstance(value, dict) or "when" in value:
        return None
    if isinstance(value.get("values"), list):
        return None if "prior" in value else list(value["values"])
    low, high, step = value.get("min"), value.get("max"), value.get("step")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not set(value) <= _NUMERIC:
        return None
    return spelled(low, high, log=value.get("log") is True, step=step, whole=value.get("type") == "int")


def _goal(value: Any) -> str | None:
    return str(value["goal"]) if isinstance(value, dict) and set(value) == {"goal"} else None
