"""The section `collect`: sources of metrics other than output such as `loss=0.5`, which `worker.metrics` parses."""

from __future__ import annotations

from pathlib import PurePosixPath

from orchestune.config.document.kinds import Key, string
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of, section
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.patterns import compiled

_PATTERN = string("a regular expression with named groups", most=1000, any_scalar=True)
_PATH = string("a path in the trial's folder, such as logs/metrics.csv or runs", most=1000)


def _read_expression(field: Field) -> str | None:
    expression = _PATTERN.read(field)
    if expression is None:
        return None
    try:
        groups = compiled(expression.encode()).groupindex
    except ValueError as exc:
        field.reject(f"not a valid regular expression: {exc}")
        return None
    if not set(groups) - {"step"}:
        field.reject("has no group named after a metric", r"for example 'accuracy is (?P<accuracy>[\d.]+)'")
        return None
    return expression


def _read_path(field: Field) -> str | None:
    path = _PATH.read(field)
    if path is None:
        return None
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts:
        field.reject("must be inside the trial's folder", "write a relative path without ..")
        return None
    if not parts or set("*?[") & set(parts[0]):
        field.reject("starts with a wildcard", "start with a folder, such as logs/*.csv")
        return None
    return "/".join(parts)


_EXPRESSION = _PATTERN.read_by(_read_expression)
_INSIDE = _PATH.read_by(_read_path)
KEYS = (
    Key("regex", _EXPRESSION, "Applied to each line of the output: the groups are metrics, `step` is the step. A"
        " group `val_loss` is also the metric `val/loss`: `_` stands for characters that names of groups cannot have."),
    Key("csv", _INSIDE, "A file with a header line, separated by commas, tabs or semicolons."),
    Key("jsonl", _INSIDE, "A file of JSON lines, in the format of `$ORCHESTUNE_METRICS`."),
    Key("json", _INSIDE, "A file with one JSON object, read after the command has exited."),
    Key("tensorboard", _INSIDE, "A folder of TensorBoard event files."),
    Key("mlflow", _INSIDE, "The MLflow folder, usually `mlruns`."),
)  # fmt: skip


def _sources(section: dict[str, str]) -> tuple[MetricSource, ...]:
    return tuple(MetricSource(kind, location) for kind, location in section.items())


_ONE = converted(section(KEYS, also={"pattern": "regex", "re": "regex", "tb": "tensorboard"}), _sources)
COLLECT = either(
    f"a mapping with {', '.join(key.name for key in KEYS)}, or a list of such",
    mapping=_ONE,
    listing=converted(list_of(_ONE, "a list of mappings", most=20), lambda listed: tuple(sum(listed, ()))),
)
