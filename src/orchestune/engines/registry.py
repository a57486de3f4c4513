"""Engines by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestune.domain.search.engines import (
    LEARNERS,
    MAX_HALTON_PARAMETERS,
    MAX_HYPERCUBE_NUMBERS,
    NAMES,
    OPTION_MAXIMUMS,
    OPTIONS,
)
from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Metric, aimed, objectives
from orchestune.domain.words import did_you_mean
from orchestune.engines import learners
from orchestune.engines.constraints import feasible
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.samplers.grid import GridEngine
from orchestune.engines.samplers.uniform import UniformProposer
from orchestune.errors import BadInput, Problem
from orchestune.ports.engine import Engine

_NONE: Mapping[str, Any] = MappingProxyType({})
_SINGLE = ("cma", "swarm")
"""engines limited to one objective"""


def create(
    name: str,
    space: Space,
    metrics: Sequence[Metric],
    *,
    seed: int,
    options: Mapping[str, Any] = _NONE,
    in_process: bool = False,
) -> Engine:
    """Return a new engine with an empty history.

    | name | method | use |
    |---|---|---|
    | `auto` | Gaussian processes and TPE, alternating (`engines.samplers.portfolio`) | nearly always |
    | `gp` | a Gaussian process with expected improvement (`engines.samplers.gp`) | few numbers, a smooth loss |
    | `tpe` | tree-structured Parzen estimators (`engines.tpe`) | very many parameters or trials |
    | `random` | uniform draws | as a baseline |
    | `cma` | CMA-ES with margin (`engines.cma`) | numbers that depend on each other, several hundred trials |
    | `evolution` | differential evolution, NSGA-II (`engines.evolution`) | thousands of cheap trials |
    | `swarm` | particle swarm (`engines.swarm`) | thousands of cheap trials of numbers |
    | `latin` | Latin hypercubes (`engines.latin`) | a fixed number of points, even along each parameter |
    | `sobol`, `halton` | points that fill the space evenly (`engines.quasi`) | to explore a whole space |
    | `grid` | every configuration (`engines.grid`) | small finite spaces |

    Options: `startup` (results before the model is used), `history` (observations in the model), for `tpe` and `auto`
    `candidates` (draws that TPE compares per suggestion); `population`, `particles` and `size` for engines with members
    or blocks. No suggestion depends on the budget, which may be extended. A learning engine runs in a child process
    (see `engines.process`) unless `in_process`. Raises BadInput for an unknown name or option, an option out of range,
    a space that the engine cannot enumerate, or more objectives than it supports.
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
        from orchestune.engines.process.parent import ProcessEngine  # imported here: the CLI does not need subprocess

        return ProcessEngine(name, space, metrics, seed=seed, options=options)
    if name == "latin":
        from orchestune.engines.samplers.latin import LatinProposer  # imported here: SciPy takes a second

        return DistinctEngine(space, LatinProposer(space, seed, **options))
    from orchestune.engines.samplers.quasi import QuasiRandomProposer  # imported here: SciPy takes a second

    return DistinctEngine(space, QuasiRandomProposer(name, space, seed))


def check(name: str, options: Mapping[str, Any], space: Space, metrics: Sequence[Metric]) -> None:
    """Raise BadInput for an engine, options or a space that cannot work together.

    That is an unknown name or option, an option out of range, a space without a feasible configuration, or several
    objectives for an engine that supports one. Fast; creates no engine.
    """
    if name not in NAMES:
        raise BadInput([Problem(f"unknown engine '{name}'", key="engine", hint=_advice(name, NAMES))])
    problems = [*_option_problems(name, options), *_objective_problems(name, metrics)]
    problems = problems or [*_size_problems(name, options, len(space.parameters))]
    if problems:
        raise BadInput(problems)
    feasible.check(space)


def _option_problems(name: str, options: Mapping[str, Any]) -> Iterable[Problem]:
    minimums = OPTIONS.get(name, {})
    for option, value in options.items():
        key = f"engine.{option}"
        if option not in minimums:
            allowed = _advice(option, minimums) if minimums else f"'{name}' has no options"
            yield Problem(f"unknown option of the engine '{name}'", key=key, hint=allowed)
        elif type(value) is not int or value < minimums[option]:
            yield Problem(f"{value!r} is not an integer of at least {minimums[option]}", key=key)
        elif value > OPTION_MAXIMUMS[option]:
            yield Problem(f"must be at most {OPTION_MAXIMUMS[option]:,} (found {value:,})", key=key)


def _size_problems(name: str, options: Mapping[str, Any], parameters: int) -> Iterable[Problem]:
    numbers = options.get("size", 0) * parameters
    if numbers > MAX_HYPERCUBE_NUMBERS:
        text = f"{options['size']:,} points of {parameters:,} parameters are {numbers:,} numbers"
        yield Problem(f"{text} (expected at most {MAX_HYPERCUBE_NUMBERS:,})", key="engine.size")
    if name == "halton" and parameters > MAX_HALTON_PARAMETERS:
        text = f"'halton' takes at most {MAX_HALTON_PARAMETERS} parameters (found {parameters:,})"
        yield Problem(text, key="engine", hint="use sobol")


def _objective_problems(name: str, metrics: Sequence[Metric]) -> Iterable[Problem]:
    names = [metric.name for metric in objectives(metrics)]
    if name in _SINGLE and len(names) > 1:
        yield Problem(
            f"'{name}' optimizes one metric, but {len(names)} have a goal: {', '.join(names)}",
            key="engine",
            hint="use auto, gp, tpe or evolution, or give all but one metric a constraint instead of a goal",
        )


def _advice(word: str, allowed: Iterable[str]) -> str:
    return did_you_mean(word, allowed) or f"allowed: {', '.join(allowed)}"
