"""Every rule keeps the contract."""

from __future__ import annotations

import pytest

from orchestune.domain.early_stopping import TYPES, EarlyStopping
from orchestune.ports.pruner import Pruner
from orchestune.pruners.registry import create
from orchestune.testing.pruner_contract import ACCURACY, PrunerContract


@pytest.mark.parametrize("name", TYPES, scope="class")
class TestRules(PrunerContract):
    """With their defaults."""

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self) -> Pruner:
        return create(EarlyStopping(self.name), [ACCURACY])
