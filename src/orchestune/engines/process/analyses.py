"""Analyses of a search, computed in a separate process: they take seconds, and suggestions must not wait for them."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Sequence
from typing import Any

from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process.messages import observation_to_json
from orchestune.engines.process.parent import ChildHost
from orchestune.errors import OrchestuneError

log = logging.getLogger(__name__)

ANALYSES = ChildHost()
"""the child process for analyses; a server closes it on shutdown"""
atexit.register(ANALYSES.close)


def importance(
    space: Space, metric: Metric, history: Sequence[Observation], host: ChildHost = ANALYSES
) -> dict[str, float]:
    """Return `engines.importance.importance`, computed in the child. Raises EngineLost if it died or cannot start."""
    request = {
        "space": space.to_json(),
        "constraints": space.texts(),
        "metric": metric.to_json(),
        "history": [observation_to_json(observation) for observation in history],
    }
    answer = host.child().request({"importance": request})
    if "failed" in answer:
        log.error("cannot compute the importance of parameters: %s", answer["traceback"])
        raise OrchestuneError(f"cannot compute the importance of the parameters: {answer['failed']}")
    shares: dict[str, float] = answer["importance"]
    return shares


def best_estimate(
    space: Space, metrics: Sequence[Metric], history: Sequence[Observation], host: ChildHost = ANALYSES
) -> tuple[int, float, float, float, float] | None:
    """Return the fields of `engines.estimate.best_estimate`, computed in the child.

    Raises EngineLost.
    """
    estimate = _estimate("estimate", space, metrics, history, host)
    return tuple(estimate) if estimate else None


def expected_front(
    space: Space, metrics: Sequence[Metric], history: Sequence[Observation], host: ChildHost = ANALYSES
) -> list[int] | None:
    """Return `engines.estimate.expected_front`, computed in the child. Raises EngineLost."""
    front: list[int] | None = _estimate("front", space, metrics, history, host)
    return front


def _estimate(
    what: str, space: Space, metrics: Sequence[Metric], history: Sequence[Observation], host: ChildHost
) -> Any:
    request = {
        "space": space.to_json(),
        "metrics": [metric.to_json() for metric in metrics],
        "history": [observation_to_json(observation) for observation in history],
    }
    answer = host.child().request({what: request})
    if "failed" in answer:
        log.error("the best trial could not be estimated: %s", answer["traceback"])
        raise OrchestuneError(f"the best trial cannot be estimated: {answer['failed']}")
    return answer[what]
