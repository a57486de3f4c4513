"""The trials of an experiment as columns of numbers, kept in memory: what sorts, filters and draws 100,000 of them."""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestune.domain.metrics import Metric
from orchestune.domain.states import TrialState
from orchestune.errors import BadInput
from orchestune.store import experiments
from orchestune.store import trials as rows
from orchestune.store.database import Store
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

Finished = tuple[int, str, str, int | None, float, float | None, float | None]
"""number, state, parameters (JSON), place in the history, when it was created, started and finished"""
STATES = tuple(state.value for state in TrialState)
_CODES = {state: code for code, state in enumerate(STATES)}
_PAGE = 10_000
_KEPT = 8
"""experiments whose columns stay in memory"""


@dataclass
class Column:
    """Values of one parameter or metric; NaN where a trial has none. Words are kept as places in `words`."""

    values: list[Numbers] = field(default_factory=list)
    words: list[Any] | None = None
    """None for numbers"""

    def codes(self, found: Sequence[Any]) -> Numbers:
        """The numbers that stand for values; None for a trial without one."""
        if self.words is None:
            return np.array([_number(value) for value in found], float)
        known = {(type(word), word): float(place) for place, word in enumerate(self.words)}
        known[type(None), None] = float("nan")
        for value in found:
            if (type(value), value) not in known:
                known[type(value), value] = float(len(self.words))
                self.words.append(value)
        return np.array([known[type(value), value] for value in found], float)

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
        self.plain = {name: Column() for name in ("number", "state", "created_at", "started_at", "finished_at")}
        self.length = 0

    def add(self, found: Sequence[Finished], measured: Sequence[tuple[int, str, float]]) -> None:
        """Append rows of trials, and their (trial, name, value)."""
        numbers, states, texts, _, *times = zip(*found, strict=True) if found else ((),) * 7
        codes = [float(_CODES[state]) for state in states]
        for column, values in zip(self.plain.values(), (numbers, codes, *times), strict=True):
            column.values.append(np.array(values, float))
        configurations = json.loads(f"[{','.join(texts)}]")
        for configuration in configurations:
            for name in configuration.keys() - self.parameters.keys():  # of a space that was changed since
                words: list[Any] | None = None if _number(configuration[name]) == configuration[name] else []
                self.parameters[name] = Column([np.full(self.length, np.nan)], words)
        for name, column in self.parameters.items():
            column.values.append(column.codes([configuration.get(name) for configuration in configurations]))
        place = {number: index for index, number in enumerate(numbers)}
        named: dict[str, Numbers] = {name: np.full(len(numbers), np.nan) for name in self.metrics}
        for number, name, value in measured:
            if name not in named:
                self.metrics[name] = Column([np.full(self.length, np.nan)])
                named[name] = np.full(len(numbers), np.nan)
            named[name][place[number]] = value
        for name, column in self.metrics.items():
            column.values.append(named[name])
        self.length += len(numbers)

    def with_open(self, found: Sequence[Finished], measured: Sequence[tuple[int, str, float]]) -> Columns:
        """A view to which trials that are not over are added; this one stays as it is."""
        view = Columns.__new__(Columns)
        view.told, view.length = self.told, self.length
        for kind in ("parameters", "metrics", "plain"):
            mine: Mapping[str, Column] = getattr(self, kind)
            setattr(view, kind, {name: Column([column.array()], column.words) for name, column in mine.items()})
        view.add(found, measured)
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
        """How long each took."""
        result: Numbers = self.plain["finished_at"].array() - self.plain["started_at"].array()
        return result

    def column(self, key: str) -> Column:
        """By its name in a query: `number`, `seconds`, `metrics.loss`, `parameters.alpha`. BadInput for any other."""
        if key in self.plain:
            return self.plain[key]
        if key == "seconds":
            return Column([self.seconds()])
        kind, _, name = key.partition(".")
        found = {"metrics": self.metrics, "parameters": self.parameters}.get(kind, {}).get(name)
        if found is None:
            known = [*self.plain, "seconds", *(f"metrics.{n}" for n in self.metrics)]
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

    def _holds(self, key: str, allowed: list[Any]) -> NDArray[np.bool_]:
        column = self.column(key)
        values = column.array()
        if column.words is None:
            if len(allowed) != 2 or not all(isinstance(end, (int, float)) for end in allowed):
                raise BadInput.one(f"{key} takes [low, high], found {json.dumps(allowed)}", key="where")
            return np.asarray((values >= _bound(allowed[0])) & (values <= _bound(allowed[1])))
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


def _number(value: Any) -> float:
    return float(value) if type(value) in (float, int) else float("nan")


def _bound(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # whole numbers have no largest one
        return math.inf if value > 0 else -math.inf


def _same(word: Any, wish: Any) -> bool:
    return bool(word == wish) and isinstance(word, bool) == isinstance(wish, bool)


def _conditions(where: str | None) -> dict[str, list[Any]]:
    if not where:
        return {}
    try:
        found = json.loads(where)
    except (ValueError, RecursionError) as exc:
        raise BadInput.one(f"is no JSON: {exc}", key="where") from exc
    if not isinstance(found, dict) or not all(isinstance(value, list) for value in found.values()):
        raise BadInput.one('is no object of lists, such as {"metrics.loss": [0, 1]}', key="where")
    return found


class Shelf:
    """The columns of the experiments that somebody looks at, read on from where they were. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._kept: OrderedDict[str, tuple[Columns, Columns, tuple[int, int]]] = OrderedDict()

    def columns(self, store: Store, ref: str) -> tuple[ExperimentRow, Columns]:
        """The experiment and its trials."""
        with store.reading() as session:
            row = experiments.find(session, ref)
            with self._lock:
                turn = self._turns.setdefault(row.id, threading.Lock())
            with turn:
                return row, self._columns(session, row)

    def _columns(self, session: Session, row: ExperimentRow) -> Columns:
        with self._lock:
            kept = self._kept.get(row.id)
        version = row.event_seq, row.revision
        if kept is not None and kept[2] == version:
            return kept[1]
        done = kept[0] if kept is not None and kept[2][1] == row.revision else Columns(row)
        while found := rows.finished_after(session, row.id, done.told, _PAGE):
            last = found[-1][3]
            done.add(found, rows.values_between(session, row.id, done.told, last))
            done.told = last
        unfinished = rows.without_history(session, row.id)
        view = done.with_open(unfinished, rows.values_of(session, row.id, [trial[0] for trial in unfinished]))
        with self._lock:
            self._kept[row.id] = done, view, version
            self._kept.move_to_end(row.id)
            while len(self._kept) > _KEPT:
                gone, _ = self._kept.popitem(last=False)
                self._turns.pop(gone, None)
        return view
