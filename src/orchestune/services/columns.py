"""The trials of an experiment as columns of numbers, kept in memory: what sorts, filters and draws 100,000 of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestune.domain.floats import as_float
from orchestune.domain.metrics import Metric
from orchestune.domain.parameters import Value
from orchestune.domain.space import Configuration
from orchestune.domain.spans import together
from orchestune.domain.states import TrialState
from orchestune.errors import BadInput
from orchestune.store.experiments import ExperimentRow
from orchestune.store.hot import RunColumns, TrialColumns, ValueColumns

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

STATES = tuple(state.value for state in TrialState)
_CODES = {state: code for code, state in enumerate(STATES)}
_NUMBERS = {float, int, type(None)}


@dataclass
class Column:
    """Values of one parameter or metric; NaN where a trial has none. Words are kept as places in `words`."""

    values: list[Numbers] = field(default_factory=list)
    words: list[Value] | None = None
    """None for numbers"""

    def codes(self, values: Sequence[Value | None]) -> Numbers:
        """The numbers that stand for values; None for a trial without one."""
        if self.words is None:
            plain = set(map(type, values)) <= _NUMBERS
            return np.array(values if plain else [_number(value) for value in values], float)
        keys = list(zip(map(type, values), values, strict=True))  # True is 1, but another word
        known: dict[tuple[type, Value | None], float] = {
            (type(word), word): float(place) for place, word in enumerate(self.words)
        }
        known[type(None), None] = float("nan")
        for kind, word in dict.fromkeys(keys):
            if word is not None and (kind, word) not in known:
                known[kind, word] = float(len(self.words))
                self.words.append(word)
        return np.array(list(map(known.__getitem__, keys)), float)

    def array(self) -> Numbers:
        """All of them."""
        if len(self.values) != 1:
            self.values = [np.concatenate(self.values) if self.values else np.empty(0)]
        return self.values[0]


class Columns:
    """The finished trials of an experiment in the order in which they finished, and then the others by number."""

    def __init__(self, row: ExperimentRow) -> None:
        self.told = 0
        self.parameters = {
            parameter.name: Column(words=None if parameter.numeric else list(parameter.choices))
            for parameter in row.specification.space.parameters
        }
        self.metrics: dict[str, Column] = {metric.name: Column() for metric in row.specification.metrics}
        plain = ("number", "state", "created_at", "started_at", "finished_at", "seconds")
        self.plain = {name: Column() for name in plain}
        self.length = 0

    def add(self, trials: TrialColumns, measured: ValueColumns, runs: RunColumns) -> None:
        """Append trials, what they measured, and when their attempts ran."""
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
        for name in sorted(set().union(*configurations) - self.parameters.keys()):  # of a space that was changed since
            value = next(configuration[name] for configuration in configurations if name in configuration)
            self.parameters[name] = Column([np.full(self.length, np.nan)], None if _number(value) == value else [])
        for name, column in self.parameters.items():
            column.values.append(column.codes([configuration.get(name) for configuration in configurations]))
        self._add_metrics(numbers, measured)
        self.length += len(numbers)

    def _add_metrics(self, numbers: Sequence[int], measured: ValueColumns) -> None:
        for name in dict.fromkeys(measured.name):
            self.metrics.setdefault(name, Column([np.full(self.length, np.nan)]))
        place = {number: index for index, number in enumerate(numbers)}
        line = {name: index for index, name in enumerate(self.metrics)}
        table = np.full((len(line), len(numbers)), np.nan)
        lines, places = map(line.__getitem__, measured.name), map(place.__getitem__, measured.trial)
        table[list(lines), list(places)] = measured.value
        for column, values in zip(self.metrics.values(), table, strict=True):
            column.values.append(values)

    def with_open(self, trials: TrialColumns, measured: ValueColumns, runs: RunColumns) -> Columns:
        """A view to which trials that are not over are added; this one stays as it is."""
        view = Columns.__new__(Columns)
        view.told, view.length = self.told, self.length
        for kind in ("parameters", "metrics", "plain"):
            mine: Mapping[str, Column] = getattr(self, kind)
            setattr(view, kind, {name: Column([column.array()], column.words) for name, column in mine.items()})
        view.add(trials, measured, runs)
        return view

    def number(self) -> Numbers:
        """The trials' numbers."""
        return self.plain["number"].array()

    def state(self) -> Numbers:
        """The trials' states, as places in `STATES`."""
        return self.plain["state"].array()

    def good(self, metrics: Sequence[Metric]) -> NDArray[np.bool_]:
        """Which completed and keep every limit: one of these alone may be the best."""
        kept: NDArray[np.bool_] = self.state() == STATES.index(TrialState.COMPLETED.value)
        for metric in metrics:
            if metric.limit is not None:
                values, bound = self.metrics[metric.name].array(), metric.limit.bound
                kept &= values >= bound if metric.limit.least else values <= bound
        return kept

    def seconds(self) -> Numbers:
        """For how long attempts of each ran, those side by side counted once; not known before it is over."""
        return self.plain["seconds"].array()

    def column(self, key: str) -> Column:
        """By its name in a query: `number`, `seconds`, `metrics.loss`, `parameters.alpha`. BadInput for any other."""
        if key in self.plain:
            return self.plain[key]
        kind, _, name = key.partition(".")
        found = {"metrics": self.metrics, "parameters": self.parameters}.get(kind, {}).get(name)
        if found is None:
            known = [*self.plain, *(f"metrics.{n}" for n in self.metrics)]
            known += [f"parameters.{n}" for n in self.parameters]
            raise BadInput.one(f"there is no column '{key}'", hint=f"there are {', '.join(known[:30])}")
        return found

    def matching(self, where: str | None, state: str | None = None) -> Places:
        """Places of the trials that fit. `where` is a JSON object: column → [low, high] or a list of words."""
        keep = np.ones(self.length, bool)
        if state:
            wanted = [_CODES[word] for word in state.split(",") if word in _CODES]
            keep &= np.isin(self.state(), wanted)
        for key, allowed in _conditions(where).items():
            keep &= self._holds(key, allowed)
        return np.flatnonzero(keep)

    def _holds(self, key: str, allowed: Sequence[object]) -> NDArray[np.bool_]:
        column = self.column(key)
        values = column.array()
        if column.words is None:
            ends = [as_float(end) for end in allowed if isinstance(end, (int, float))]
            if len(allowed) != 2 or len(ends) != 2:
                raise BadInput.one(f"{key} takes [low, high], found {json.dumps(allowed)}", key="where")
            return np.asarray((values >= ends[0]) & (values <= ends[1]))
        places = [index for index, word in enumerate(column.words) if any(_same(word, wish) for wish in allowed)]
        return np.isin(values, places)

    def order(self, places: Places, sort: str) -> Places:
        """`places` by a column, downwards where it begins with `-`; trials without a value come last."""
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
        spans.setdefault(number, []).append((start, max(seconds, 0.0)))  # below zero if the clock went back meanwhile
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
        raise BadInput.one(f"is no JSON: {exc}", key="where") from exc
    if not isinstance(conditions, dict) or not all(isinstance(allowed, list) for allowed in conditions.values()):
        raise BadInput.one('is no object of lists, such as {"metrics.loss": [0, 1]}', key="where")
    return conditions
