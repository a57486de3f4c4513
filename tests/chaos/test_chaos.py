"""A short run of the chaos driver; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.driver import Chaos


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("budget", "folds", "faults"), [(200, 1, 60), (30, 4, 30)], ids=["trials", "folds"])
def test_the_budget_is_exact_whatever_dies(tmp_path: Path, budget: int, folds: int, faults: int) -> None:
    chaos = Chaos(tmp_path, budget=budget, parallelism=8, seed=7, folds=folds)
    try:
        outcome = chaos.run(faults=faults, pause=0.6)
    finally:
        chaos.close()
    assert outcome.wrong == []
    assert outcome.counts["completed"] + outcome.counts["failed"] == chaos.budget
    assert {"kill worker", "kill guard", "freeze worker", "kill server"} <= set(outcome.faults)
    assert outcome.attempts["lost"] > 0
