from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from threadpoolctl import ThreadpoolController

from orchestune import Optimizer
from orchestune.domain.search.trial import Observation
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.models import estimate
from orchestune.engines.process.threads import ONE_THREAD


def threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        yield


def test_the_blas_has_one_thread_inside_and_what_it_had_before_afterwards() -> None:
    with ONE_THREAD:
        assert threads() == {1}
    assert threads() == {2}


def test_of_several_that_are_inside_at_once_the_last_one_takes_it_back() -> None:
    with ONE_THREAD:
        with ONE_THREAD:
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_it_is_taken_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), ONE_THREAD:
        raise ZeroDivisionError
    assert threads() == {2}


@pytest.mark.parametrize("engine", ["auto", "gp", "tpe", "cma"])
def test_an_optimizer_asks_with_one_thread(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = Optimizer({"x": [0, 1]}, {"loss": "minimize"}, engine=engine, seed=1)
    ask, thread_counts = optimizer._engine.ask, []

    def watched(*args: object) -> object:
        thread_counts.append(threads())
        return ask(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(optimizer._engine, "ask", watched)
    optimizer.ask()
    assert thread_counts == [{1}]
    assert threads() == {2}


@pytest.mark.parametrize("engine", ["auto", "cma"])
def test_an_optimizer_learns_with_one_thread(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tell, thread_counts = DistinctEngine.tell, []

    def watched(self: DistinctEngine, observations: Sequence[Observation]) -> None:
        thread_counts.append((len(observations), threads()))
        tell(self, observations)

    monkeypatch.setattr(DistinctEngine, "tell", watched)
    results = [{"x": 0, "loss": 0.5}]
    optimizer = Optimizer({"x": [0, 1]}, {"loss": "minimize"}, engine=engine, seed=1, warm_start=results)
    optimizer.tell(optimizer.ask(), {"loss": 0.25})
    Optimizer.from_json(optimizer.to_json())
    assert thread_counts == [(1, {1})] * 4
    assert threads() == {2}


def test_the_best_of_noisy_results_is_estimated_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    thread_counts = []
    monkeypatch.setattr(estimate, "best_estimate", lambda *arguments: thread_counts.append(threads()))
    optimizer = Optimizer({"x": [0, 1]}, {"loss": "minimize"}, engine="random", seed=1)
    optimizer.tell(optimizer.ask(), {"loss": 0.5}, stddev={"loss": 0.1})
    optimizer.best()
    assert thread_counts == [{1}]
