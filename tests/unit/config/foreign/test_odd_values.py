"""Any value in another tool's file becomes a draft, or mistakes that the reader reports."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestune.config.document.nodes import Entries, SourcePosition, node_of
from orchestune.config.document.report import ProblemReport
from orchestune.config.foreign import katib, sweep
from orchestune.config.sources.draft import Draft
from orchestune.config.sources.orchestrate import converted
from tests.unit.config.foreign.test_katib import KATIB
from tests.unit.config.foreign.test_sweep import SWEEP
from tests.unit.config.test_older_files import ORCHESTRATE

MORE_OF_A_SWEEP = {
    "normal": {"distribution": "normal", "mu": 0, "sigma": 1},
    "rounded": {"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 2},
    "beta": {"distribution": "beta", "a": 1, "b": 2},
}
ENDS = {"early_terminate": {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3}}
LIMITS = {"linear_constraints": [{"type": "less_than", "threshold": 9, "terms": [{"name": "epochs", "weight": 2}]}]}
ODD: tuple[Any, ...] = (
    None,
    "",
    "é",
    "nan",
    "1e400",
    0,
    -1,
    1e300,
    math.inf,
    math.nan,
    True,
    10**30,
    [],
    ["a", None],
    [[1]],
    {"a": 1},
)


def parsed(text: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


def the_sweep() -> dict[str, Any]:
    document = parsed(SWEEP)
    return {**document, **ENDS, "parameters": {**document["parameters"], **MORE_OF_A_SWEEP}}


FILES: dict[str, tuple[dict[str, Any], Callable[[Entries, ProblemReport], Draft | Entries]]] = {
    "sweep": (the_sweep(), sweep.draft),
    "katib": (parsed(KATIB), katib.draft),
    "older": ({**parsed(ORCHESTRATE), **LIMITS}, converted),
}


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*above, key)
        yield from places(inner, (*above, key))


@pytest.mark.parametrize("name", FILES)
def test_no_value_is_beyond_reading(name: str) -> None:
    document, read = FILES[name]
    for place in places(document):
        for odd in ODD:
            changed = copy.deepcopy(document)
            inner: Any = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = copy.deepcopy(odd)
            root = node_of(changed, SourcePosition("file.yml", 1, 1))
            assert isinstance(root, Entries)
            try:
                read(root, ProblemReport())
            except Exception as exc:
                raise AssertionError(f"{place} as {odd!r}") from exc
