"""The section `metrics`: names, goals and limits of metrics."""

from __future__ import annotations

from dataclasses import replace

from orchestune.config.document.kinds import NUMBER, Key, ValueKind, one_of, string
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, converted, either, mapping_of, misnamed, section
from orchestune.domain.specification.metrics import Goal, Limit, Metric

_ALSO = {"max": "maximize", "min": "minimize", "maximise": "maximize", "minimise": "minimize", "higher": "maximize",
         "lower": "minimize", "up": "maximize", "down": "minimize"}  # fmt: skip
GOAL = one_of(("maximize", "minimize"), _ALSO)
_LIMIT = r"\s*[<>]=\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*"
LIMIT = string("<= or >= and a number, such as '<= 20'", _LIMIT, most=100)
TAKE = string("last, best or mean:K (the mean of the last K values)", "last|best|mean:[1-9][0-9]{0,3}")
KEYS = (
    Key("goal", GOAL, "The direction of better values; required unless there is a `constraint`."),
    Key("constraint", LIMIT, "Condition that a trial must meet to become the best, such as `<= 20`. Without a goal,"
        " the metric is only constrained, not optimized.", "none"),
    Key("take", TAKE, "Which of several reported values counts: the last, the best, or the mean of the last K (up to"
        " 9999).", "last"),
    Key("threshold", NUMBER, "The value from which a trial is good enough. With several goals, the search focuses on"
        " the part of the front where every threshold is met; with one, `run` shows it.", "none"),
)  # fmt: skip


def _limit(field: Field, text: str) -> Limit | None:
    try:
        return Limit.parse(text)
    except ValueError:
        field.report.add(
            field.node.position, f"{field.key}.constraint", "not a finite number", "write a condition such as <= 20"
        )
        return None


def _read_metric(field: Field) -> Metric | None:
    section = _METRIC_SECTION.read(field)
    if section is None:
        return None
    limit = _limit(field, section["constraint"]) if section.get("constraint") else None
    if "goal" not in section and "constraint" not in section and field.below("goal") not in field.report.misspelled:
        field.report.add(field.node.position, field.below("goal"), "is missing", f"expected {GOAL.words}")
    goal: Goal = section.get("goal") or ("maximize" if limit is not None and limit.least else "minimize")
    return Metric(
        "", goal, section.get("take") or "last", section.get("threshold"), limit, limit is None or "goal" in section
    )


_METRIC_SECTION = section(
    KEYS, also={"direction": "goal", "objective": "goal", "target": "threshold", "limit": "constraint"}
)
_ONE_OF_BOTH = [{"required": ["goal"]}, {"required": ["constraint"]}]
METRIC = either(
    "maximize, minimize, or a mapping with goal, constraint, take, threshold",
    scalar=converted(GOAL, lambda goal: Metric("", "maximize" if goal == "maximize" else "minimize")),
    mapping=ValueKind[Metric](
        _METRIC_SECTION.words, {**_METRIC_SECTION.schema, "anyOf": _ONE_OF_BOTH}, _read_metric, KEYS
    ),
)
MAX_OBJECTIVES = 4
_TAKEN = ("name", "value", "stddev", "step", "global_step", "iteration", "iter", "epoch")
_NAMES = NamedEntry(
    "a metric",
    r"[A-Za-z_][A-Za-z0-9_.\-/@%]*",
    "use ASCII letters, digits and _ . - / @ %, a letter or _ first; val_loss also matches `Val Loss: 0.3`",
    dict.fromkeys(_TAKEN, "reports use this name for something else"),
)
_MAPPING = mapping_of(_NAMES, METRIC, "a mapping from names to maximize or minimize", least=1, most=20)


def unfit(name: str) -> str:
    """Return why this is not a valid name of a metric; empty if it is."""
    return misnamed(name, _NAMES)


def _read_metrics(field: Field) -> tuple[Metric, ...] | None:
    by_name = _MAPPING.read(field)
    if by_name is None:
        return None
    names_by_case: dict[str, str] = {}
    for name, (key_node, value) in field.entries().items():
        first_name = names_by_case.setdefault(name.casefold(), name)
        if first_name != name:
            Field(key_node, value.key, field.report).reject(
                f"differs from {first_name} only in case", "metric names are case-insensitive"
            )
    metrics = [replace(metric, name=name) for name, metric in by_name.items()]
    if len(metrics) == len(field.entries()) and not any(metric.optimized for metric in metrics):
        field.reject("no metric has a goal", "set `maximize` or `minimize` for at least one of them")
        return None
    optimized = sum(metric.optimized for metric in metrics)
    if optimized > MAX_OBJECTIVES:
        field.reject(
            f"{optimized} metrics have a goal (maximum {MAX_OBJECTIVES})",
            "give the others a constraint, or remove them: reported values are recorded either way",
        )
        return None
    return tuple(sorted(metrics, key=lambda metric: not metric.optimized))


METRICS = _MAPPING.read_by(_read_metrics)
