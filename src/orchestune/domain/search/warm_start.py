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
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value, token
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.words import brief_list, plural

MAX_RESULTS = 5000
"""maximum results of one warm start; models are fitted to fewer"""
MAPPED = "results are mapped by the names of parameters and metrics"
"""hint if no result can be mapped"""
IDLE = "has no effect: this engine does not use results"
"""note if the engine ignores the results"""
MAX_COMPARISONS = 10**7
"""maximum of the results times the parts of the space and the metrics: mapping them takes up to about 10 s"""
_COMPARISONS_OF_NAME = 10  # to look up the value of a parameter or metric by its spellings takes as long
_MAX_BYTES = 3 * 2**20  # of JSON, so that the results fit into one request of 4 MiB even with very many parameters
_SIZE_SAMPLE = 100  # results sampled to measure the size of their JSON
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
_ROUNDING_STEPS = 1e-3
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
    target = _Target(space)
    observations = [
        observation
        for document in documents
        if (observation := _observation(document, space, metrics, target, tally)) is not None
    ]
    if tally.skipped[_no_value(metrics[0])] and all(
        observation.state is not TrialState.COMPLETED for observation in observations
    ):
        observations = _not_pruned(observations, tally)
    tally.lacks.update(name for observation in observations for name in _lacking(observation, space))
    limited = _thinned(observations, metrics)
    notes = [f"{source}: {text}" for text in tally.texts(len(documents))]
    if len(limited) < len(observations):
        notes.append(f"{source}: of {len(observations)} results the best and an even selection of the others are used")
    return WarmStart(source, tuple(limited), tuple(notes))


def comparisons(count: int, space: Space, metrics: Sequence[Metric]) -> int:
    """Return an upper bound of the comparisons by which `mapped` maps so many results."""
    choices = sum(len(parameter.choices) for parameter in space.parameters)
    return count * (_COMPARISONS_OF_NAME * (len(space.parameters) + len(metrics)) + space.cost + choices)


def _not_pruned(observations: Sequence[Observation], tally: _Tally) -> list[Observation]:
    """Drop the pruned results of a source without values of the first metric: they were pruned by another metric."""
    others = [observation for observation in observations if observation.state is not TrialState.PRUNED]
    for _ in range(len(observations) - len(others)):
        tally.skip("pruned by another metric")
    return others


def together(starts: Sequence[WarmStart], space: Space, metrics: Sequence[Metric]) -> WarmStart:
    """Merge several sources into one, whose source is `118 results of sgd-7f3a, 20 of old.csv`."""
    observations = _thinned([observation for start in starts for observation in start.observations], metrics)
    counts = [f"{len(start.observations)} of {start.source}" for start in starts]
    if counts:
        first = len(starts[0].observations)
        counts[0] = f"{plural(first, 'result')} of {starts[0].source}"
    return WarmStart(", ".join(counts), tuple(observations), tuple(note for start in starts for note in start.notes))


def unusable(start: WarmStart) -> str:
    """Return the error message for a source without usable results."""
    why = "; ".join(note.removeprefix(f"{start.source}: ") for note in start.notes)
    return f"{start.source} has no usable result{f': {why}' if why else ''}"


def to_json(observation: Observation) -> dict[str, Any]:
    """Serialize an observation to a document that `mapped` reads."""
    measured = {
        name: {"value": value, "stddev": observation.stddev.get(name)} for name, value in observation.metrics.items()
    }
    return {"parameters": dict(observation.parameters), "state": observation.state.value, "metrics": measured}


class _Target:
    """The space to which results are mapped, with lookups: there are thousands of results, parameters and choices."""

    def __init__(self, space: Space) -> None:
        self._spelled: dict[tuple[str, Sequence[str]], tuple[str, ...]] = {}
        self.choices = {each.name: _Choices(each) for each in space.parameters if not each.numeric}
        self.of_parameters = frozenset(key for name in space.by_name for key in self._of(name, _PARAMETER_NAMES))

    def first(self, document: Mapping[str, Any], name: str, spellings: Sequence[str]) -> Any:
        """Return the value of the most specific column that is present, None if there is none."""
        return next((document[key] for key in self._of(name, spellings) if key in document), None)

    def _of(self, name: str, spellings: Sequence[str]) -> tuple[str, ...]:
        if (name, spellings) not in self._spelled:
            self._spelled[name, spellings] = tuple(text.format(name) for text in spellings)
        return self._spelled[name, spellings]


class _Choices:
    """The choices of a parameter by what denotes them in a result: themselves, or their text in a table."""

    def __init__(self, parameter: Parameter) -> None:
        self._exact = {token(choice): choice for choice in reversed(parameter.choices)}
        others = sorted(parameter.choices, key=lambda choice: isinstance(choice, bool))  # text "1": 1 rather than true
        self._order = {token(choice): place for place, choice in reversed(list(enumerate(others)))}
        self._by_meaning: dict[tuple[str, object], Value] = {}
        for choice in others:
            for meaning in _meanings(choice):
                self._by_meaning.setdefault(meaning, choice)

    def of(self, raw: Any) -> Value | None:
        """Return the choice that `raw` denotes, the first one if there are several; None if there is none."""
        with suppress(TypeError):  # a list or mapping
            if (exact := self._exact.get(token(raw))) is not None:
                return exact
        text = str(raw)
        meanings = (("text", text), ("truth", text.strip().casefold()), ("number", _number(raw)))
        denoted = [self._by_meaning[meaning] for meaning in meanings if meaning in self._by_meaning]
        return min(denoted, key=lambda choice: self._order[token(choice)], default=None)


def _meanings(choice: Value) -> Iterator[tuple[str, object]]:
    """Yield what denotes a choice in a table, as `_Choices.of` looks it up."""
    if isinstance(choice, bool):
        yield from (("truth", text) for text in (_TRUE if choice else _FALSE))
    else:
        yield ("text", choice) if isinstance(choice, str) else ("number", choice)


class _Tally:
    """Counts of skipped results by reason, of missing values and of unknown names."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.lacks: Counter[str] = Counter()
        self.unknown: dict[str, None] = {}

    def skip(self, why: str, example: str = "") -> None:
        self.skipped[why] += 1
        self.examples.setdefault(why, example)

    def texts(self, count: int) -> Iterator[str]:
        for why, number in self.skipped.items():
            example = self.examples[why]
            yield f"{number} of {count} results skipped: {why}{f', such as {example}' if example else ''}"
        if self.unknown:
            yield f"ignored, since this space has no such parameters: {brief_list(list(self.unknown), 5)}"
        for name, number in self.lacks.items():
            yield f"{number} of {count} results have no value of {name}, and do not inform its search"


def _observation(
    document: Mapping[str, Any], space: Space, metrics: Sequence[Metric], target: _Target, tally: _Tally
) -> Observation | None:
    parameter_values, measured = _parts(document)
    key, state_text = _state_of(
        document, [*space.by_name, *(m.name for m in metrics)] if parameter_values is document else ()
    )
    state = _STATES.get(state_text.casefold())
    if state is None:
        tally.skip("not finished", f"{key} = {state_text[:40]}")
        return None
    if parameter_values is not document:
        tally.unknown |= dict.fromkeys(name for name in parameter_values if name not in target.of_parameters)
    parameters: dict[str, Value] = {}
    for parameter in space.parameters:
        if not space.is_active(parameter.name, parameters):
            continue
        raw = target.first(parameter_values, parameter.name, _PARAMETER_NAMES)
        if _is_missing(raw, parameter):
            continue
        value = _number_in(parameter, raw) if parameter.numeric else target.choices[parameter.name].of(raw)
        if value is None:
            tally.skip("outside this space", f"{parameter.name} = {str(raw)[:40]}")
            return None
        parameters[parameter.name] = value
    if not parameters:
        tally.skip("no parameter of this space")
        return None
    outcome = _outcome(measured, metrics, state, target, tally)
    if outcome is None:
        return None
    state, values, spread = outcome
    folds = _folds(document, parameter_values, space, target)
    return Observation(0, parameters, state, values, {name: each / math.sqrt(folds) for name, each in spread.items()})


def _state_of(document: Mapping[str, Any], reserved: Collection[str]) -> tuple[str, str]:
    """Return the key of a result's state, none of those `reserved`, and its value; empty if absent."""
    keys = (key for key in _STATE_NAMES if key not in reserved and document.get(key))
    return next(((key, str(document[key])) for key in keys), ("", ""))


def _lacking(observation: Observation, space: Space) -> Iterator[str]:
    """Yield the active parameters without a value in a result."""
    for name in space.by_name:
        if name not in observation.parameters and space.is_active(name, observation.parameters):
            yield name


def _outcome(
    measured: Mapping[str, Any], metrics: Sequence[Metric], state: TrialState, target: _Target, tally: _Tally
) -> tuple[TrialState, dict[str, float], dict[str, float]] | None:
    """Return state, values and standard deviations; None if a completed result lacks a metric or has an invalid one."""
    if state is not TrialState.COMPLETED:
        return state, {}, {}
    values: dict[str, float] = {}
    spread: dict[str, float] = {}
    for metric in metrics:
        alone = ("value",) if len(metrics) == 1 else ()
        raw = target.first(measured, metric.name, (*_METRIC_NAMES, *alone))
        beside: Any = target.first(measured, metric.name, (*_SPREAD_NAMES, *(("stddev",) if alone else ())))
        if isinstance(raw, Mapping):
            both: Mapping[str, Any] = raw
            raw, beside = both.get("value"), both.get("stddev")
        value, deviation = _number(raw), _number(beside)
        if value is None:
            tally.skip(_no_value(metric))
            return None
        if not math.isfinite(value):
            return TrialState.FAILED, {}, {}
        values[metric.name] = value
        if deviation is not None and deviation < 0:
            tally.skip("a standard deviation is negative", f"{deviation:g} of {metric.name}")
            return None
        if deviation is not None and math.isfinite(deviation):
            spread[metric.name] = deviation
    return state, values, spread


def _folds(document: Mapping[str, Any], parameter_values: Mapping[str, Any], space: Space, target: _Target) -> float:
    """Return the number of folds over which the values are means."""
    folds = _number(document.get("folds"))
    if (
        parameter_values is document
        and "folds" in space.by_name
        and target.first(document, "folds", _PARAMETER_NAMES[:-1]) is None
    ):
        folds = None  # the column belongs to the parameter of this name
    attempts = document.get("attempts")
    if folds is None and isinstance(attempts, list):
        folds = len({str(each.get("fold")) for each in attempts if isinstance(each, Mapping)})
    return folds if folds is not None and 1 < folds < math.inf else 1


def _no_value(metric: Metric) -> str:
    return f"no value of {metric.name}"


def _parts(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the mappings with parameters and metrics; for a flat document both are the document."""
    parameters = document.get("parameters", document.get("params"))
    if not isinstance(parameters, Mapping):
        return document, document
    measured = document.get("metrics", document.get("values"))
    return parameters, measured if isinstance(measured, Mapping) else document


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


def _number_in(parameter: Parameter, raw: Any) -> Value | None:
    """Return the numeric parameter's value for `raw`; None if it is outside the space."""
    number = _number(raw)
    if number is None or not math.isfinite(number) or not parameter.within(number):
        return None
    value = parameter.snap(number)
    step = parameter.step or (1 if parameter.kind == "int" else math.inf)
    return value if abs(value - number) <= _ROUNDING_STEPS * step else None


def _size(observations: Sequence[Observation]) -> float:
    """Return the average bytes of JSON per result, measured on a sample."""
    sample = observations[:: max(1, len(observations) // _SIZE_SAMPLE)]
    return sum(len(json.dumps(to_json(observation))) + 2 for observation in sample) / max(1, len(sample)) or 1.0


def _thinned(observations: list[Observation], metrics: Sequence[Metric]) -> list[Observation]:
    """Limit the results, in their order: a tenth are the best by the first metric, the rest an even selection."""
    metric, limit = metrics[0], min(MAX_RESULTS, max(1, int(_MAX_BYTES / _size(observations))))
    if len(observations) <= limit:
        return observations
    sign = 1 if metric.goal == "minimize" else -1
    order = sorted(
        range(len(observations)), key=lambda index: sign * observations[index].metrics.get(metric.name, sign * math.inf)
    )
    best = set(order[: limit // 10])
    rest = [index for index in range(len(observations)) if index not in best]
    count = limit - len(best)
    chosen = best | {rest[position * len(rest) // count] for position in range(count)}
    return [observations[index] for index in sorted(chosen)]
