"""Metrics that the user's command reports by HTTP."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from orchestune.domain.metrics import Point
from orchestune.domain.states import AttemptState
from orchestune.errors import BadInput, Conflict, Denied
from orchestune.services import attempts
from orchestune.services.core import Core
from orchestune.services.ledger import locked
from orchestune.services.signatures import report_signature
from orchestune.store import trials

_HTTP_SEQUENCE = 1_000_000_000
"""Sequences of points that come by HTTP start here, out of the way of those that the worker counts."""


def report(core: Core, attempt: str, signature: str, values: Mapping[str, Any]) -> None:
    """Take values by name; `step` and `stddev` belong to all of them. Denied for a wrong signature."""
    if not hmac.compare_digest(signature, report_signature(core, attempt)):
        raise Denied("this address is not genuine", "use $ORCHESTUNE_REPORT_URL as it stands")
    step, stddev = _number("step", values.get("step")), _number("stddev", values.get("stddev"))
    named = {name: _number(name, value) for name, value in values.items() if name not in ("step", "stddev")}
    with core.store.reading() as session:
        row = trials.find_attempt(session, attempt)
    if row is None:
        raise Denied("there is no such attempt")
    with locked(core, row.experiment) as ledger:
        found = attempts.find(ledger, attempt)
        if found is None or not (found.state.live or found.state is AttemptState.LOST):
            raise Conflict("this attempt is over")
        first = _HTTP_SEQUENCE + found.points
        points = [
            Point(name, value, step, stddev, first + index)
            for index, (name, value) in enumerate(named.items())
            if value is not None
        ]
        attempts.append_points(ledger, attempt, points)
        for point in points:
            data = {"trial": found.trial, "name": point.name, "value": point.value, "step": point.step}
            ledger.record("metric_reported", data)


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadInput.one(f"{value!r} is no number", key=name) from None
