"""Documents that one experiment or worker makes large do not multiply in what others read."""

from __future__ import annotations

import json

import msgspec
import pytest

from orchestune.server.change_journal import Journals
from orchestune.services.commands import change_experiment
from orchestune.services.execution import folds, usage
from orchestune.services.execution.folds import Folds
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.execution.progress import PREEMPTIONS
from orchestune.services.memory import experiment_cache, trial_columns
from orchestune.services.queries import (
    best_trials,
    list_experiments,
    read_code,
    read_columns,
    read_experiments,
    read_trials,
)
from orchestune.store import attempts, logs
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


def test_a_page_of_large_events_ends_early_and_goes_on(world: CoreWorld) -> None:
    """A thousand events of half a MiB, as an earlier version wrote them, were read at once."""
    experiment = world.create(budget=2, parallelism=1)
    with locked(world.core, experiment) as ledger:
        for number in range(9):
            ledger.record("experiment_changed", {"number": number, "text": "x" * 1000})
    numbers, after, is_over = list[int](), 0, False
    while not is_over:
        page = read_experiments.events(world.core, experiment, after, 1000, most=2500)
        assert len(page["items"]) >= 1 and len(msgspec.json.encode(page)) < 2500 + 2000
        numbers += [item["seq"] for item in page["items"]]
        after, is_over = page["next"], not page["more"]
    assert numbers == [*range(1, len(numbers) + 1)] and len(numbers) > 9
    assert read_experiments.events(world.core, experiment, 0, 1000, ["experiment_changed"], 1)["next"] == numbers[-9]


def test_the_event_of_a_trial_has_its_declared_metrics_alone(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=1)
    [(worker, lease)] = world.lease()
    points = [[0, name, 1.0, None, None] for name in ("loss", *(f"metric {number}" for number in range(500)))]
    worker.call(finished=[worker.finish(lease, points=points)])
    [event] = read_experiments.events(world.core, experiment, 0, 100, ["trial_finished"])["items"]
    assert event["data"]["metrics"] == {"loss": 1.0}
    assert len(world.trials(experiment)[0]["metrics"]) == 501


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


LONG = {"name": "x", "type": "categorical", "choices": ["'" * 1000, "\U000e0001" * 1000]}


@pytest.mark.parametrize("beginning", ["true ", "true; echo ", ""])
@pytest.mark.parametrize("placeholder", ["{x} ", "{args} ", "{hydra} "])
def test_a_command_that_repeats_long_values_is_shown_as_its_template(
    world: CoreWorld, beginning: str, placeholder: str
) -> None:
    several = [{**LONG, "name": name} for name in ("x", "y", "z")]
    run = beginning + placeholder * 10_000 if beginning else ["true", *[placeholder] * 10_000]
    experiment = world.create(budget=1, parameters=several, run=run)
    world.tick()
    command = str(read_trials.trial(world.core, experiment, 1)["command"])
    assert placeholder in command
    assert len(command) < 200_000


def test_a_command_with_long_values_is_rendered(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parameters=[LONG], run="true {x} {args}")
    world.tick()
    command = str(read_trials.trial(world.core, experiment, 1)["command"])
    assert "{x}" not in command
    assert len(command) > 2000


def test_lines_of_constants_that_repeat_a_long_value_are_not_compared(world: CoreWorld) -> None:
    def names_of(count: int, path: str = "train.py") -> list[str]:
        line = {"number": 1, "parts": ["x = ", *[["x", "1"]] * count]}
        experiment = world.create(
            budget=2,
            parallelism=2,
            parameters=[LONG],
            try_first=[{"x": choice} for choice in LONG["choices"]],
            constants={"path": path, "lines": [line] * (1 if path == "train.py" else 100)},
        )
        world.tick(3)
        return [*read_code.diff(world.core, f"{experiment}/1", f"{experiment}/2")["configuration"]]

    assert {"parameters.x", "train.py:1"} <= {*names_of(1)}
    assert "parameters.x" in names_of(50_000)
    assert "train.py:1" not in names_of(50_000)
    assert max(map(len, names_of(1, "a" * 10_000 + ".py"))) < 1000


def test_plots_have_few_columns_of_metrics_whose_names_differ_in_each_trial(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_cache, "_PAGE_TRIALS", 7)
    monkeypatch.setattr(experiment_cache, "_PAGE_VALUES", 15)
    monkeypatch.setattr(trial_columns, "_MAX_OTHER_VALUES", 120)
    experiment = world.create(budget=20, parallelism=1)
    for number in range(1, 21):
        [(worker, lease)] = world.lease()
        points = [[0, name, 1.0, None, None] for name in ("loss", *(f"{number} {n}" for n in range(5)))]
        worker.call(finished=[worker.finish(lease, points=points)])
        if number == 10:  # reads continue from those before
            columns = read_columns.columns(world.core, experiment, 100, None)
            assert [*columns["metrics"]][:7] == ["loss", *(f"1 {n}" for n in range(5)), "2 0"]
            assert len(columns["metrics"]) <= 1 + 12
    columns = read_columns.columns(world.core, experiment, 100, None)
    assert [*columns["metrics"]] == ["loss", *(f"1 {n}" for n in range(5)), "2 0"]
    assert columns["metrics"]["loss"] == [1.0] * 20
    assert columns["metrics"]["2 0"] == [None, 1.0, *[None] * 18]
    table = read_trials.ordered(world.core, experiment, "-metrics.2 0", None, None, 0, 1)
    assert table["items"][0]["number"] == 2
    assert table["total"] == 20


def test_documents_have_the_newest_attempts_of_a_trial_that_is_preempted_for_ever(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_SHOWN_ATTEMPTS", 5)
    monkeypatch.setattr(attempts, "_MAX_SHOWN_USAGE", 3)
    monkeypatch.setattr(attempts, "_MAX_SHOWN_CURVES", 4)
    monkeypatch.setattr(read_trials, "_MAX_TAILS", 2)
    experiment = world.create(budget=2, parallelism=1)
    [(worker, lease)] = world.lease()
    for number in range(1, 9):
        reason = {"code": "worker_stopped", "message": "m" * 60_000}
        tail = "t" * 60_000 if number < 6 else ""
        samples = [[0, 1.0, 1.0, 1.0, None, None]]
        values = [[place, "loss", 1.0, place, None] for place in range(2)]
        ended = worker.finish(lease, state="preempted", points=values, usage=samples, reason=reason, tail=tail)
        worker.call(finished=[ended])
        if number == PREEMPTIONS:
            change_experiment.resume(world.core, experiment, "ada")
        [(worker, lease)] = world.lease()
    worker.call(finished=[worker.finish(lease)])
    trial = read_trials.trial(world.core, experiment, 1)
    assert [attempt["number"] for attempt in trial["attempts"]] == [5, 6, 7, 8, 9]
    assert {len(attempt["reason"]["message"]) for attempt in trial["attempts"] if attempt["reason"]} == {4096}
    assert [len(attempt["tail"] or "") for attempt in trial["attempts"]][:2] == [4096, 0]
    assert all(attempt["tail"] for attempt in trial["attempts"][2:])
    [listed, *_] = read_trials.trials(world.core, experiment, 0, 100, None)["items"]
    assert [attempt["number"] for attempt in listed["attempts"]] == [5, 6, 7, 8, 9]
    assert [used["attempt_number"] for used in usage.usage(world.core, experiment, 1)["items"]] == [7, 8]
    curves = read_trials.points(world.core, experiment, 1)["items"]
    assert [curve["attempt_number"] for curve in curves] == [5, 6, 7, 8]


def test_a_log_tail_is_read_from_as_few_segments_as_have_it(world: CoreWorld) -> None:
    world.create(budget=1)
    [(worker, lease)] = world.lease()
    for number in range(5):
        worker.call(beats=[worker.started(lease) | {"logs": [[number * 3000, "x" * 3000, 0]]}])
    with world.core.store.reading() as session:
        assert len(logs.newest_of(session, lease["attempt"], 40, 4096)) == 2
        assert len(logs.newest_of(session, lease["attempt"], 40, 10**6)) == 5


def test_reasons_that_differ_in_each_trial_are_counted_by_their_digests(world: CoreWorld) -> None:
    experiment = world.create(budget=3, parallelism=1)
    for number in (1, 2, 3):
        [(worker, lease)] = world.lease()
        reason = {"code": "exit_code", "message": "m" * 4000 + str(min(number, 2))}
        worker.call(finished=[worker.finish(lease, state="failed", exit_code=1, reason=reason)])
    failures = read_columns.overview(world.core, experiment)["failures"]
    assert [(each["trials"], each["newest"], each["reason"]["message"][-2:]) for each in failures] == [
        (2, 3, "m2"),
        (1, 1, "m1"),
    ]
    [entry] = world.core.experiment_cache._entries.values()
    assert entry.tally is not None and {len(key) for key in entry.tally.reasons} == {16}


def test_folds_store_few_metrics_together_and_only_the_last_one_reads_all(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "_MAX_OTHER_VALUES", 12)
    reads: list[int] = []
    read = folds._metrics_of_done

    def noted(ledger: Ledger, trial: int) -> Folds:
        reads.append(trial)
        return read(ledger, trial)

    monkeypatch.setattr(folds, "_metrics_of_done", noted)
    experiment = world.create(budget=1, parallelism=1, folds={"count": 4})
    for fold in range(4):
        [(worker, lease)] = world.lease()
        assert reads == []
        names = [f"m{number}" for number in range(9)]
        points = [[0, name, float(fold), None, None] for name in (names if fold % 2 else names[::-1])]
        worker.call(finished=[worker.finish(lease, points=[*points, [0, "loss", float(fold), None, None]])])
    assert reads == [1]
    trial = read_trials.trial(world.core, experiment, 1)
    assert {name: value["value"] for name, value in trial["metrics"].items()} == dict.fromkeys(
        ("loss", "m0", "m1", "m2"), 1.5
    )
    assert {len(fold["metrics"]) for fold in trial["folds"]} == {4}


def test_lists_show_few_trials_of_a_front_of_large_configurations(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_trials, "_MAX_LISTED_FRONT_BYTES", 10_000)
    large = [{"name": f"p{n}", "type": "categorical", "choices": ["a" * 450, "b" * 450]} for n in range(6)]
    metrics = [{"name": name, "goal": "minimize"} for name in ("loss", "size")]
    experiment = world.create(budget=12, parallelism=1, parameters=large, metrics=metrics)
    for number in range(12):
        [(worker, lease)] = world.lease()
        points = [[0, "loss", number, None, None], [0, "size", -number, None, None], [0, "other", 1, None, None]]
        worker.call(finished=[worker.finish(lease, points=points)])
    whole = read_experiments.status(world.core, experiment)["best"]
    assert len(whole) == 12
    assert {"loss", "size", "other"} == {*whole[0]["metrics"]}
    listed = [
        list_experiments.listed(world.core)["items"],
        read_experiments.statuses(world.core)["items"],
        read_experiments.statuses(world.core, details=True)["items"],
        list_experiments.several(world.core, [experiment]),
    ]
    for [item] in listed:
        assert 1 <= len(item["best"]) <= 4
        assert len(json.dumps(item["best"])) < 13_000
        assert {"loss", "size"} == {*item["best"][0]["metrics"]}
