"""The search without a server: ask for a configuration, tell what came of it."""

from __future__ import annotations

import math
import operator
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.engines import LEARNERS
from orchestune.domain.search.floats import as_float
from orchestune.domain.search.space import Configuration, key
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.search.warm_start import IDLE
from orchestune.domain.specification.metrics import Metric, ReducedMetric, objectives, pareto_front
from orchestune.domain.words import plural
from orchestune.engines.registry import create
from orchestune.errors import BadInput, Conflict, SpaceExhausted
from orchestune.ports.engine import Exhausted, StillLooking
from orchestune.sdk.parameters import Params
from orchestune.sdk.search_request import SearchRequest, read_request, read_warm_start

_FORMAT = 1
_LARGEST_SEED = 2**32


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try: `suggestion.parameters["optim.lr"]`, or `suggestion.parameters.lr`."""

    number: int
    parameters: Params = field(hash=False)
    """active ones only: those whose `when` holds"""
    source: str
    """what suggested it, such as `gp`, `tpe` or `sobol`"""
    _key: str = field(init=False, repr=False, compare=False)
    """of the parameters as they were suggested: whoever trains may have added to them, or taken from them"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", key(self.parameters))

    def same(self, other: Suggestion) -> bool:
        """Whether it is the same one, whatever was made of its parameters."""
        return (self.number, self._key, self.source) == (other.number, other._key, other.source)


@dataclass(frozen=True)
class Result:
    """A suggestion and what was told of it."""

    number: int
    parameters: Params
    metrics: Mapping[str, float]
    stddev: Mapping[str, float] = field(default_factory=dict)
    expected: ReducedMetric | None = None
    """of the best of noisy results: what a model expects of it, with its standard deviation"""


class Optimizer:
    """Suggests configurations; the code of the server, in this process.

    `parameters`, `metrics`, `constraints` and `engine` are what an experiment file has under these keys. At most
    `parallelism` suggestions may be open, which keep away from each other. `warm_start` is results from elsewhere to
    learn from: the path of a CSV, JSON or JSONL file, a DataFrame (such as `experiment.trials()`), or a list of
    dictionaries with the names of parameters and metrics; `notes` tells what of it could not be used. The same seed and
    the same results in the same order give the same suggestions. Safe to use from several threads; a copy, such as what
    another process gets by pickle, goes on as the original would have. BadInput tells everything that is wrong.

    >>> import orchestune
    >>> optimizer = orchestune.Optimizer({"lr": "1e-5..0.1 log", "layers": "2..8"}, {"loss": "minimize"})
    >>> for _ in range(3):
    ...     suggestion = optimizer.ask()
    ...     optimizer.tell(suggestion, {"loss": 10 * suggestion.parameters["lr"]})
    >>> optimizer.best().metrics["loss"] < 1
    True
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, Any],
        *,
        engine: str | Mapping[str, Any] = "auto",
        seed: int | None = None,
        parallelism: int = 1,
        constraints: str | Sequence[str] | None = None,
        warm_start: Any = None,
    ) -> None:
        request = read_request(parameters, metrics, engine, constraints)
        found = None if warm_start is None else read_warm_start(warm_start, request.space, request.metrics)
        warm = found.observations if found else ()
        self._start(request, _checked_seed(seed), _whole(parallelism, 1, "parallelism"), warm)
        idle = found is not None and request.engine not in LEARNERS
        self.notes = (*(found.notes if found else ()), *([f"warm_start: {IDLE}"] if idle else []))
        """what of `warm_start` could not be used, and what it does not say"""

    def _start(self, request: SearchRequest, seed: int, parallelism: int, warm: Sequence[Observation]) -> None:
        self._request, self._seed, self._parallelism = request, seed, parallelism
        self._engine = create(
            request.engine,
            request.space,
            request.metrics,
            seed=seed,
            options=request.options,
            in_process=True,
        )
        self._lock = threading.RLock()
        self._asked = 0
        self._open: dict[int, Suggestion] = {}
        self._told: list[Observation] = []
        self._warm = list(warm)
        self._learn(self._warm)

    def ask(self) -> Suggestion:
        """The next configuration.

        It has a `number`, its `parameters`, which are those whose `when` holds, and a `source`, such as `gp`.
        SpaceExhausted (of `orchestune.errors`) when all were suggested, or no other one was found; Conflict when
        `parallelism` are open.

        >>> suggestion = optimizer.ask()
        >>> list(suggestion.parameters)
        ['lr', 'layers']
        >>> optimizer.tell(suggestion, {"loss": 0.5})
        """
        with self._lock:
            if len(self._open) >= self._parallelism:
                hint = "tell the result of one, or None if it failed, or create the Optimizer with a larger parallelism"
                are = f"{plural(len(self._open), 'suggestion')} {'is' if len(self._open) == 1 else 'are'}"
                raise Conflict(f"{are} open already: parallelism is {self._parallelism}", hint)
            pending = [suggestion.parameters for suggestion in self._open.values()]
            number = self._asked + 1
            with self._at_work():
                found = self._found(pending, number)
            self._asked = number
            self._open[number] = Suggestion(number, Params(found), self._engine.source)
            return Suggestion(number, Params(found), self._engine.source)

    def _learn(self, observations: Sequence[Observation]) -> None:
        with self._at_work():
            self._engine.tell(observations)

    def _at_work(self) -> AbstractContextManager[None]:
        return _one_thread() if self._request.engine in LEARNERS else nullcontext()

    def _found(self, pending: Sequence[Configuration], number: int) -> Configuration:
        while True:
            try:
                return self._engine.ask(pending, number, ask_seed(self._seed, number))
            except StillLooking:
                continue
            except Exhausted as exc:
                raise SpaceExhausted(f"there is nothing to suggest: {exc}") from exc

    def tell(
        self,
        suggestion: Suggestion,
        metrics: Mapping[str, float] | None,
        *,
        stddev: Mapping[str, float] | None = None,
    ) -> None:
        """What came of an open suggestion: its metrics, others than the declared ones too; None if it failed.

        A metric that is not finite counts as a failure. `stddev` holds standard deviations of metrics, where known.
        BadInput: a declared metric is missing, or no number; a standard deviation is one of no metric. Conflict: the
        suggestion was told before, or is of another Optimizer.

        >>> optimizer.tell(optimizer.ask(), {"loss": 0.4, "accuracy": 0.9}, stddev={"loss": 0.02})
        >>> optimizer.tell(optimizer.ask(), None)
        """
        if not isinstance(suggestion, Suggestion):
            raise BadInput.one(f"must be what ask() gave, got {suggestion!r}", "suggestion")
        with self._lock:
            asked = self._open.get(suggestion.number)
            if asked is None or not asked.same(suggestion):
                hint = "tell each suggestion once, to the Optimizer that made it"
                raise Conflict(f"suggestion {suggestion.number} is not open", hint)
            metrics = None if metrics is None else _by_name(metrics, "metrics")
            observation = self._observation(asked, metrics, _by_name(stddev or {}, "stddev"))
            del self._open[asked.number]
            self._told.append(observation)
            self._learn([observation])

    def best(self) -> Result | None:
        """The best result so far, None before there is one. With several metrics: the first of `front`.

        A result has `number`, `parameters`, `metrics`, `stddev` and `expected`. Where `stddev` was told, it is from ten
        results on the one of which a model expects most, as `expected` says: the best of noisy values is the luckiest
        one as a rule. Takes up to a second then.

        >>> list(optimizer.best().metrics)
        ['loss']
        """
        return next(iter(self.front()), None)

    def front(self) -> list[Result]:
        """The results that no other one dominates, of equal ones the first; oldest first, with one metric at most one.

        A result dominates another one where it is at least as good in every metric, and better in one.

        Where `stddev` was told, from ten results on, by what a model expects of them, as in `best`.

        >>> optimizer.front() == [optimizer.best()]
        True
        """
        with self._lock:
            results = {o.number: o for o in self._told if o.state is TrialState.COMPLETED}
        metrics, optimized = self._request.metrics, objectives(self._request.metrics)
        numbers, expected = pareto_front(metrics, [(number, o.metrics) for number, o in results.items()]), None
        if len(optimized) == 1 and any(results[number].stddev.get(metrics[0].name) for number in numbers):
            from orchestune.engines.models.estimate import best_estimate  # here: SciPy takes a second

            with _one_thread():
                found = best_estimate(self._request.space, metrics, list(results.values()))
            if found is not None:
                numbers, expected = [found.number], ReducedMetric(found.value, found.stddev)
        elif len(optimized) > 1 and numbers and any(o.stddev for o in results.values()):
            from orchestune.engines.models.estimate import expected_front

            with _one_thread():
                numbers = expected_front(self._request.space, metrics, list(results.values())) or numbers
        chosen = [results[number] for number in numbers]
        return [Result(o.number, Params(o.parameters), dict(o.metrics), dict(o.stddev), expected) for o in chosen]

    def to_json(self) -> dict[str, Any]:
        """All of it as a JSON document, open suggestions included.

        >>> import json
        >>> text = json.dumps(optimizer.to_json())
        """
        with self._lock:
            return {
                "format": _FORMAT,
                **self._request.to_json(),
                "seed": self._seed,
                "parallelism": self._parallelism,
                "asked": self._asked,
                "open": [[s.number, dict(s.parameters), s.source] for s in self._open.values()],
                "told": [_written(observation) for observation in self._told],
                **({"warm": [_written(observation) for observation in self._warm]} if self._warm else {}),
                **({"notes": list(self.notes)} if self.notes else {}),
            }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Optimizer:
        """The inverse of `to_json`: goes on as the other one would have. BadInput: one of a later version, or damaged.

        >>> again = orchestune.Optimizer.from_json(optimizer.to_json())
        >>> again.ask().parameters == optimizer.ask().parameters
        True
        """
        if not isinstance(document, Mapping):
            raise BadInput.one(
                f"must be a mapping, got {type(document).__name__}", "document", "json.loads reads a text"
            )
        if document.get("format") != _FORMAT:
            raise BadInput.one(f"found {document.get('format')!r}, expected {_FORMAT}", "format")
        try:
            return cls._restored(document)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
            raise BadInput.one(
                f"is damaged, or no state of an Optimizer: {type(exc).__name__}: {exc}", "document"
            ) from exc

    @classmethod
    def _restored(cls, document: Mapping[str, Any]) -> Optimizer:
        self = cls.__new__(cls)
        self.notes = tuple(document.get("notes", ()))
        warm = [_read(item) for item in document.get("warm", ())]
        request = SearchRequest.from_json(document)
        if not request.space.parameters:
            raise BadInput.one("found none, expected at least one", "parameters")
        seed, parallelism = _whole(document["seed"], 0, "seed"), _whole(document["parallelism"], 1, "parallelism")
        last = max((number for number, *_ in (*document["open"], *document["told"])), default=0)
        asked = _whole(document["asked"], last, "asked")
        self._start(request, seed, parallelism, warm)
        self._asked = asked
        self._open = {number: Suggestion(number, Params(found), source) for number, found, source in document["open"]}
        self._told = [_read(item) for item in document["told"]]
        self._learn(self._told)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: what `to_json` tells, so that another process goes on as this one would have."""
        return {"document": self.to_json()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__ |= vars(Optimizer.from_json(state["document"]))

    def _observation(
        self, suggestion: Suggestion, metrics: Mapping[str, float] | None, stddev: Mapping[str, float]
    ) -> Observation:
        number, parameters = suggestion.number, suggestion.parameters
        if metrics is None:
            return Observation(number, parameters, TrialState.FAILED)
        declared: tuple[Metric, ...] = self._request.metrics
        missing = [metric.name for metric in declared if metric.name not in metrics]
        if missing:
            raise BadInput.one("has no value; tell None instead of metrics if the trial failed", missing[0])
        values = {name: _number(value, name) for name, value in metrics.items()}
        if not all(math.isfinite(values[metric.name]) for metric in declared):
            return Observation(number, parameters, TrialState.FAILED)
        spread = {name: _number(value, f"stddev.{name}") for name, value in stddev.items()}
        if unknown := sorted(spread.keys() - values.keys()):
            known = f"there are {', '.join(values)}"
            raise BadInput.one("is the standard deviation of no metric that was told", f"stddev.{unknown[0]}", known)
        if below := [name for name, value in spread.items() if value < 0]:
            raise BadInput.one(f"must not be negative, got {spread[below[0]]:g}", f"stddev.{below[0]}")
        spread = {name: value for name, value in spread.items() if math.isfinite(value)}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        return Observation(number, parameters, TrialState.COMPLETED, finite, spread)


def _one_thread() -> AbstractContextManager[None]:
    from orchestune.engines.process.threads import ONE_THREAD  # here: SciPy takes a second

    return ONE_THREAD


def _by_name(values: Any, what: str) -> Mapping[str, float]:
    if not isinstance(values, Mapping):
        raise BadInput.one(f"must be given by name, such as {{'loss': 0.5}}, got {values!r}", what)
    return values


def _number(value: Any, name: str) -> float:
    try:
        return as_float(value)
    except (TypeError, ValueError):
        raise BadInput.one(f"must be a number, got {type(value).__name__}: {value!r}", name) from None


def _written(observation: Observation) -> list[Any]:
    o = observation
    return [o.number, dict(o.parameters), o.state.value, dict(o.metrics), dict(o.stddev)]


def _read(document: list[Any]) -> Observation:
    number, found, state, values, stddev = document
    return Observation(number, dict(found), TrialState(state), dict(values), dict(stddev))


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(_LARGEST_SEED)
    return _whole(seed, 0, "seed")


def _whole(value: Any, least: int, name: str) -> int:
    """Also one of NumPy, such as a seed that was drawn."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or isinstance(value, bool):
        raise BadInput.one(f"{value!r} is no whole number of at least {least}", name)
    return found
