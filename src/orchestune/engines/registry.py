"""Engines by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestune.domain.metrics import Metric
from orchestune.domain.space import Space
from orchestune.engines.distinct import DistinctEngine, Proposer
from orchestune.engines.grid import GridEngine
from orchestune.engines.uniform import UniformProposer
from orchestune.errors import BadInput, Problem
from orchestune.ports.engine import Engine

NAMES: tuple[str, ...] = ("auto", "random", "grid", "sobol", "halton", "tpe")

_AUTO = "tpe"
_LEAST: Mapping[str, Mapping[str, int]] = {"tpe": {"startup": 1, "candidates": 1, "history": 50}}
_NONE: Mapping[str, Any] = MappingProxyType({})


def create(
    name: str,
    space: Space,
    metrics: Sequence[Metric],
    *,
    seed: int,
    budget: int,
    options: Mapping[str, Any] = _NONE,
    in_process: bool = False,
) -> Engine:
    """A new engine with an empty history; `auto` is what suits most experiments, at present TPE.

    Options of `tpe`: `startup` (random configurations before the model is asked), `candidates` (draws that are
    compared for one suggestion), `history` (observations that the model is made of). `budget` changes nothing yet: an
    answer must not depend on it, since it may be extended. An engine that learns lives in a process of its own (see
    `engines.process`) unless `in_process`. BadInput: an unknown name, an unknown option or a value that it cannot have,
    a space that the engine cannot walk.
    """
    del budget
    check(name, options)
    name = _AUTO if name == "auto" else name
    if name == "grid":
        return GridEngine(space)
    if name == "random":
        return DistinctEngine(space, UniformProposer(space))
    if name == "tpe" and not in_process:
        from orchestune.engines.process import ProcessEngine  # here: the command line needs no subprocess module

        return ProcessEngine(name, space, metrics, seed=seed, options=options)
    return DistinctEngine(space, _proposer(name, space, metrics, seed, options))


def check(name: str, options: Mapping[str, Any]) -> None:
    """BadInput: an unknown name, an unknown option or a value that it cannot have. Quick; makes nothing."""
    if name not in NAMES:
        raise BadInput([Problem(f"'{name}' is no engine", key="engine", hint=_advice(name, NAMES))])
    problems = list(_option_problems(_AUTO if name == "auto" else name, options))
    if problems:
        raise BadInput(problems)


def _proposer(name: str, space: Space, metrics: Sequence[Metric], seed: int, options: Mapping[str, Any]) -> Proposer:
    if name == "tpe":
        from orchestune.engines.tpe import TpeProposer  # here: Optuna and NumPy take a third of a second

        return TpeProposer(space, metrics, **options)
    from orchestune.engines.quasi import QuasiRandomProposer  # here: SciPy takes a second

    return QuasiRandomProposer(name, space, seed)


def _option_problems(name: str, options: Mapping[str, Any]) -> Iterable[Problem]:
    least = _LEAST.get(name, {})
    for option, value in options.items():
        key = f"engine.{option}"
        if option not in least:
            allowed = _advice(option, least) if least else f"'{name}' has no options"
            yield Problem(f"is no option of the engine '{name}'", key=key, hint=allowed)
        elif type(value) is not int or value < least[option]:
            yield Problem(f"{value!r} is no whole number of at least {least[option]}", key=key)


def _advice(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"did you mean '{close[0]}'?" if close else f"allowed are {', '.join(allowed)}"
