"""In-memory numeric columns of an experiment's trials, to sort, filter and plot 100,000 of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestune.domain.lifecycle.spans import together
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.floats import as_float
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.history import ColumnRows, ValueColumns
from orchestune.store.statements.spans import RunColumns

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

STATES = tuple(state.value for state in TrialState)
_CODES = {state: code for code, state in enumerate(STATES)}
_NUMBERS = {float, int, type(None)}
_MAX_OTHER_METRICS = 1000
"""Upper bound of the metrics that are not declared: programs choose their names, which may differ in each trial."""
_MAX_OTHER_VALUES = 2**22
"""Upper bound of the values of all of them, including absent ones: 32 MiB, or about 40 metrics of 100,000 trials."""


@dataclass
class Column:
    """Values of one parameter or metric; NaN if a trial has none. Categories are stored as indices into `words`."""

    values: list[Numbers] = field(default_factory=list)
    words: list[Value] | None = None
    """the categories; None for numeric columns"""

    def codes(self, values: Sequence[Value | None]) -> Numbers:
        """Encode values as numbers; None (no value) becomes NaN. Appends new categories to `words`."""
        if self.words is None:
            plain = set(map(type, values)) <= _NUMBERS
            return np.array(values if plain else [_number(value) for value in values], float)
        keys = list(zip(map(type, values), values, strict=True))  # True equals 1 but is another category
        codes: dict[tuple[type, Value | None], float] = {
            (type(word), word): float(place) for place, word in enumerate(self.words)
        }
        codes[type(None), None] = float("nan")
        for kind, word in dict.fromkeys(keys):
            if word is not None and (kind, word) not in codes:
                codes[kind, word] = float(len(self.words))
                self.words.append(word)
        return np.array(list(map(codes.__getitem__, keys)), float)

    def array(self) -> Numbers:
        """Return all values as one array."""
        if len(self.values) != 1:
            self.values = [np.concatenate(self.values) if self.values else np.empty(0)]
        return self.values[0]


class TrialColumns:
    """The finished trials of an experiment in order of completion, followed by the open ones by number."""

    def __init__(self, row: ExperimentRow) -> None:
        self.read_up_to = 0
        self.parameters = {
            parameter.name: Column(words=None if parameter.numeric else list(parameter.choices))
            for parameter in row.specification.space.parameters
        }
        self.metrics: dict[str, Column] = {metric.name: Column() for metric in row.specification.metrics}
        """the declared metrics, followed by others in the order in which they were reported"""
        self._declared = len(self.metrics)
        plain = ("number", "state", "created_at", "started_at", "finished_at", "seconds")
        self.plain = {name: Column() for name in plain}
        self.length = 0

    def add(self, trials: ColumnRows, measured: ValueColumns, runs: RunColumns) -> None:
        """Append trials with their metrics and the run times of their attempts."""
        numbers = trials.number
        plain = {
            "number": numbers,
            "state": list(map(_CODES.__getitem__, trials.state)),
            "created_at": trials.created_at,
            "started_at": trials.started_at,
            "finished_at": trials.finished_at,
            "seconds": _took(numbers, runs),
        }
        for name, column in self.plain.items():
            column.values.append(np.array(plain[name], float))
        configurations: list[Configuration] = json.loads(f"[{','.join(trials.parameters)}]")
        for name in sorted(set().union(*configurations) - self.parameters.keys()):  # from earlier search spaces
            value = next(configuration[name] for configuration in configurations if name in configuration)
            self.parameters[name] = Column([np.full(self.length, np.nan)], None if _number(value) == value else [])
        for name, column in self.parameters.items():
            column.values.append(column.codes([configuration.get(name) for configuration in configurations]))
        self._add_metrics(numbers, measured)
        self.length += len(numbers)

    def _add_metrics(self, numbers: Sequence[int], measured: ValueColumns) -> None:
        length = self.length + len(numbers)
        most = self._declared + min(_MAX_OTHER_METRICS, _MAX_OTHER_VALUES // max(length, 1))
        names = [*dict.fromkeys([*self.metrics, *measured.name])][:most]
        self.metrics = {name: self.metrics.get(name) or Column([np.full(self.length, np.nan)]) for name in names}
        place = {number: index for index, number in enumerate(numbers)}
        line = {name: index for index, name in enumerate(names)}
        table = np.full((len(line), len(numbers)), np.nan)
        lines = np.array([line.get(name, -1) for name in measured.name], int)
        places = np.array([place[trial] for trial in measured.trial], int)
        kept = lines >= 0
        table[lines[kept], places[kept]] = np.array(measured.value, float)[kept]
        for column, values in zip(self.metrics.values(), table, strict=True):
            column.values.append(values)

    def with_open(self, trials: ColumnRows, measured: ValueColumns, runs: RunColumns) -> TrialColumns:
        """Return a copy with the open trials appended; `self` is unchanged."""
        view = TrialColumns.__new__(TrialColumns)
        view.read_up_to, view.length, view._declared = self.read_up_to, self.length, self._declared
        for kind in ("parameters", "metrics", "plain"):
            mine: Mapping[str, Column] = getattr(self, kind)
            setattr(view, kind, {name: Column([column.array()], column.words) for name, column in mine.items()})
        view.add(trials, measured, runs)
        return view

    def number(self) -> Numbers:
        """Return the trials' numbers."""
        return self.plain["number"].array()

    def state(self) -> Numbers:
        """Return the trials' states as indices into `STATES`."""
        return self.plain["state"].array()

    def good(self, metrics: Sequence[Metric]) -> NDArray[np.bool_]:
        """Return the mask of completed trials within all limits: only these are candidates for the best."""
        candidates: NDArray[np.bool_] = self.state() == STATES.index(TrialState.COMPLETED.value)
        for metric in metrics:
            if metric.limit is not None:
                values, bound = self.metrics[metric.name].array(), metric.limit.bound
                candidates &= values >= bound if metric.limit.least else values <= bound
        return candidates

    def seconds(self) -> Numbers:
        """Return the run time of each trial in seconds; overlapping attempts count once. Unknown until it is over."""
        return self.plain["seconds"].array()

    def column(self, key: str) -> Column:
        """Return a column by name (`number`, `seconds`, `metrics.loss`, `parameters.x`). Raises BadInput if unknown."""
        if key in self.plain:
            return self.plain[key]
        kind, _, name = key.partition(".")
        column = {"metrics": self.metrics, "parameters": self.parameters}.get(kind, {}).get(name)
        if column is None:
            names = [*self.plain, *(f"metrics.{n}" for n in self.metrics)]
            names += [f"parameters.{n}" for n in self.parameters]
            raise BadInput.one(f"unknown column: '{key}'", hint=f"available are {', '.join(names[:30])}")
        return column

    def matching(self, where: str | None, state: str | None = None) -> Places:
        """Return the indices of matching trials. `where` is JSON: column → [low, high] or a list of categories."""
        keep = np.ones(self.length, bool)
        if state:
            codes = [_CODES[word] for word in state.split(",") if word in _CODES]
            keep &= np.isin(self.state(), codes)
        for key, allowed in _conditions(where).items():
            keep &= self._holds(key, allowed)
        return np.flatnonzero(keep)

    def _holds(self, key: str, allowed: Sequence[object]) -> NDArray[np.bool_]:
        column = self.column(key)
        values = column.array()
        if column.words is None:
            ends = [as_float(end) for end in allowed if isinstance(end, (int, float))]
            if len(allowed) != 2 or len(ends) != 2:
                raise BadInput.one(f"{key} needs [low, high], found {json.dumps(allowed)}", key="where")
            return np.asarray((values >= ends[0]) & (values <= ends[1]))
        places = [index for index, word in enumerate(column.words) if any(_same(word, wish) for wish in allowed)]
        return np.isin(values, places)

    def order(self, places: Places, sort: str) -> Places:
        """Sort `places` by a column, descending if it starts with `-`; trials without a value come last."""
        descending, key = sort.startswith("-"), sort.removeprefix("-")
        column = self.column(key)
        values = column.array()[places]
        if column.words is not None:
            rank = np.empty(len(column.words) + 1)
            for position, index in enumerate(sorted(range(len(column.words)), key=lambda i: str(column.words[i]))):  # type: ignore[index]
                rank[index] = position
            values = np.where(np.isnan(values), np.nan, rank[np.nan_to_num(values).astype(int)])
        number = self.number()[places]
        ordered: Places = places[np.lexsort((number, -values if descending else values, np.isnan(values)))]
        return ordered


def _took(numbers: Sequence[int], runs: RunColumns) -> list[float]:
    spans: dict[int, list[tuple[float, float]]] = {}
    for number, start, seconds in zip(runs.trial, runs.started_at, runs.seconds, strict=True):
        spans.setdefault(number, []).append((start, max(seconds, 0.0)))  # negative if the clock was set back
    return [together(spans[number]) if number in spans else float("nan") for number in numbers]


def _number(value: Value | None) -> float:
    return float(value) if isinstance(value, (float, int)) and not isinstance(value, bool) else float("nan")


def _same(word: Value, wish: object) -> bool:
    return bool(word == wish) and isinstance(word, bool) == isinstance(wish, bool)


def _conditions(where: str | None) -> dict[str, list[object]]:
    if not where:
        return {}
    try:
        conditions = json.loads(where)
    except (ValueError, RecursionError) as exc:
        raise BadInput.one(f"invalid JSON: {exc}", key="where") from exc
    if not isinstance(conditions, dict) or not all(isinstance(allowed, list) for allowed in conditions.values()):
        raise BadInput.one('must be an object of lists, such as {"metrics.loss": [0, 1]}', key="where")
    return conditions
