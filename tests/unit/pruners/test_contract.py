"""Every rule keeps the contract."""

from __future__ import annotations

import pytest

from orchestune.domain.specification.curves import LearningCurve
from orchestune.domain.specification.early_stopping import TYPES, EarlyStopping
from orchestune.ports.pruner import Pruner
from orchestune.pruners.registry import create
from tests.contract.pruner_contract import ACCURACY, PrunerContract


@pytest.mark.parametrize("name", TYPES, scope="class")
class TestRules(PrunerContract):
    """With their defaults."""

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self) -> Pruner:
        return create(EarlyStopping(self.name), [ACCURACY])


@pytest.mark.parametrize("name", TYPES)
def test_steps_that_are_small_beyond_measure_are_decision_steps(name: str) -> None:
    interval = None if name in ("asha", "hyperband") else 1e-320
    rule = create(EarlyStopping(name, min_steps=1e-320, interval=interval), [ACCURACY])
    curve = LearningCurve(ACCURACY)
    for step in (1.0, 3.0, 1e308):
        curve.add(0.5, step)
        decision = rule.decision_step(1, curve.step)
        assert decision is not None and 0 < decision <= curve.step
