"""The section `collect`: where metrics are read that the command does not print in a usual spelling."""

from __future__ import annotations

from pathlib import PurePosixPath

from orchestune.config.document.kinds import Key, text
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of, section
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.patterns import compiled

_PATTERN = text("a regular expression with named groups", most=1000, loose=True)
_PATH = text("a path in the trial's folder, such as logs/metrics.csv or runs", most=1000)


def _read_expression(found: Field) -> str | None:
    expression = _PATTERN.read(found)
    if expression is None:
        return None
    try:
        groups = compiled(expression.encode()).groupindex
    except ValueError as exc:
        found.wrong(f"is no regular expression: {exc}")
        return None
    if not set(groups) - {"step"}:
        found.wrong("has no group with the name of a metric", r"for example 'accuracy is (?P<accuracy>[\d.]+)'")
        return None
    return expression


def _read_path(found: Field) -> str | None:
    path = _PATH.read(found)
    if path is None:
        return None
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts:
        found.wrong("must lie within the trial's folder", "write a relative path without ..")
        return None
    if not parts or set("*?[") & set(parts[0]):
        found.wrong("begins with a pattern", "a folder stands first, such as logs/*.csv")
        return None
    return "/".join(parts)


_EXPRESSION = _PATTERN.read_by(_read_expression)
_INSIDE = _PATH.read_by(_read_path)
KEYS = (
    Key("regex", _EXPRESSION, "For each line of the output: the groups are metrics, `step` is the step; in a group's"
        " name `_` stands for any character of a metric's that no group can have."),
    Key("csv", _INSIDE, "A file with a heading; also with tabs or semicolons."),
    Key("jsonl", _INSIDE, "A file of JSON lines, as for `$ORCHESTUNE_METRICS`."),
    Key("json", _INSIDE, "A file with one JSON object, read when the command has ended."),
    Key("tensorboard", _INSIDE, "A folder of TensorBoard's event files."),
    Key("mlflow", _INSIDE, "MLflow's folder, as a rule `mlruns`."),
)  # fmt: skip


def _sources(read: dict[str, str]) -> tuple[MetricSource, ...]:
    return tuple(MetricSource(kind, where) for kind, where in read.items())


_ONE = changed(section(KEYS, also={"pattern": "regex", "re": "regex", "tb": "tensorboard"}), _sources)
COLLECT = either(
    f"a mapping with {', '.join(key.name for key in KEYS)}, or a list of such",
    mapping=_ONE,
    listing=changed(list_of(_ONE, "a list of mappings", most=20), lambda listed: tuple(sum(listed, ()))),
)
