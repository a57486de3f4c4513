"""What an engine does now and why, in one line for people. Loads no engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestune.domain.metrics import Metric, objectives
from orchestune.engines.stall import ELSEWHERE
from orchestune.engines.start import STARTUP, needed

_FIXED = {
    "random": "uniform draws, which learn nothing",
    "sobol": "a Sobol sequence, which learns nothing",
    "halton": "a Halton sequence, which learns nothing",
    "latin": "Latin hypercubes, which learn nothing",
    "grid": "every configuration in order",
}

_WORDS = {
    "gp": "a Gaussian process",
    "cma": "CMA-ES",
    "evolution": "evolution, which begins with a Sobol sequence,",
    "swarm": "a particle swarm, which begins with a Sobol sequence,",
}


def doing(
    name: str,
    metrics: Sequence[Metric],
    options: Mapping[str, Any],
    results: int,
    running: int = 0,
    sources: Collection[str] = (),
) -> str:
    """The line for an engine that knows so many results with a value while so many trials are on their way.

    `sources` are those of its last suggestions.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in ("evolution", "swarm"):
        return f"{_WORDS[name]} on {results} results"
    startup = int(options.get("startup", STARTUP))
    wanted = startup if name == "cma" else needed(startup, running)
    if results < wanted:
        start = "random draws" if name == "tpe" else "a Sobol sequence"
        return f"{start}, until {wanted} results are known (now {results})"
    known = f"{results} results"
    if name == "tpe":
        return f"TPE on {known}"
    if ELSEWHERE in sources:
        known += ", every fourth time elsewhere, since nothing better was found for a quarter of them"
    if name in _WORDS:
        return f"{_WORDS[name]} on {known}"
    several = len(objectives(metrics)) > 1
    aim = ", towards one part of the front after the other" if several else ""
    return f"a Gaussian process and TPE in turns on {known}{aim}"
