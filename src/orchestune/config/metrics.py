"""The section `metrics`: what is measured, and which way is better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestune.config.kinds import NUMBER, Key, Kind, one_of, text
from orchestune.config.report import Field
from orchestune.config.shapes import Named, changed, either, mapping_of, section
from orchestune.domain.metrics import Metric

_ALSO = {"max": "maximize", "min": "minimize", "maximise": "maximize", "minimise": "minimize", "higher": "maximize",
         "lower": "minimize", "up": "maximize", "down": "minimize"}  # fmt: skip
GOAL = one_of(("maximize", "minimize"), _ALSO)
TAKE = text("last, best or mean:K (the mean of the last K values)", "last|best|mean:[1-9][0-9]{0,5}")
KEYS = (
    Key("goal", GOAL, "Which way is better.", required=True),
    Key("take", TAKE, "Which of several reported values counts: the last one, the best one, or the mean of the last K.",
        "last"),
    Key("threshold", NUMBER, "From which value on a trial is good enough; recorded and shown.", "none"),
)  # fmt: skip


def _metric(read: dict[str, Any]) -> Metric:
    return Metric("", read.get("goal") or "maximize", read.get("take") or "last", read.get("threshold"))


METRIC = either(
    "maximize, minimize, or a mapping with goal, take, threshold",
    scalar=changed(GOAL, lambda goal: Metric("", "maximize" if goal == "maximize" else "minimize")),
    mapping=changed(section(KEYS, also={"direction": "goal", "objective": "goal", "target": "threshold"}), _metric),
)
_TAKEN = ("name", "value", "stddev", "step", "global_step", "iteration", "iter", "epoch")
_NAMES = Named(
    "a metric",
    r"[A-Za-z_][A-Za-z0-9_.\-/@%]*",
    "letters, digits and _ . - / @ % are allowed, a letter or _ first",
    dict.fromkeys(_TAKEN, "it means something else in a report"),
)
_MAPPING = mapping_of(_NAMES, METRIC, "a mapping from names to maximize or minimize", least=1, most=20)


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
    return tuple(replace(metric, name=name) for name, metric in read.items())


METRICS = Kind[tuple[Metric, ...]](_MAPPING.words, _MAPPING.schema, _read_metrics, KEYS)
