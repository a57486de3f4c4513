"""One-line descriptions of what an engine does now and why. Imports no engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.domain.words import plural
from orchestune.engines.samplers.stall import ELSEWHERE
from orchestune.engines.samplers.start import STARTUP, can_start, required_results

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
    pruned: int = 0,
    failed: int = 0,
) -> str:
    """Return the description of an engine with `results` observed values and `running` pending trials.

    `sources`: the sources of its last suggestions. For the start of the model `failed` trials also count in a Gaussian
    process, `pruned` ones in TPE.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in ("evolution", "swarm"):
        return f"{_WORDS[name]} on {plural(results, 'result')}"
    startup = int(options.get("startup", STARTUP))
    required = startup if name == "cma" else required_results(startup, running)
    results_text = plural(results, "result")
    data_text = f"{results_text} and {plural(pruned, 'pruned trial')}" if pruned else results_text
    learns = bool(results) and results + pruned >= required
    if name == "tpe":
        observed = results + pruned
        return f"TPE on {data_text}" if learns else f"random draws, until {required} results are known (now {observed})"
    if results < required and (name == "cma" or not can_start(results, failed, startup, running)):
        start = f"TPE on {data_text} and a Sobol sequence in turns" if name == "auto" and learns else "a Sobol sequence"
        return f"{start}, until {required} results are known (now {results})"
    if name == "auto" and not learns:
        return (
            f"a Gaussian process on {results_text} and {plural(failed, 'failed trial')}, until TPE has"
            f" {required} results"
        )
    if ELSEWHERE in sources:
        results_text += ", every fourth time elsewhere, since nothing better was found for a quarter of them"
    if name in _WORDS:
        return f"{_WORDS[name]} on {results_text}"
    several = len(objectives(metrics)) > 1
    aim = ", towards one part of the front after the other" if several else ""
    return f"a Gaussian process and TPE in turns on {results_text}{aim}"
