"""A short run of the chaos driver; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.driver import Chaos


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_the_budget_is_exact_whatever_dies(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, budget=200, parallelism=8, seed=7)
    try:
        outcome = chaos.run(faults=60, pause=0.6)
    finally:
        chaos.close()
    assert outcome.wrong == []
    assert outcome.counts["completed"] + outcome.counts["failed"] == chaos.budget
    assert {"kill worker", "kill guard", "freeze worker", "kill server"} <= set(outcome.faults)
    assert outcome.attempts["lost"] > 0
