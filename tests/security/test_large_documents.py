"""Documents that one experiment or worker makes large do not multiply in what others read."""

from __future__ import annotations

import json

import msgspec
import pytest

from orchestune.server.change_journal import Journals
from orchestune.services.queries import list_experiments, read_experiments, read_trials
from orchestune.wire.work import MAX_PROBLEM, decode
from tests.contract.world import CoreWorld


def test_lists_show_declared_metrics_alone(world: CoreWorld) -> None:
    several = [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize"}]
    for metrics in ([{"name": "loss", "goal": "minimize"}], several):
        experiment = world.create(budget=1, parallelism=1, metrics=metrics)
        [(worker, lease)] = world.lease()
        names = [f"metric {number} {'x' * 400}" for number in range(500)]
        points = [[0, name, 1.0, None, None] for name in ("loss", "size", *names)]
        worker.call(finished=[worker.finish(lease, points=points)])
        [entry] = read_experiments.status(world.core, experiment)["best"]
        assert len(entry["metrics"]) == 502
    listed = list_experiments.listed(world.core)["items"]
    assert [[*item["best"][0]["metrics"]] for item in listed] == [["loss", "size"], ["loss"]]


def test_a_page_of_large_trials_ends_early_and_goes_on(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_trials, "_PAGE_BYTES", 10_000)
    large = [{"name": f"p{n}", "type": "categorical", "choices": ["a" * 450, "b" * 450]} for n in range(6)]
    experiment = world.create(budget=40, parallelism=40, parameters=large)
    world.tick(3)
    numbers: list[int] = []
    after: int | None = 0
    while after is not None:
        page = read_trials.trials(world.core, experiment, after, 1000, None)
        assert 1 <= len(page["items"]) <= 4
        assert len(msgspec.json.encode(page)) < 10_000 + 4_000
        numbers += [trial["number"] for trial in page["items"]]
        after = page["next"]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert len(numbers) >= 10


@pytest.mark.parametrize("limit", [1, 24, 25, 26, 39, 40, 41, 1000])
def test_pages_of_small_trials_have_as_many_as_asked_for(world: CoreWorld, limit: int) -> None:
    experiment = world.create(budget=40, parallelism=40)
    world.tick(3)
    count = len(world.trials(experiment))
    page = read_trials.trials(world.core, experiment, 0, limit, None)
    assert [trial["number"] for trial in page["items"]] == [*range(1, min(limit, count) + 1)]
    assert page["next"] == (limit if limit < count else None)


def test_the_problem_of_a_rejected_report_is_cut() -> None:
    report = {"attempt": "a", "token": 1, "state": "x" * 1_000_000}
    body = json.dumps({"boot": "b", "beat": 1, "want": 0, "finished": [report]}).encode()
    [rejected] = decode(body).rejected
    assert (rejected.attempt, rejected.token) == ("a", 1)
    assert len(rejected.problem) == MAX_PROBLEM


def test_views_in_memory_are_bounded_by_their_bytes() -> None:
    journals = Journals(max_journals=200, max_bytes=1000)
    for number in range(20):
        journal = journals.of(f"view {number}")
        journal.update({"document": b"x" * 300})
        journals.evict()
    sizes = [journals.of(f"view {number}").size for number in (17, 18, 19)]
    assert sizes == [300, 300, 300]
    assert journals.of("view 16").size == 0  # a new one


def test_a_view_beyond_the_bound_is_kept_alone() -> None:
    journals = Journals(max_journals=200, max_bytes=1000)
    journals.of("small").update({"document": b"x"})
    large = journals.of("large")
    large.update({"document": b"x" * 2000})
    assert large.since(0) == b"x" * 2000
    assert large.size == 4000
    assert journals.evict() == ["small"]
    assert journals.of("large") is large
