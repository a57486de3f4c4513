from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process.analyses import ANALYSES, importance
from orchestune.engines.process.parent import HOST, ProcessEngine
from tests.contract.engine_contract import MIXED

LOSS = Metric("loss", "minimize")


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    HOST.close()
    ANALYSES.close()


def test_a_suggestion_does_not_wait_for_what_people_ask() -> None:
    engine = ProcessEngine("tpe", MIXED, [LOSS], seed=1, options={})
    history: list[Observation] = []
    suggestions: list[Configuration] = []
    for number in range(1, 13):
        suggestions.append(engine.ask([], number, ask_seed(1, number)))
        loss = float(suggestions[-1].get("rate", 1.0))
        history.append(Observation(number, suggestions[-1], TrialState.COMPLETED, {"loss": loss}))
        engine.tell(history[-1:])
    busy = ANALYSES.child().process.pid
    os.kill(busy, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as people:
        answer = people.submit(importance, MIXED, LOSS, history)
        try:
            assert engine.ask([], 13, ask_seed(1, 13))
            assert not answer.done()
        finally:
            os.kill(busy, signal.SIGCONT)
        assert sum(answer.result().values()) == pytest.approx(1)
