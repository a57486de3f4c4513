"""The search without a server: ask for configurations, tell their results."""

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
_SEED_RANGE = 2**32


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try: `suggestion.parameters["optim.lr"]`, or `suggestion.parameters.lr`."""

    number: int
    parameters: Params = field(hash=False)
    """active parameters only, whose `when` holds"""
    source: str
    """the sampler that suggested it, such as `gp`, `tpe` or `sobol`"""
    _key: str = field(init=False, repr=False, compare=False)
    """key of the suggested parameters, which the caller may have modified since"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", key(self.parameters))

    def same(self, other: Suggestion) -> bool:
        """Return True if it is the same suggestion, even if its parameters were modified."""
        return (self.number, self._key, self.source) == (other.number, other._key, other.source)


@dataclass(frozen=True)
class Result:
    """A suggestion and its results."""

    number: int
    parameters: Params
    metrics: Mapping[str, float]
    stddev: Mapping[str, float] = field(default_factory=dict)
    expected: ReducedMetric | None = None
    """for noisy results: the model's expected value of the best one, with its standard deviation"""


class Optimizer:
    """Suggests configurations in this process, with the same engines as the server.

    `parameters`, `metrics`, `constraints` and `engine` have the format of these keys in an experiment file. At most
    `parallelism` suggestions may be open; they keep apart from each other. `warm_start` are earlier results to learn
    from: the path of a CSV, JSON or JSONL file, a DataFrame (such as `experiment.trials()`), or a list of dictionaries
    with the names of parameters and metrics; `notes` lists what could not be used. The same seed and the same results
    in the same order give the same suggestions. Thread-safe; a copy, also a pickled one, continues like the original.
    Raises BadInput with all problems of its arguments.

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
        prior = None if warm_start is None else read_warm_start(warm_start, request.space, request.metrics)
        observations = prior.observations if prior else ()
        self._start(request, _checked_seed(seed), _integer(parallelism, 1, "parallelism"), observations)
        idle = prior is not None and request.engine not in LEARNERS
        self.notes = (*(prior.notes if prior else ()), *([f"warm_start: {IDLE}"] if idle else []))
        """notes on unusable and missing parts of `warm_start`"""

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
        """Return the next configuration.

        It has a `number`, its active `parameters`, and a `source`, such as `gp`. Raises SpaceExhausted (of
        `orchestune.errors`) if all configurations were suggested or no further one was found, and Conflict if
        `parallelism` suggestions are open.

        >>> suggestion = optimizer.ask()
        >>> list(suggestion.parameters)
        ['lr', 'layers']
        >>> optimizer.tell(suggestion, {"loss": 0.5})
        """
        with self._lock:
            if len(self._open) >= self._parallelism:
                hint = "tell the result of one (None if it failed), or create the Optimizer with a larger parallelism"
                open_count = f"{plural(len(self._open), 'suggestion')} {'is' if len(self._open) == 1 else 'are'}"
                raise Conflict(f"{open_count} already open: parallelism is {self._parallelism}", hint)
            pending = [suggestion.parameters for suggestion in self._open.values()]
            number = self._asked + 1
            with self._thread_limit():
                configuration = self._suggest(pending, number)
            self._asked = number
            self._open[number] = Suggestion(number, Params(configuration), self._engine.source)
            return Suggestion(number, Params(configuration), self._engine.source)

    def _learn(self, observations: Sequence[Observation]) -> None:
        with self._thread_limit():
            self._engine.tell(observations)

    def _thread_limit(self) -> AbstractContextManager[None]:
        return _one_thread() if self._request.engine in LEARNERS else nullcontext()

    def _suggest(self, pending: Sequence[Configuration], number: int) -> Configuration:
        while True:
            try:
                return self._engine.ask(pending, number, ask_seed(self._seed, number))
            except StillLooking:
                continue
            except Exhausted as exc:
                raise SpaceExhausted(f"no configuration to suggest: {exc}") from exc

    def tell(
        self,
        suggestion: Suggestion,
        metrics: Mapping[str, float] | None,
        *,
        stddev: Mapping[str, float] | None = None,
    ) -> None:
        """Record the result of an open suggestion: its metrics, declared and others; None if it failed.

        A declared metric that is not finite counts as a failure. `stddev` are standard deviations of metrics, if known.
        Raises BadInput if a declared metric is missing or not a number, or a standard deviation has no metric, and
        Conflict if the suggestion is not open or belongs to another Optimizer.

        >>> optimizer.tell(optimizer.ask(), {"loss": 0.4, "accuracy": 0.9}, stddev={"loss": 0.02})
        >>> optimizer.tell(optimizer.ask(), None)
        """
        if not isinstance(suggestion, Suggestion):
            raise BadInput.one(f"expected a suggestion of ask(), got {suggestion!r}", "suggestion")
        with self._lock:
            open_suggestion = self._open.get(suggestion.number)
            if open_suggestion is None or not open_suggestion.same(suggestion):
                hint = "tell each suggestion once, to the Optimizer that made it"
                raise Conflict(f"suggestion {suggestion.number} is not open", hint)
            metrics = None if metrics is None else _by_name(metrics, "metrics")
            observation = self._observation(open_suggestion, metrics, _by_name(stddev or {}, "stddev"))
            del self._open[open_suggestion.number]
            self._told.append(observation)
            self._learn([observation])

    def best(self) -> Result | None:
        """Return the best result so far, or None. With several metrics, it is the first of `front`.

        A result has `number`, `parameters`, `metrics`, `stddev` and `expected`. If results have `stddev`, then from ten
        results on it is the one with the best expected value of a model, `expected`, because the best of noisy values
        is usually a lucky one. This takes up to a second.

        >>> list(optimizer.best().metrics)
        ['loss']
        """
        return next(iter(self.front()), None)

    def front(self) -> list[Result]:
        """Return the results that no other result dominates, oldest first; of equal results, the first one.

        A result dominates another if it is at least as good in every metric and better in one. With one metric, there
        is at most one. If results have `stddev`, expected values are compared from ten results on, as in `best`.

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
                estimate = best_estimate(self._request.space, metrics, list(results.values()))
            if estimate is not None:
                numbers, expected = [estimate.number], ReducedMetric(estimate.value, estimate.stddev)
        elif len(optimized) > 1 and numbers and any(o.stddev for o in results.values()):
            from orchestune.engines.models.estimate import expected_front

            with _one_thread():
                numbers = expected_front(self._request.space, metrics, list(results.values())) or numbers
        selected = [results[number] for number in numbers]
        return [Result(o.number, Params(o.parameters), dict(o.metrics), dict(o.stddev), expected) for o in selected]

    def to_json(self) -> dict[str, Any]:
        """Return the complete state as a JSON document, including open suggestions.

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
                "told": [_to_json(observation) for observation in self._told],
                **({"warm": [_to_json(observation) for observation in self._warm]} if self._warm else {}),
                **({"notes": list(self.notes)} if self.notes else {}),
            }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Optimizer:
        """Restore an Optimizer from `to_json`. Raises BadInput if the document is damaged or of a later version.

        >>> again = orchestune.Optimizer.from_json(optimizer.to_json())
        >>> again.ask().parameters == optimizer.ask().parameters
        True
        """
        if not isinstance(document, Mapping):
            raise BadInput.one(
                f"must be a mapping, got {type(document).__name__}", "document", "parse text with json.loads"
            )
        if document.get("format") != _FORMAT:
            raise BadInput.one(f"found {document.get('format')!r}, expected {_FORMAT}", "format")
        try:
            return cls._restored(document)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
            raise BadInput.one(
                f"damaged, or not the state of an Optimizer: {type(exc).__name__}: {exc}", "document"
            ) from exc

    @classmethod
    def _restored(cls, document: Mapping[str, Any]) -> Optimizer:
        self = cls.__new__(cls)
        self.notes = tuple(document.get("notes", ()))
        warm = [_read(item) for item in document.get("warm", ())]
        request = SearchRequest.from_json(document)
        if not request.space.parameters:
            raise BadInput.one("found none, expected at least one", "parameters")
        seed, parallelism = _integer(document["seed"], 0, "seed"), _integer(document["parallelism"], 1, "parallelism")
        last = max((number for number, *_ in (*document["open"], *document["told"])), default=0)
        asked = _integer(document["asked"], last, "asked")
        self._start(request, seed, parallelism, warm)
        self._asked = asked
        self._open = {number: Suggestion(number, Params(values), source) for number, values, source in document["open"]}
        self._told = [_read(item) for item in document["told"]]
        self._learn(self._told)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle and copy: `to_json`, from which another process continues in the same way."""
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
            raise BadInput.one("has no value (tell None instead of metrics if the trial failed)", missing[0])
        values = {name: _number(value, name) for name, value in metrics.items()}
        if not all(math.isfinite(values[metric.name]) for metric in declared):
            return Observation(number, parameters, TrialState.FAILED)
        deviations = {name: _number(value, f"stddev.{name}") for name, value in stddev.items()}
        if unknown := sorted(deviations.keys() - values.keys()):
            hint = f"metrics: {', '.join(values)}"
            raise BadInput.one("standard deviation without a metric", f"stddev.{unknown[0]}", hint)
        if negative := [name for name, value in deviations.items() if value < 0]:
            raise BadInput.one(f"must not be negative, got {deviations[negative[0]]:g}", f"stddev.{negative[0]}")
        deviations = {name: value for name, value in deviations.items() if math.isfinite(value)}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        return Observation(number, parameters, TrialState.COMPLETED, finite, deviations)


def _one_thread() -> AbstractContextManager[None]:
    from orchestune.engines.process.threads import ONE_THREAD  # here: SciPy takes a second

    return ONE_THREAD


def _by_name(values: Any, key: str) -> Mapping[str, float]:
    if not isinstance(values, Mapping):
        raise BadInput.one(f"must be given by name, such as {{'loss': 0.5}}, got {values!r}", key)
    return values


def _number(value: Any, name: str) -> float:
    try:
        return as_float(value)
    except (TypeError, ValueError):
        raise BadInput.one(f"must be a number, got {type(value).__name__}: {value!r}", name) from None


def _to_json(observation: Observation) -> list[Any]:
    o = observation
    return [o.number, dict(o.parameters), o.state.value, dict(o.metrics), dict(o.stddev)]


def _read(document: list[Any]) -> Observation:
    number, parameters, state, values, stddev = document
    return Observation(number, dict(parameters), TrialState(state), dict(values), dict(stddev))


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(_SEED_RANGE)
    return _integer(seed, 0, "seed")


def _integer(value: Any, least: int, name: str) -> int:
    """Return `value` as an int; NumPy integers are accepted."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise BadInput.one(f"{value!r} is not an integer of at least {least}", name)
    return number
