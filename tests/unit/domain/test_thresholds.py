from __future__ import annotations

import pytest

from orchestune.domain.specification.metrics import Limit, Metric, aimed


def test_the_threshold_of_one_objective_is_no_limit() -> None:
    metrics = (Metric("loss", "minimize", threshold=0.3),)
    assert aimed(metrics) == metrics


def test_of_several_objectives_an_engine_sees_thresholds_as_limits() -> None:
    error, speed, size = Metric("error", "minimize", threshold=0.3), Metric("speed", "maximize", threshold=7.0), "size"
    limit = Limit(5.0, False)
    stored = Metric(size, "minimize", threshold=2.0, limit=limit, optimized=False)
    assert [metric.limit for metric in aimed((error, speed, stored))] == [Limit(0.3, False), Limit(7.0, True), limit]
    assert error.limit is None


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(0.2, False), Limit(0.2, False)),
        (Limit(0.9, False), Limit(0.3, False)),
        (Limit(0.1, True), Limit(0.1, True)),
    ],
)
def test_a_threshold_beside_a_limit_is_the_tighter_one_of_both(limit: Limit, expected: Limit) -> None:
    metrics = (Metric("error", "minimize", threshold=0.3, limit=limit), Metric("speed", "maximize"))
    assert aimed(metrics)[0].limit == expected
