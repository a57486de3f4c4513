from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process.parent import HOST
from orchestune.engines.registry import create
from orchestune.ports.engine import Engine
from tests.contract.engine_contract import LOSS, EngineContract


@pytest.fixture(scope="module")
def end_the_process() -> Iterator[None]:
    yield
    HOST.close()


class TestRandom(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("random", space, metrics, seed=7)


class TestGrid(EngineContract):
    walks_only = True

    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("grid", space, metrics, seed=7)


class TestSobol(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("sobol", space, metrics, seed=7)


class TestHalton(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("halton", space, metrics, seed=7)


class TestTpe(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("tpe", space, metrics, seed=7, options={"startup": 3}, in_process=True)


class TestGaussianProcess(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("gp", space, metrics, seed=7, options={"startup": 3}, in_process=True)


class TestAuto(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("auto", space, metrics, seed=7, options={"startup": 3}, in_process=True)


@pytest.mark.slow
@pytest.mark.usefixtures("end_the_process")
class TestAutoInItsProcess(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("auto", space, metrics, seed=7, options={"startup": 3})


class TestLatin(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("latin", space, metrics, seed=7, options={"size": 8})


class TestCma(EngineContract):
    several_goals = False

    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        options = {"startup": 3, "population": 4}
        return create("cma", space, metrics, seed=7, options=options, in_process=True)


class TestEvolution(EngineContract):
    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("evolution", space, metrics, seed=7, options={"population": 4}, in_process=True)


class TestSwarm(EngineContract):
    several_goals = False

    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        return create("swarm", space, metrics, seed=7, options={"particles": 3}, in_process=True)
