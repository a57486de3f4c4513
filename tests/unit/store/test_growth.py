"""Polled queries read no more rows when there are more finished experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from orchestune.domain.lifecycle.states import AttemptState, TrialState, WorkerState
from orchestune.domain.specification.metrics import Point
from orchestune.store import attempts, experiment_lists, tables, trials, workers
from orchestune.store.database import Store, open_store
from orchestune.store.session import Session
from tests.testbeds.steps import steps

FEW, MANY = 40, 1600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def write(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    with store.transaction() as session:
        session.connection.execute(insert(tables.metadata.tables[table]), rows)


def grows(store: Store, fill: Callable[[range], None], ask: Callable[[Session], object]) -> float:
    """Return the ratio of the work with many rows to that with few."""

    def look() -> None:
        with store.reading() as session:
            ask(session)

    fill(range(FEW))
    before = steps(store, look)
    fill(range(FEW, MANY))
    return steps(store, look) / before


def an_experiment(number: int) -> dict[str, Any]:
    name = f"e{number:05}"
    return {"id": name, "handle": name, "name": name, "owner": "ada", "cluster": "local", "specification": "{}",
            "launch": "{}", "budget": 1, "parallelism": 1, "desired": "running", "state": "completed",
            "visibility": "listed" if number else "purging", "created_at": float(number)}  # fmt: skip


def a_worker(name: str, state: WorkerState, number: int = 0) -> dict[str, Any]:
    return {"id": name, "experiment": "e", "cluster": "local", "name": name, "state": state, "slots": 1,
            "created_at": float(number)}  # fmt: skip


def an_attempt(number: int, state: AttemptState, worker: str) -> dict[str, Any]:
    return {"id": f"a{number}", "experiment": "e", "trial": number, "fold": 0, "attempt_number": 1, "state": state,
            "worker": worker, "node": "", "leased_at": 1.0}  # fmt: skip


def a_trial(number: int, state: TrialState = TrialState.COMPLETED, **more: Any) -> dict[str, Any]:
    return {"experiment": "e", "number": number, "state": state, "parameters": "{}", "source": "user", "seed": 1,
            "revision": 1, "history_seq": number, "created_at": 1.0} | more  # fmt: skip


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: experiment_lists.to_remove(session),
        lambda session: experiment_lists.page(session, folder=None, limit=5, before=None),
        lambda session: experiment_lists.page(session, folder=None, limit=5, before=20.0),
    ],
    ids=["what is to be removed", "the newest", "older ones"],
)
def test_some_experiments_are_found_without_all_others(store: Store, ask: Callable[[Session], object]) -> None:
    assert grows(store, lambda numbers: write(store, "experiments", [an_experiment(n) for n in numbers]), ask) < 1.5


def test_what_workers_run_is_found_without_what_they_ever_ran(store: Store) -> None:
    write(store, "workers", [a_worker("now", WorkerState.ALIVE), a_worker("gone", WorkerState.ENDED)])
    write(store, "attempts", [an_attempt(-1, AttemptState.RUNNING, "now")])

    def fill(numbers: range) -> None:
        write(store, "attempts", [an_attempt(n, AttemptState.SUCCEEDED, "gone") for n in numbers])

    assert grows(store, fill, lambda session: workers.trials_of(session, "local")) < 1.5
    with store.reading() as session:
        assert workers.trials_of(session, "local") == {"now": [-1]}


def test_the_curve_of_an_attempt_is_read_without_most_of_its_values(store: Store) -> None:
    write(store, "attempts", [an_attempt(n, AttemptState.RUNNING, "w") for n in range(2)])

    def fill(numbers: range) -> None:
        rows = [{"attempt": a, "name": name, "sequence": n, "value": n / 2, "step": float(n), "at": 1.0}
                for n in numbers for a in ("a0", "a1") for name in ("loss", "size")]  # fmt: skip
        write(store, "points", rows)

    def curves(session: Session) -> list[list[Point]]:
        return [attempts.spaced_points(session, attempt, "loss", 24) for attempt in ("a0", "a1", "a2")]

    assert grows(store, fill, curves) < 1.5
    with store.reading() as session:
        first, second, none = curves(session)
        assert first == second and none == []
        steps = [point.step for point in first if point.step is not None]
        assert len(steps) == 24 and steps == sorted({*steps}) and (steps[0], steps[-1]) == (0.0, MANY - 1.0)
        last = Point("loss", (MANY - 1) / 2, MANY - 1.0, None, MANY - 1)
        assert first[-1] == last and attempts.spaced_points(session, "a0", "loss", 1) == [last]
        assert attempts.spaced_points(session, "a0", "other", 24) == []


def test_how_far_the_newest_trials_came_is_found_without_all_others(store: Store) -> None:
    def fill(numbers: range) -> None:
        write(store, "trials", [a_trial(n + 1) for n in numbers])
        write(store, "attempts", [an_attempt(n + 1, AttemptState.SUCCEEDED, "w") for n in numbers])

    assert grows(store, fill, lambda session: trials.reached(session, "e", "loss", 20)) < 1.5


def test_what_is_queued_again_after_a_stop_takes_one_look_at_the_events(store: Store) -> None:
    write(store, "events", [{"experiment": "e", "seq": n, "at": float(n), "actor": "x", "kind": "attempt_leased",
                             "data": "{}"} for n in range(MANY)])  # fmt: skip
    write(store, "events", [{"experiment": "e", "seq": MANY, "at": 5000.0, "actor": "x", "kind": "experiment_state",
                             "data": "{}"}])  # fmt: skip

    def fill(numbers: range) -> None:
        stopped = {"history_seq": None, "finished_at": 5000.0}
        write(store, "trials", [a_trial(n + 1, TrialState.CANCELLED, **stopped) for n in numbers[:FEW]])

    assert grows(store, fill, lambda session: trials.stopped_with_all(session, "e")) < 1.5
    with store.reading() as session:
        assert len(trials.stopped_with_all(session, "e")) == 2 * FEW


def test_of_a_long_curve_little_more_than_their_places_is_looked_at(store: Store) -> None:
    rows = [{"attempt": "a1", "name": "loss", "sequence": n, "value": 1.0, "step": 1.0, "at": 1.0} for n in range(MANY)]
    write(store, "attempts", [an_attempt(1, AttemptState.RUNNING, "w")])
    write(store, "points", rows)

    def look() -> None:
        with store.reading() as session:
            [curve] = attempts.points_of(session, "e", [1], 20, "loss")
            assert len(curve.points) == 21

    assert steps(store, look) < 80 * MANY  # 40 for each, 140 where all of them are sorted
