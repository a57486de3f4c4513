"""The section `metrics`: what is measured, and which way is better."""

from __future__ import annotations

from dataclasses import replace

from orchestune.config.document.kinds import NUMBER, Key, ValueKind, one_of, text
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, changed, either, mapping_of, misnamed, section
from orchestune.domain.specification.metrics import Goal, Limit, Metric

_ALSO = {"max": "maximize", "min": "minimize", "maximise": "maximize", "minimise": "minimize", "higher": "maximize",
         "lower": "minimize", "up": "maximize", "down": "minimize"}  # fmt: skip
GOAL = one_of(("maximize", "minimize"), _ALSO)
_LIMIT = r"\s*[<>]=\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*"
LIMIT = text("<= or >= and a number, such as '<= 20'", _LIMIT, most=100)
TAKE = text("last, best or mean:K (the mean of the last K values)", "last|best|mean:[1-9][0-9]{0,5}")
KEYS = (
    Key("goal", GOAL, "Which way is better; needed unless there is a `constraint`."),
    Key("constraint", LIMIT, "What a trial has to keep to become the best, such as `<= 20`. Without a goal the metric"
        " is not optimized besides.", "none"),
    Key("take", TAKE, "Which of several reported values counts: the last one, the best one, or the mean of the last K.",
        "last"),
    Key("threshold", NUMBER, "From which value on a trial is good enough. Of several metrics with a goal, the part of"
        " the front is searched where each has reached its threshold; of one it is shown by `run`.", "none"),
)  # fmt: skip


def _limit(found: Field, text: str) -> Limit | None:
    try:
        return Limit.parse(text)
    except ValueError:
        found.report.add(found.node.place, f"{found.key}.constraint", "is no finite number", "such as <= 20")
        return None


def _read_metric(found: Field) -> Metric | None:
    read = _LONG.read(found)
    if read is None:
        return None
    limit = _limit(found, read["constraint"]) if read.get("constraint") else None
    if "goal" not in read and "constraint" not in read and found.below("goal") not in found.report.meant:
        found.report.add(found.node.place, found.below("goal"), "is missing", f"expected {GOAL.words}")
    goal: Goal = read.get("goal") or ("maximize" if limit is not None and limit.least else "minimize")
    return Metric("", goal, read.get("take") or "last", read.get("threshold"), limit, limit is None or "goal" in read)


_LONG = section(KEYS, also={"direction": "goal", "objective": "goal", "target": "threshold", "limit": "constraint"})
_ONE_OF_BOTH = [{"required": ["goal"]}, {"required": ["constraint"]}]
METRIC = either(
    "maximize, minimize, or a mapping with goal, constraint, take, threshold",
    scalar=changed(GOAL, lambda goal: Metric("", "maximize" if goal == "maximize" else "minimize")),
    mapping=ValueKind[Metric](_LONG.words, {**_LONG.schema, "anyOf": _ONE_OF_BOTH}, _read_metric, KEYS),
)
MOST_OBJECTIVES = 4
_TAKEN = ("name", "value", "stddev", "step", "global_step", "iteration", "iter", "epoch")
_NAMES = NamedEntry(
    "a metric",
    r"[A-Za-z_][A-Za-z0-9_.\-/@%]*",
    "ASCII letters, digits and _ . - / @ % are allowed, a letter or _ first; val_loss also stands for `Val Loss: 0.3`",
    dict.fromkeys(_TAKEN, "it means something else in a report"),
)
_MAPPING = mapping_of(_NAMES, METRIC, "a mapping from names to maximize or minimize", least=1, most=20)


def unfit(name: str) -> str:
    """Why this cannot be the name of a metric; empty where it can."""
    return misnamed(name, _NAMES)


def _read_metrics(found: Field) -> tuple[Metric, ...] | None:
    read = _MAPPING.read(found)
    if read is None:
        return None
    folded: dict[str, str] = {}
    for name, (place, value) in found.entries().items():
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            Field(place, value.key, found.report).wrong(
                f"differs from {other} in upper and lower case alone", "names of metrics match regardless of case"
            )
    metrics = [replace(metric, name=name) for name, metric in read.items()]
    if len(metrics) == len(found.entries()) and not any(metric.optimized for metric in metrics):
        found.wrong("none of them has a goal", "say of at least one whether to maximize or minimize it")
        return None
    optimized = sum(metric.optimized for metric in metrics)
    if optimized > MOST_OBJECTIVES:
        found.wrong(
            f"{optimized} metrics have a goal, {MOST_OBJECTIVES} can be optimized together",
            "give the others a constraint, or leave them out: what is reported is kept",
        )
        return None
    return tuple(sorted(metrics, key=lambda metric: not metric.optimized))


METRICS = _MAPPING.read_by(_read_metrics)
