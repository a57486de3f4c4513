"""The best trials of a search with several objectives, however many there are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from orchestune.domain.specification.metrics import Metric, pareto_front
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.queries import best_trials, read_columns, read_experiments
from orchestune.store import trials
from orchestune.store.session import Session
from tests.contract.world import CoreWorld
from tests.testbeds.seed import Plan, Writer, core_of

TWO = ({"name": "error", "goal": "minimize"}, {"name": "latency", "goal": "minimize"})
SPACE = ({"name": "x", "type": "float", "min": 0.0, "max": 1.0},)


def test_a_longer_front_takes_no_more_questions_to_the_store(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    statements: list[str] = []
    event.listen(core.store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    counts = []
    for length in (3, 60):
        plan = Plan(
            f"front of {length}", SPACE, TWO,
            lambda values, chance: ("completed", {"error": values["x"], "latency": 1 - values["x"]}, None),
            length, length,
        )  # fmt: skip
        ref = Writer(core.store, plan, random.Random(1)).write()
        for _ in range(2):  # what is kept in memory is there
            statements.clear()
            best = read_experiments.best(core, ref)
            of_best = len(statements)
            columns = read_columns.columns(core, ref, 100, None)
        assert [each["trial"] for each in best] == columns["front"] == list(range(1, length + 1))
        assert all(each["parameters"]["x"] == each["metrics"]["error"]["value"] for each in best)
        counts.append((of_best, len(statements) - of_best))
    core.store.close()
    assert counts[0] == counts[1]


def test_a_search_that_goes_on_is_not_read_again_to_find_its_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look reads what has finished since the last one."""
    world, read, counts = CoreWorld(tmp_path), trials.completed_values, list[int]()

    def counted(*arguments: Any) -> dict[int, dict[str, float]]:
        front = read(*arguments)
        counts.append(len(front))
        return front

    monkeypatch.setattr(trials, "completed_values", counted)
    experiment = world.create(budget=40, parallelism=4, metrics=list(TWO))
    chance = random.Random(3)
    values: dict[int, dict[str, float]] = {}
    while world.status(experiment)["state"] != "completed":
        for worker, lease in world.lease(min(4, 40 - len(values))):
            metric_values = values[lease["trial"]] = {name: float(chance.randrange(8)) for name in ("error", "latency")}
            points = [[place, name, value, None, None] for place, (name, value) in enumerate(metric_values.items())]
            worker.call(finished=[worker.finish(lease, points=points)])
        front = pareto_front([Metric(name, "minimize") for name in ("error", "latency")], sorted(values.items()))
        assert [each["trial"] for each in read_experiments.best(world.core, experiment)] == front
        world.tick()
    world.close()
    assert sum(counts) == 40


def test_what_is_told_of_a_front_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many look, and however often: nothing of a completed trial changes."""
    world, read, numbers_read = CoreWorld(tmp_path), trials.of_numbers, list[int]()

    def counted(session: Session, experiment: str, numbers: Sequence[int]) -> list[trials.TrialRow]:
        numbers_read.extend(numbers)
        return read(session, experiment, numbers)

    monkeypatch.setattr(trials, "of_numbers", counted)
    experiment = world.create(budget=12, parallelism=1, metrics=list(TWO))
    for number in range(12):
        [(worker, lease)] = world.lease()
        points = [[0, "error", float(number), None, None], [1, "latency", float(-number), None, None]]
        worker.call(finished=[worker.finish(lease, points=points)])
        best = world.status(experiment)["best"]
        assert [each["metrics"]["error"]["value"] for each in best] == [*range(number + 1)]
    assert read_experiments.statuses(world.core)["items"][0]["best"] == best
    world.close()
    assert numbers_read == [*range(1, 13)]


@pytest.mark.parametrize(("limit", "expected"), [("trials", 12), ("bytes", 3)])
def test_documents_of_a_long_front_have_every_kth_of_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    core = core_of(tmp_path)
    plan = Plan(
        "long front", SPACE, TWO,
        lambda values, chance: ("completed", {"error": values["x"], "latency": 1 - values["x"]}, None),
        60, 60,
    )  # fmt: skip
    ref = Writer(core.store, plan, random.Random(1)).write()
    whole = read_experiments.best(core, ref)
    core.store.close()
    assert len(whole) == 60
    if limit == "trials":
        monkeypatch.setattr(best_trials, "_MAX_FRONT_TRIALS", 14)
    else:
        monkeypatch.setattr(best_trials, "_MAX_FRONT_BYTES", 4 * len(str(whole[-1])))
    monkeypatch.setattr(best_trials, "_OF_FRONTS", Recent())
    core = core_of(tmp_path)
    best = read_experiments.best(core, ref)
    core.store.close()
    assert len(best) == expected
    assert best == whole[:: 60 // expected]
