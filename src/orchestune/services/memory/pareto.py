"""Pareto fronts that grow by new trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestune.domain.specification.metrics import Metric, pareto_front

_MAX_COMPARED_IN_PYTHON = 100
"""trials that are compared pair by pair in Python, so that a server does not import NumPy for its first results"""


def extended(
    metrics: Sequence[Metric], front: Mapping[int, Mapping[str, float]], new: Mapping[int, Mapping[str, float]]
) -> list[int]:
    """Return the same as `pareto_front` of all these trials: the sorted numbers of the nondominated ones.

    The trials of `front` must not dominate each other.
    """
    if len(front) + len(new) <= _MAX_COMPARED_IN_PYTHON:
        return pareto_front(metrics, [*front.items(), *new.items()])
    from orchestune.services.memory import large_front  # imports NumPy

    return large_front.extended(metrics, front, new)
