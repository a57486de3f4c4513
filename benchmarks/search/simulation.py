"""One search in simulated time: workers that take different times, trials that fail, values with noise.

Everything that chance decides follows from the problem's name, the seed and the trial's number, so that all searchers
meet the same workers and the same noise.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from benchmarks.search.problem import Problem
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation

_SPREAD = 0.5
"""standard deviation of the logarithm of a trial's duration"""
MARK = 20
"""results from one look at the best to the next"""
_FAILS_AFTER = 0.3
"""of its duration"""


class Searcher(Protocol):
    """A searcher in the comparison. It has the problem's space, never its loss."""

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        """Return the configuration of trial `number`, given the running ones."""

    def tell(self, observation: Observation) -> None:
        """A trial has ended."""

    def best(self) -> int | None:
        """The trial that it would have its user take where values are noisy; None: the one with the best value."""


@dataclass
class Trace:
    """The results of a search."""

    best: list[float] = field(default_factory=list)
    """after each result: the loss without noise of the best configuration; infinite without one.

    The best trial is the one with the best value; at the marks, if results report their noise, the searcher's choice.
    """
    seconds: list[float] = field(default_factory=list)
    """of each ask"""
    repeated: int = 0
    """configurations that were asked for twice"""


def simulate(problem: Problem, searcher: Searcher, *, seed: int, budget: int, workers: int) -> Trace:
    """Run `budget` trials; a free worker asks at once and knows what had ended by then."""
    trace, running, pending = Trace(), list[tuple[float, int]](), dict[int, dict[str, Value]]()
    configurations, losses, best_loss, leader, now = set[str](), dict[int, float](), math.inf, math.inf, 0.0
    workers = min(workers, budget)
    for number in range(1, budget + workers + 1):
        if len(running) == workers or number > budget:
            now, ended = heapq.heappop(running)
            observation, clean = _outcome(problem, ended, pending.pop(ended), seed)
            searcher.tell(observation)
            losses[ended] = clean
            value = observation.metrics.get("loss", math.inf)
            if value < leader:
                leader, best_loss = value, clean
            chosen = searcher.best() if problem.tells_noise and len(trace.best) % MARK == MARK - 1 else None
            trace.best.append(best_loss if chosen is None else losses[chosen])
        if number <= budget:
            began = time.perf_counter()
            configuration = searcher.ask(list(pending.values()), number)
            trace.seconds.append(time.perf_counter() - began)
            trace.repeated += repr(sorted(configuration.items())) in configurations
            configurations.add(repr(sorted(configuration.items())))
            pending[number] = configuration
            fails = problem.loss(configuration) is None
            length = math.exp(_chance(problem, seed, number).gauss(0, _SPREAD)) * (_FAILS_AFTER if fails else 1.0)
            heapq.heappush(running, (now + length, number))
    return trace


def _outcome(problem: Problem, number: int, configuration: dict[str, Value], seed: int) -> tuple[Observation, float]:
    clean = problem.loss(configuration)
    if clean is None:
        return Observation(number, configuration, TrialState.FAILED), math.inf
    value = clean + problem.noise * _chance(problem, seed, -number).gauss(0, 1)
    stddev = {"loss": problem.noise} if problem.tells_noise else {}
    return Observation(number, configuration, TrialState.COMPLETED, {"loss": value}, stddev), clean


def _chance(problem: Problem, seed: int, number: int) -> Random:
    return Random(f"{problem.name}/{seed}/{number}")
