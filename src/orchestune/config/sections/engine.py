"""The section `engine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestune.config.document.kinds import Key, integer, one_of
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, section
from orchestune.domain.search.engines import NAMES, OPTION_MAXIMUMS, OPTIONS
from orchestune.domain.words import did_you_mean


@dataclass(frozen=True)
class EngineSettings:
    """The engine that suggests configurations, and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


_ALSO = {
    "optuna": "tpe", "bayesian": "gp", "bayes": "gp", "default": "auto", "gridsearch": "grid", "qmc": "sobol",
    "quasi_random": "sobol", "lhs": "latin", "latin_hypercube": "latin", "cmaes": "cma", "cma-es": "cma",
    "de": "evolution", "nsga2": "evolution", "nsgaii": "evolution", "genetic": "evolution", "pso": "swarm",
    "randomsearch": "random",
}  # fmt: skip
_ENGINE_NAME = one_of(NAMES, _ALSO)
_ENGINE_KEYS = (Key("name", _ENGINE_NAME, "The algorithm that suggests configurations.", required=True),)
_ENGINE = section(_ENGINE_KEYS, open_to="the engine's own options")


def _read_engine(field: Field) -> EngineSettings | None:
    section = _ENGINE.read(field)
    if section is None or section.get("name") is None:
        return None
    name, options = section["name"], {}
    minimums = OPTIONS.get(name, {})
    for option, (key, value) in field.entries().items():
        if option in minimums:
            options[option] = integer(minimums[option], OPTION_MAXIMUMS[option]).read(value)
        elif option != "name":
            allowed = f"options of {name}: {', '.join(minimums)}" if minimums else f"{name} has no options"
            hint = did_you_mean(option, minimums) or allowed
            field.report.add(key.position, value.key, f"unknown option of the engine '{name}'", hint)
    return None if None in options.values() else EngineSettings(name, options)


ENGINE = either(
    f"{_ENGINE_NAME.words}, or a mapping with name and the engine's own options",
    scalar=converted(_ENGINE_NAME, EngineSettings),
    mapping=_ENGINE.read_by(_read_engine),
)
