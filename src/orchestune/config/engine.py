"""The section `engine`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestune.config.kinds import NUMBER, Key, Kind, one_of
from orchestune.config.nodes import Entries, Scalar, plain
from orchestune.config.report import Field
from orchestune.config.shapes import changed, either, section

ENGINES = ("auto", "gp", "tpe", "cma", "evolution", "swarm", "random", "sobol", "halton", "latin", "grid")
LEARNERS = ("auto", "gp", "tpe", "cma", "evolution", "swarm")
"""those that results make a difference to"""


@dataclass(frozen=True)
class Engine:
    """What suggests configurations, and its options as they were written."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


_ALSO = {
    "optuna": "tpe", "bayesian": "gp", "bayes": "gp", "default": "auto", "gridsearch": "grid", "qmc": "sobol",
    "quasi_random": "sobol", "lhs": "latin", "latin_hypercube": "latin", "cmaes": "cma", "cma-es": "cma",
    "de": "evolution", "nsga2": "evolution", "nsgaii": "evolution", "genetic": "evolution", "pso": "swarm",
    "randomsearch": "random",
}  # fmt: skip
_ENGINE_NAME = one_of(ENGINES, _ALSO)
_ENGINE_KEYS = (Key("name", _ENGINE_NAME, "What suggests configurations.", required=True),)
_ENGINE = section(_ENGINE_KEYS, open_to="the engine's own options")


def _read_engine(found: Field) -> Engine | None:
    read = _ENGINE.read(found)
    if read is None or not isinstance(found.node, Entries):
        return None
    for name, (_, option) in found.entries().items():
        if name != "name":
            check_finite(option)
    return Engine(read.get("name") or "auto", plain(found.node.without("name")))


def check_finite(found: Field) -> None:
    """An option may be anything that JSON can say."""
    value = found.node.value if isinstance(found.node, Scalar) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        NUMBER.read(found)
    for below in [*found.items(), *(option for _, option in found.entries().values())]:
        check_finite(below)


ENGINE = either(
    f"{_ENGINE_NAME.words}, or a mapping with name and the engine's own options",
    scalar=changed(_ENGINE_NAME, Engine),
    mapping=Kind[Engine](_ENGINE.words, _ENGINE.schema, _read_engine, _ENGINE_KEYS),
)
