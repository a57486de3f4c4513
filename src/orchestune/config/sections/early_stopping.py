"""The section `early_stopping`: the rule by which trials are pruned."""

from __future__ import annotations

from orchestune.config.document.kinds import GRACE, MAX_NUMBER, NUMBER, Key, ValueKind, one_of, string
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, section
from orchestune.domain.specification.early_stopping import OPTIONS, TYPES, EarlyStopping

_TYPE = one_of(TYPES, {"successive_halving": "asha", "sha": "asha", "medianstop": "median", "hyper_band": "hyperband"})


def _more_than(least: int) -> ValueKind[float]:
    words = f"a number above {least}"

    def read(field: Field) -> float | None:
        value = field.node.value if isinstance(field.node, ScalarNode) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least < value <= MAX_NUMBER:
            return value
        field.expected(words)
        return None

    return ValueKind(words, {**NUMBER.schema, "exclusiveMinimum": least}, read)


_KEYS = (
    Key("type", _TYPE, "The rule; see [early stopping](../early-stopping.md).", required=True),
    Key("metric", string("the name of a metric"), "The metric to compare; it must be reported while the trial runs.",
        "the first one"),
    Key("min_steps", _more_than(0), "No trial is compared before this step (the `step` or `epoch` that it reports, or"
        " the number of values reported).", "1"),
    Key("interval", _more_than(0), "Steps between comparisons: median, percentile, wilcoxon.", "1"),
    Key("reduction", _more_than(1), "The best 1/reduction of the trials continue after each comparison: asha,"
        " hyperband, percentile. For the first two, the next comparison is at `reduction` times the steps.",
        "2; with asha the next comparison is then at 4 times the steps"),
    Key("grace", GRACE, "Time from SIGTERM to SIGKILL.", "the experiment's"),
)  # fmt: skip
_SECTION = section(_KEYS, also={"min_epochs": "min_steps", "grace_period": "min_steps", "warmup_steps": "min_steps",
                                "reduction_factor": "reduction", "eta": "reduction", "name": "type", "rule": "type",
                                "every": "interval"})  # fmt: skip


def _read(field: Field) -> EarlyStopping | None:
    settings = _SECTION.read(field) or {}
    rule = settings.get("type")
    if rule is None:
        return None
    for name in {"min_steps", "interval", "reduction"} - OPTIONS[rule]:
        if name in settings:
            field.find(name).reject(
                f"does not apply to the rule '{rule}'", f"options of {rule}: {', '.join(sorted(OPTIONS[rule]))}"
            )
    numbers = (settings.get(name) for name in ("min_steps", "interval", "reduction", "grace"))
    return EarlyStopping(rule, settings.get("metric"), *numbers)


EARLY_STOPPING = either(
    f"{_TYPE.words}, or a mapping with type, metric, min_steps, interval, reduction, grace",
    scalar=converted(_TYPE, EarlyStopping),
    mapping=_SECTION.read_by(_read),
)
