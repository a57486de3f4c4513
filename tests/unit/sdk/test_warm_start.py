"""Results of another experiment as what a search begins with."""

from __future__ import annotations

import pytest

from orchestune.client.api import Client
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import WarmStarts
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.sdk.warm_start import gather
from tests.unit.client.fake_server import FakeServer, status, trial

SPACE = Space.of((Parameter("alpha", "float", 0.0, 1.0),))
SPECIFICATION = Specification("next", "train", SPACE, (Metric("accuracy", "maximize"),), budget=1)


@pytest.mark.parametrize(("folds", "spread"), [(1, 0.3), (9, 0.1)])
def test_a_mean_of_folds_is_as_sure_as_it_was_to_its_own_search(folds: int, spread: float) -> None:
    with FakeServer() as server:
        server.put(status(folds=folds))
        server.world.trials["sgd-7f3a"] = [trial(1, metrics={"accuracy": {"value": 0.9, "stddev": 0.3}})]
        client = Client.connect(server.resolve)
        warm_start = gather(lambda: client, WarmStarts(experiments=("sgd-7f3a",)), SPECIFICATION)
        client.close()
    assert warm_start is not None
    assert warm_start.observations[0].stddev == {"accuracy": pytest.approx(spread)}
