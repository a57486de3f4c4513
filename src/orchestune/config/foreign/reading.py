"""`--from`: whose file or storage it is, and what it says."""

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
from orchestune.config.experiment_file import with_command_beside
from orchestune.config.foreign import katib, sweep
from orchestune.config.sections.short_spelling import spelled
from orchestune.config.sources import sigopt_modules
from orchestune.config.sources.draft import Draft
from orchestune.config.sources.orchestrate import converted, is_older
from orchestune.config.sources.recognize import KATIB, SWEEP, kind, unread
from orchestune.errors import UsageError

LARGEST = 2**20
_NUMERIC = {"type", "min", "max", "log", "step"}
_KNOWN = "a file of SigOpt Orchestrate, a sweep of W&B, an Experiment of Katib, or the storage of an Optuna study"


def read(source: str, study: str | None = None, metrics: Sequence[str] = (), python: str = "python") -> Draft:
    """What the file or the storage says; `metrics` names the objectives of a study, `python` that program here.

    BadInput, UsageError and NotFound tell what is wrong. Nothing is written.
    """
    if _is_storage(source):
        from orchestune.config.foreign import optuna_study  # Optuna takes its time to import

        return optuna_study.draft(source, study, metrics)
    return _of_file(Path(source), python)


def _is_storage(source: str) -> bool:
    """Whether it is the address of a storage, or a file that is one."""
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
            text = file.read(LARGEST + 1).decode("utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}", f"--from takes {_KNOWN}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8 text", f"--from takes {_KNOWN}") from exc
    if path.suffix == ".py":
        raise UsageError(f"{path} is a script", f"orchestune init {shlex.quote(str(path))}, without --from")
    root = compose(text, str(path), report)
    if not isinstance(root, Entries):
        raise UsageError(f"{path} holds no mapping", f"--from takes {_KNOWN}")
    report.raise_if_bad()
    found = kind(root)
    if found == SWEEP:
        made = sweep.draft(root, report, python)
    elif found == KATIB:
        made = katib.draft(root, report)
    elif is_older(root):
        made = _of_orchestrate(root, path, report)
    elif root.get("run") is not None:
        raise UsageError(
            f"{path} is an experiment file already", f"orchestune run -f {shlex.quote(str(path))} starts it"
        )
    elif (told := unread(root)) is not None:
        raise UsageError(f"{path} is {told[0]}", told[1])
    else:
        raise UsageError(f"{path} is of no known kind", f"--from takes {_KNOWN}")
    report.raise_if_bad()
    return replace(made, notes=(*made.notes, *dict.fromkeys(report.notes)))


def _of_orchestrate(root: Entries, path: Path, report: ProblemReport) -> Draft:
    document = _short(with_command_beside(converted(root, report), path, report))
    files = {file: sigopt_modules.text(file) for file in sigopt_modules.wanted(document, path.parent)}
    if files:
        report.notes.append("the scripts ask a service that is gone; a module in its place lies beside them now")
    return Draft(document, files=files)


def _short(root: Entries) -> Entries:
    """Ranges and goals in the short spelling, where it says the same."""
    for section, shorter in (("parameters", _range), ("metrics", _goal)):
        node = root.get(section)
        if isinstance(node, Entries):
            pairs = tuple((key, shorter(plain(value)) or value) for key, value in node.entries)
            place = node.place
            entries = mapping({key.text: value for key, value in pairs}, place)
            root = root.with_entry(ScalarNode(place, section, section), entries)
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
