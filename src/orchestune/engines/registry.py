"""Engines by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestune.domain.engines import LEARNERS, MOST, NAMES, OPTIONS
from orchestune.domain.metrics import Metric, aimed, objectives
from orchestune.domain.space import Space
from orchestune.domain.words import did_you_mean
from orchestune.engines import feasible, learners
from orchestune.engines.distinct import DistinctEngine
from orchestune.engines.grid import GridEngine
from orchestune.engines.uniform import UniformProposer
from orchestune.errors import BadInput, Problem
from orchestune.ports.engine import Engine

_NONE: Mapping[str, Any] = MappingProxyType({})
_SINGLE = ("cma", "swarm")
"""those that optimize one metric"""


def create(
    name: str,
    space: Space,
    metrics: Sequence[Metric],
    *,
    seed: int,
    options: Mapping[str, Any] = _NONE,
    in_process: bool = False,
) -> Engine:
    """A new engine with an empty history.

    | name | what | when |
    |---|---|---|
    | `auto` | Gaussian processes and TPE, which take turns (`engines.portfolio`) | nearly always |
    | `gp` | a Gaussian process with expected improvement (`engines.gp`) | few numbers, a smooth loss |
    | `tpe` | tree-structured Parzen estimators (`engines.tpe`) | very many parameters or trials |
    | `random` | uniform draws | as a yardstick |
    | `cma` | CMA-ES with margin (`engines.cma`) | numbers that depend on each other, several hundred trials |
    | `evolution` | differential evolution, NSGA-II (`engines.evolution`) | thousands of cheap trials |
    | `swarm` | particle swarm (`engines.swarm`) | thousands of cheap trials of numbers |
    | `latin` | Latin hypercubes (`engines.latin`) | a fixed number of points, even along each parameter |
    | `sobol`, `halton` | points that fill the space evenly (`engines.quasi`) | to look at a whole space |
    | `grid` | every configuration (`engines.grid`) | small finite spaces |

    Options: `startup` (results before a model is asked), `history` (observations that a model is made of) and, of
    `tpe` and `auto`, `candidates` (draws that TPE compares for one suggestion); `population`, `particles` and `size` of
    those that have members or blocks. No answer depends on the budget, which may be extended. An engine that learns
    lives in a process of its own (see `engines.process`) unless `in_process`. BadInput: an unknown name, an unknown
    option or a value that it cannot have, a space that the engine cannot walk, more objectives than it looks at.
    """
    check(name, options, space, metrics)
    metrics = aimed(metrics)
    if name == "grid":
        return GridEngine(space)
    if name == "random":
        return DistinctEngine(space, UniformProposer(space))
    if name in LEARNERS:
        if in_process:
            return DistinctEngine(space, learners.proposer(name, space, metrics, seed, options))
        from orchestune.engines.process import ProcessEngine  # here: the command line needs no subprocess module

        return ProcessEngine(name, space, metrics, seed=seed, options=options)
    if name == "latin":
        from orchestune.engines.latin import LatinProposer  # here: SciPy takes a second

        return DistinctEngine(space, LatinProposer(space, seed, **options))
    from orchestune.engines.quasi import QuasiRandomProposer  # here: SciPy takes a second

    return DistinctEngine(space, QuasiRandomProposer(name, space, seed))


def check(name: str, options: Mapping[str, Any], space: Space, metrics: Sequence[Metric]) -> None:
    """BadInput: an unknown name or option, a value that it cannot have, a space in which nothing is allowed, several
    objectives for an engine that looks at one.

    Quick; makes nothing.
    """
    if name not in NAMES:
        raise BadInput([Problem(f"'{name}' is no engine", key="engine", hint=_advice(name, NAMES))])
    problems = [*_option_problems(name, options), *_objective_problems(name, metrics)]
    if problems:
        raise BadInput(problems)
    feasible.check(space)


def _option_problems(name: str, options: Mapping[str, Any]) -> Iterable[Problem]:
    least = OPTIONS.get(name, {})
    for option, value in options.items():
        key = f"engine.{option}"
        if option not in least:
            allowed = _advice(option, least) if least else f"'{name}' has no options"
            yield Problem(f"is no option of the engine '{name}'", key=key, hint=allowed)
        elif type(value) is not int or value < least[option]:
            yield Problem(f"{value!r} is no whole number of at least {least[option]}", key=key)
        elif value > MOST[option]:
            yield Problem(f"must be at most {MOST[option]:,}, found {value:,}", key=key)


def _objective_problems(name: str, metrics: Sequence[Metric]) -> Iterable[Problem]:
    wanted = [metric.name for metric in objectives(metrics)]
    if name in _SINGLE and len(wanted) > 1:
        yield Problem(
            f"'{name}' optimizes one metric, and {len(wanted)} have a goal: {', '.join(wanted)}",
            key="engine",
            hint="auto, gp, tpe and evolution optimize several; or give all but one a constraint and no goal",
        )


def _advice(word: str, allowed: Iterable[str]) -> str:
    return did_you_mean(word, allowed) or f"allowed are {', '.join(allowed)}"
