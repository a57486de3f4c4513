"""Warm start: results from other sources as the initial history of a search, mapped by name onto its space.

A result is a document: `{"parameters": {…}, "metrics": {…}, "state": …}` like a trial, or a flat mapping from names to
values like a table row. Values may be strings. Results become observations with number 0, without values for the
parameters that they lack. Results that are impossible in this space are skipped and reported in the notes. If a result
has a number of folds, in `folds` or as a trial's `attempts`, its values are means over the folds, and its standard
deviations are those of one fold.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value, same
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.words import plural, some

MOST = 5000
"""maximum results of one warm start; models are fitted to fewer"""
MAPPED = "results are mapped by the names of parameters and metrics"
"""hint if no result can be mapped"""
IDLE = "has no effect: this engine learns nothing from results"
"""note if the engine ignores the results"""
_MOST_BYTES = 3 * 2**20  # of JSON, so that the results fit into one request of 4 MiB even with very many parameters
_MEASURED = 100  # results sampled to measure the size of their JSON
_PARAMETER_NAMES = ("params_{}", "param_{}", "params.{}", "parameters.{}", "config.{}", "config/{}", "{}")
_METRIC_NAMES = ("metrics.{}", "metrics/{}", "values_{}", "{}", "mean_test_{}")
_SPREAD_NAMES = ("metrics.{}.stddev", "{}.stddev", "{}_stddev", "stddev.{}", "std_test_{}")
"""column names, the most specific first, since a plain `seed` may be that of the trial"""
_STATES = {
    **dict.fromkeys(("", "completed", "complete", "finished", "succeeded", "success", "done"), TrialState.COMPLETED),
    **dict.fromkeys(("failed", "fail", "error", "crashed"), TrialState.FAILED),
    **dict.fromkeys(("pruned", "early_stopped"), TrialState.PRUNED),
}
_STATE_NAMES = ("state", "status", "State", "trial_status")
"""the last two are those of tables from Weights & Biases and Ax"""
_ROUNDED = 1e-3
"""in steps: tolerance for values that a table rounded; a value further off is outside the space"""
_TRUE, _FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")


@dataclass(frozen=True)
class WarmStart:
    """Observations of one source."""

    source: str
    observations: tuple[Observation, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class WarmStarts:
    """Sources of a warm start as the user listed them."""

    known: tuple[WarmStart, ...] = ()
    """from files and from the experiment file itself"""
    experiments: tuple[str, ...] = ()
    """experiments whose results are on a server"""


def mapped(source: str, documents: Sequence[Mapping[str, Any]], space: Space, metrics: Sequence[Metric]) -> WarmStart:
    """Map `documents` to observations, with notes about skipped results and missing values."""
    tally = _Tally()
    found = [seen for document in documents if (seen := _observation(document, space, metrics, tally)) is not None]
    if tally.left_out[_no_value(metrics[0])] and all(seen.state is not TrialState.COMPLETED for seen in found):
        found = _not_pruned(found, tally)
    tally.lacks.update(name for seen in found for name in _lacking(seen, space))
    kept = _thinned(found, metrics)
    notes = [f"{source}: {text}" for text in tally.texts(len(documents))]
    if len(kept) < len(found):
        notes.append(f"{source}: of {len(found)} results the best and an even selection of the others are used")
    return WarmStart(source, tuple(kept), tuple(notes))


def _not_pruned(found: Sequence[Observation], tally: _Tally) -> list[Observation]:
    """Drop the pruned results of a source without values of the first metric: they were pruned by another metric."""
    kept = [seen for seen in found if seen.state is not TrialState.PRUNED]
    for _ in range(len(found) - len(kept)):
        tally.leave_out("pruned by another metric")
    return kept


def together(found: Sequence[WarmStart], space: Space, metrics: Sequence[Metric]) -> WarmStart:
    """Merge several sources into one, whose source is `118 results of sgd-7f3a, 20 of old.csv`."""
    observations = _thinned([seen for made in found for seen in made.observations], metrics)
    counts = [f"{len(made.observations)} of {made.source}" for made in found]
    if counts:
        first = len(found[0].observations)
        counts[0] = f"{plural(first, 'result')} of {found[0].source}"
    return WarmStart(", ".join(counts), tuple(observations), tuple(note for made in found for note in made.notes))


def unusable(made: WarmStart) -> str:
    """Return the error message for a source without usable results."""
    why = "; ".join(note.removeprefix(f"{made.source}: ") for note in made.notes)
    return f"{made.source} has no result that can be used{f': {why}' if why else ''}"


def to_json(observation: Observation) -> dict[str, Any]:
    """Serialize an observation to a document that `mapped` reads."""
    measured = {
        name: {"value": value, "stddev": observation.stddev.get(name)} for name, value in observation.metrics.items()
    }
    return {"parameters": dict(observation.parameters), "state": observation.state.value, "metrics": measured}


class _Tally:
    """Counts of skipped results by reason, of missing values and of unknown names."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.lacks: Counter[str] = Counter()
        self.unknown: dict[str, None] = {}

    def leave_out(self, why: str, example: str = "") -> None:
        self.left_out[why] += 1
        self.examples.setdefault(why, example)

    def texts(self, count: int) -> Iterator[str]:
        for why, number in self.left_out.items():
            example = self.examples[why]
            yield f"{number} of {count} results left out: {why}{f', such as {example}' if example else ''}"
        if self.unknown:
            yield f"not looked at, since no parameters here: {some(list(self.unknown), 5)}"
        for name, number in self.lacks.items():
            yield f"{number} of {count} results have no value of {name}, and say nothing about it"


def _observation(
    document: Mapping[str, Any], space: Space, metrics: Sequence[Metric], tally: _Tally
) -> Observation | None:
    given, measured = _parts(document)
    key, told = _told_state(document, [*space.by_name, *(m.name for m in metrics)] if given is document else ())
    state = _STATES.get(told.casefold())
    if state is None:
        tally.leave_out("not finished", f"{key} = {told[:40]}")
        return None
    if given is not document:
        tally.unknown |= dict.fromkeys(name for name in given if _name_of(name, space) is None)
    parameters: dict[str, Value] = {}
    for parameter in space.parameters:
        if not space.is_active(parameter.name, parameters):
            continue
        raw = _looked_up(given, parameter.name, _PARAMETER_NAMES)
        if _is_missing(raw, parameter):
            continue
        value = _value(parameter, raw)
        if value is None:
            tally.leave_out("outside this space", f"{parameter.name} = {str(raw)[:40]}")
            return None
        parameters[parameter.name] = value
    if not parameters:
        tally.leave_out("none of the parameters is in it")
        return None
    outcome = _outcome(measured, metrics, state, tally)
    if outcome is None:
        return None
    state, values, spread = outcome
    folds = _folds(document, given, space)
    return Observation(0, parameters, state, values, {name: each / math.sqrt(folds) for name, each in spread.items()})


def _told_state(document: Mapping[str, Any], taken: Collection[str]) -> tuple[str, str]:
    """Return the key of a result's state, none of those `taken`, and its value; empty if absent."""
    keys = (key for key in _STATE_NAMES if key not in taken and document.get(key))
    return next(((key, str(document[key])) for key in keys), ("", ""))


def _lacking(seen: Observation, space: Space) -> Iterator[str]:
    """Yield the active parameters without a value in a result."""
    for name in space.by_name:
        if name not in seen.parameters and space.is_active(name, seen.parameters):
            yield name


def _outcome(
    measured: Mapping[str, Any], metrics: Sequence[Metric], state: TrialState, tally: _Tally
) -> tuple[TrialState, dict[str, float], dict[str, float]] | None:
    """Return state, values and standard deviations; None if a completed result lacks a metric or has an invalid one."""
    if state is not TrialState.COMPLETED:
        return state, {}, {}
    values: dict[str, float] = {}
    spread: dict[str, float] = {}
    for metric in metrics:
        alone = ("value",) if len(metrics) == 1 else ()
        raw = _looked_up(measured, metric.name, (*_METRIC_NAMES, *alone))
        beside: Any = _looked_up(measured, metric.name, (*_SPREAD_NAMES, *(("stddev",) if alone else ())))
        if isinstance(raw, Mapping):
            both: Mapping[str, Any] = raw
            raw, beside = both.get("value"), both.get("stddev")
        value, deviation = _number(raw), _number(beside)
        if value is None:
            tally.leave_out(_no_value(metric))
            return None
        if not math.isfinite(value):
            return TrialState.FAILED, {}, {}
        values[metric.name] = value
        if deviation is not None and deviation < 0:
            tally.leave_out("a standard deviation is negative", f"{deviation:g} of {metric.name}")
            return None
        if deviation is not None and math.isfinite(deviation):
            spread[metric.name] = deviation
    return state, values, spread


def _folds(document: Mapping[str, Any], given: Mapping[str, Any], space: Space) -> float:
    """Return the number of folds over which the values are means."""
    told = _number(document.get("folds"))
    if given is document and "folds" in space.by_name and _looked_up(document, "folds", _PARAMETER_NAMES[:-1]) is None:
        told = None  # the column belongs to the parameter of this name
    attempts = document.get("attempts")
    if told is None and isinstance(attempts, list):
        told = len({str(each.get("fold")) for each in attempts if isinstance(each, Mapping)})
    return told if told is not None and 1 < told < math.inf else 1


def _no_value(metric: Metric) -> str:
    return f"no value of {metric.name}"


def _parts(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the mappings with parameters and metrics; for a flat document both are the document."""
    given = document.get("parameters", document.get("params"))
    if not isinstance(given, Mapping):
        return document, document
    measured = document.get("metrics", document.get("values"))
    return given, measured if isinstance(measured, Mapping) else document


def _looked_up(given: Mapping[str, Any], name: str, spellings: Sequence[str]) -> Any:
    return next((given[key] for key in (text.format(name) for text in spellings) if key in given), None)


def _name_of(key: str, space: Space) -> str | None:
    return next((name for name in space.by_name if key in (text.format(name) for text in _PARAMETER_NAMES)), None)


def _is_missing(raw: Any, parameter: Parameter) -> bool:
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return True
    return raw == "" and "" not in parameter.choices


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return None


def _value(parameter: Parameter, raw: Any) -> Value | None:
    """Return the parameter's value for `raw`; None if it is outside the space."""
    if parameter.numeric:
        number = _number(raw)
        if number is None or not math.isfinite(number) or not parameter.within(number):
            return None
        found = parameter.snap(number)
        step = parameter.step or (1 if parameter.kind == "int" else math.inf)
        return found if abs(found - number) <= _ROUNDED * step else None
    exact = [choice for choice in parameter.choices if same(choice, raw)]
    others = sorted(parameter.choices, key=lambda choice: isinstance(choice, bool))  # text "1": 1 rather than true
    return next(iter([*exact, *(choice for choice in others if _means(raw, choice))]), None)


def _means(raw: Any, choice: Value) -> bool:
    """Return True if `raw`, possibly a string from a table, denotes this choice."""
    text = str(raw).strip().casefold()
    if isinstance(choice, bool):
        return text in (_TRUE if choice else _FALSE)
    if isinstance(choice, str):
        return str(raw) == choice
    return _number(raw) == choice


def _size(found: Sequence[Observation]) -> float:
    """Return the average bytes of JSON per result, measured on a sample."""
    sample = found[:: max(1, len(found) // _MEASURED)]
    return sum(len(json.dumps(to_json(seen))) + 2 for seen in sample) / max(1, len(sample)) or 1.0


def _thinned(found: list[Observation], metrics: Sequence[Metric]) -> list[Observation]:
    """Limit the results, in their order: a tenth are the best by the first metric, the rest an even selection."""
    metric, most = metrics[0], min(MOST, max(1, int(_MOST_BYTES / _size(found))))
    if len(found) <= most:
        return found
    sign = 1 if metric.goal == "minimize" else -1
    order = sorted(range(len(found)), key=lambda index: sign * found[index].metrics.get(metric.name, sign * math.inf))
    best = set(order[: most // 10])
    rest = [index for index in range(len(found)) if index not in best]
    count = most - len(best)
    chosen = best | {rest[position * len(rest) // count] for position in range(count)}
    return [found[index] for index in sorted(chosen)]
