"""Trials by columns: what sorts, filters and draws them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from pydantic import TypeAdapter
from sqlalchemy import insert, update

from orchestune import documents
from orchestune.client.attempts import seconds
from orchestune.errors import BadInput
from orchestune.services.core import Core
from orchestune.services.memory.attempt_statistics import BusyIntervals, TrialTotals
from orchestune.services.queries import read_columns, read_experiments, read_trials
from orchestune.store import attempts as stored_attempts
from orchestune.store import experiments as store_experiments
from orchestune.store import experiments as stored_experiments
from orchestune.store.tables import attempts, experiments, points, trials
from tests.contract.world import decoded

T = TypeVar("T")


def read(kind: type[T], document: object) -> T:
    return TypeAdapter(kind).validate_python(document)


def everything(core: Core, ref: str) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = decoded(read_trials.trials(core, ref, 0, 1000, None)["items"])
    return trials


def test_trials_are_sorted_by_what_they_were_given_and_what_came_of_it(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    trials_by_number = {trial["number"]: trial for trial in everything(core, ref)}
    answer = read_trials.ordered(core, ref, "-metrics.accuracy", None, None, 0, 500)
    read(documents.TrialPage, answer)
    values = [trial["metrics"]["accuracy"]["value"] for trial in answer["items"] if trial["metrics"]]
    assert values == sorted(values, reverse=True) and len(answer["items"]) == answer["total"] == len(trials_by_number)
    assert [trial["state"] for trial in answer["items"][len(values) :]] == ["failed"] * (
        len(trials_by_number) - len(values)
    )
    words = [
        t["parameters"]["penalty"]
        for t in read_trials.ordered(core, ref, "parameters.penalty", None, None, 0, 500)["items"]
    ]
    assert words == sorted(words)
    assert all(trial == trials_by_number[trial["number"]] for trial in answer["items"])


def test_a_part_of_the_order_is_the_same_as_the_whole(core: Core, handles: dict[str, str]) -> None:
    ref = handles["image model"]
    whole = [trial["number"] for trial in read_trials.ordered(core, ref, "seconds", None, None, 0, 500)["items"]]
    parts = [read_trials.ordered(core, ref, "seconds", None, None, offset, 7)["items"] for offset in range(0, 70, 7)]
    assert [trial["number"] for part in parts for trial in part] == whole


def test_trials_are_chosen_by_ranges_words_and_state(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    where = '{"parameters.alpha": [1e-4, 1e-2], "parameters.penalty": ["l1", "l2"]}'
    answer = read_trials.ordered(core, ref, "number", where, "completed,failed", 0, 500)
    expected = [
        trial["number"]
        for trial in everything(core, ref)
        if 1e-4 <= trial["parameters"]["alpha"] <= 1e-2
        and trial["parameters"]["penalty"] in ("l1", "l2")
        and trial["state"] in ("completed", "failed")
    ]
    assert [trial["number"] for trial in answer["items"]] == expected and expected


@pytest.mark.parametrize(
    ("sort", "where"),
    [
        ("nope", None),
        ("number", "{"),
        ("number", "[]"),
        ("number", '{"nope": [1]}'),
        ("number", '{"parameters.alpha": ["a"]}'),
    ],
)
def test_nonsense_is_refused_in_words(core: Core, handles: dict[str, str], sort: str, where: str | None) -> None:
    with pytest.raises(BadInput):
        read_trials.ordered(core, handles["sgd classifier"], sort, where, None, 0, 10)


def test_of_a_long_curve_every_kth_value_is_told_and_the_last(own_core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    with own_core.store.transaction() as session:
        attempt = stored_attempts.of_trials(session, read_experiments.resolve(own_core, ref), [3])[3][0].id
        long = [
            {"attempt": attempt, "name": "long", "sequence": 7 * place, "value": place / 2, "at": 0.0}
            for place in range(11_000)
        ]
        session.connection.execute(insert(points), long)
        session.change(update(attempts).where(attempts.c.id == attempt).values(point_count=11_000))
    (whole,) = (item for item in decoded(read_trials.points(own_core, ref, 3)["items"]) if item["metric"] == "long")
    assert whole["reported"] == 11_000
    assert whole["points"] == [[place, place / 2] for place in [*range(0, 11_000, 3), 10_999]]
    read(documents.Points, read_trials.points(own_core, ref, 3))
    (brief,) = decoded(read_columns.curves(own_core, ref, "long", 500)["items"])
    assert brief["reported"] == 11_000 and [step for step, _ in brief["points"]] == [*range(0, 11_000, 22), 10_999]


def test_of_very_many_curves_each_is_told_in_fewer_values(own_core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    with own_core.store.transaction() as session:
        attempt = stored_attempts.of_trials(session, read_experiments.resolve(own_core, ref), [3])[3][0].id
        many = [
            {"attempt": attempt, "name": f"layer {name}", "sequence": place, "value": place / 2, "at": 0.0}
            for name in range(300)
            for place in range(350)
        ]
        session.connection.execute(insert(points), many)
    items = decoded(read_trials.points(own_core, ref, 3)["items"])
    curves = {item["metric"]: item for item in items}
    assert {len(curves[f"layer {name}"]["points"]) for name in range(300)} == {89}
    assert curves["layer 7"]["points"] == [[place, place / 2] for place in [*range(0, 350, 4), 349]]
    assert curves["layer 7"]["reported"] == 350


def test_a_bound_may_be_larger_than_any_number(core: Core, handles: dict[str, str]) -> None:
    ref, where = handles["sgd classifier"], json.dumps({"number": [-(10**400), 10**400]})
    assert read_trials.ordered(core, ref, "number", where, None, 0, 10)["total"] == len(everything(core, ref))


def test_columns_hold_what_the_trials_do(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    table = decoded(read_columns.columns(core, ref, 4000, None))
    read(documents.Columns, table)
    assert table["total"] == table["shown"] == 120
    trials_by_number = {trial["number"]: trial for trial in everything(core, ref)}
    for index, number in enumerate(table["number"]):
        trial = trials_by_number[number]
        assert table["state"][index] == trial["state"]
        for name, values in table["parameters"].items():
            expected = trial["parameters"].get(name)
            assert values[index] == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)
    best = read_experiments.status(core, ref)["best"][0]
    assert table["best"]["number"][-1] == best["trial"] and table["front"] == [best["trial"]]
    assert table["best"]["value"] == sorted(table["best"]["value"])
    costs = dict(zip(table["number"], table["seconds"], strict=True))
    assert table["best"]["all_seconds"] == pytest.approx(sum(costs.values()), rel=1e-4)
    for place, number in enumerate(table["best"]["number"]):
        assert table["best"]["finished_at"][place] == trials_by_number[number]["finished_at"]
        before = table["number"][: table["best"]["finished"][place]]
        assert table["best"]["seconds"][place] == pytest.approx(sum(costs[each] for each in before), rel=1e-4)


@pytest.mark.parametrize("name", ["sgd classifier", "image model"])
def test_trials_are_sorted_by_what_the_table_says_they_took(core: Core, handles: dict[str, str], name: str) -> None:
    ref = handles[name]
    took = {trial["number"]: seconds(read(documents.Trial, trial)) for trial in everything(core, ref)}
    order = [t["number"] for t in read_trials.ordered(core, ref, "seconds", None, None, 0, 500)["items"]]
    table = read_columns.columns(core, ref, 4000, None)
    costs = {number: cost for number, cost in zip(table["number"], table["seconds"], strict=True) if cost is not None}
    assert costs == {number: pytest.approx(took[number], rel=1e-5) for number in costs} and len(costs) > 50
    assert [number for number in order if number in costs] == sorted(costs, key=lambda number: took[number] or 0.0)


def test_of_many_trials_the_best_ones_and_a_part_of_the_others_are_drawn(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    table = read_columns.columns(core, ref, 40, None)
    assert (table["total"], table["shown"], len(set(table["number"]))) == (120, 40, 40)
    order = [t["number"] for t in read_trials.ordered(core, ref, "-metrics.accuracy", None, None, 0, 10)["items"]]
    assert set(order) <= set(table["number"])
    assert table["best"] == read_columns.columns(core, ref, 4000, None)["best"]


def test_a_trial_that_finishes_joins_the_columns(
    own_core: Core, handles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:

    ref = handles["image model"]
    before = read_columns.columns(own_core, ref, 4000, None)
    assert before["state"].count("running") == 8
    identity = read_experiments.resolve(own_core, ref)
    with own_core.store.transaction() as session:
        own = trials.c.experiment == identity
        done = {"state": "failed", "history_seq": 58, "finished_at": session.now}
        session.change(update(trials).where(own, trials.c.number == 60).values(done))
        session.change(update(experiments).where(experiments.c.id == identity).values(event_seq=2))
    after = read_columns.columns(own_core, ref, 4000, None)
    assert after["number"][57] == 60 and after["state"][57] == "failed"
    assert after["state"].count("running") == 7 and after["total"] == before["total"]


def test_failures_are_grouped_and_what_ran_is_counted(core: Core, handles: dict[str, str]) -> None:
    overview = read_columns.overview(core, handles["broken script"])
    read(documents.Overview, overview)
    assert [each["reason"]["code"] for each in overview["failures"]] == ["exit_code", "metric_missing"]
    assert sum(each["trials"] for each in overview["failures"]) == 30
    running = overview["busy"]["running"]
    assert len(running) == 240 and 0 < max(running) <= 9


def test_busy_counts_each_attempt_for_as_long_as_it_ran() -> None:
    busy = read_columns._busy(BusyIntervals(np.array([0.0, 60.0]), np.array([120.0, 240.0])))
    assert busy["step_seconds"] == 1.0
    assert busy["running"] == [1.0] * 60 + [2.0] * 60 + [1.0] * 120
    assert read_columns._busy(BusyIntervals(np.empty(0), np.empty(0)))["running"] == []


def test_numbers_have_six_digits_whatever_their_size() -> None:
    chance = np.random.default_rng(3)
    values = chance.normal(size=5000) * 10.0 ** chance.integers(-30, 30, 5000)
    values = np.concatenate([values, [0.0, -0.0, 1.0, 1e5, 999999.5, 123456.5, 1e22, 5e-324, 1.7e308]])
    for decimal, value in zip(read_columns._plain(values), values, strict=True):
        assert decimal is not None and decimal == pytest.approx(value, rel=5.1e-6)
        assert len(f"{decimal!r}".partition("e")[0].strip("-").replace(".", "").strip("0")) <= 6
    assert read_columns._plain(np.array([np.nan, np.inf, -np.inf])) == [None, None, None]


def test_what_was_counted_before_is_not_read_again_and_the_rest_is_counted_as_anew(
    own_core: Core, handles: dict[str, str]
) -> None:
    """Trials end one after the other, one of them before one of its attempts."""
    identity = read_experiments.resolve(own_core, handles["image model"])
    read_columns.overview(own_core, identity)
    own = trials.c.experiment == identity
    with own_core.store.transaction() as session:
        history_seq = store_experiments.get(session, identity).history_seq
    for step, number in enumerate((61, 62, 63), 1):
        ended = {"state": "failed", "reason": '{"code": "timeout", "message": "it took too long"}'}
        with own_core.store.transaction() as session:
            place = history_seq + step
            at = session.now + 60 * step
            session.change(update(trials).where(own, trials.c.number == number).values(history_seq=place, **ended))
            session.change(update(experiments).where(experiments.c.id == identity).values(history_seq=place))
            theirs = attempts.c.experiment == identity, attempts.c.trial == (62 if number == 63 else number)
            if number != 62:  # whose attempt ends with the next trial, and that one's never
                session.change(update(attempts).where(*theirs).values(finished_at=at))
        overview = read_columns.overview(own_core, identity)
        timeout = [each for each in overview["failures"] if each["reason"]["code"] == "timeout"]
        assert [(each["trials"], each["newest"]) for each in timeout] == [(step, number)]
        with own_core.store.reading() as session:
            row = stored_experiments.get(session, identity)
            fresh, tally = TrialTotals(), own_core.experiment_cache._entries[identity, None].tally
            assert tally is not None
            assert fresh.read(session, row).begins.tolist() == tally.read(session, row).begins.tolist()
            assert fresh.ends.tolist() == tally.ends.tolist()
        assert tally.late & {61, 62, 63} == ({number} if number > 61 else set())


@pytest.mark.parametrize(
    "count",
    [
        lambda core, ref: sum(each["trials"] for each in read_columns.overview(core, ref)["failures"]),
        lambda core, ref: read_columns.columns(core, ref, 4000, None)["state"].count("failed"),
    ],
)
def test_who_waits_for_another_reader_sees_what_is_so_when_his_turn_comes(
    own_core: Core, handles: dict[str, str], count: Callable[[Core, str], int]
) -> None:
    """With an older view of the store he would read on from what is newer, and count it twice later."""
    identity = read_experiments.resolve(own_core, handles["image model"])
    before, counts = count(own_core, identity), list[int]()
    waiting = threading.Thread(target=lambda: counts.append(count(own_core, identity)))
    with own_core.experiment_cache._entries[identity, None].turn:
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        with own_core.store.transaction() as session:
            history_seq = store_experiments.get(session, identity).history_seq
            own = trials.c.experiment == identity, trials.c.number == 64
            session.change(update(trials).where(*own).values(state="failed", history_seq=history_seq + 1))
            newer = {"history_seq": history_seq + 1, "event_seq": experiments.c.event_seq + 1}
            session.change(update(experiments).where(experiments.c.id == identity).values(newer))
    waiting.join()
    assert counts == [before + 1]
    assert count(own_core, identity) == before + 1


@pytest.mark.parametrize("name", ["nothing yet", "one trial", "size against speed", "image model"])
def test_every_kind_of_experiment_has_its_plots(core: Core, handles: dict[str, str], name: str) -> None:
    ref = handles[name]
    read(documents.Columns, read_columns.columns(core, ref, 4000, None))
    read(documents.Overview, read_columns.overview(core, ref))
    read(documents.Timeline, read_columns.timeline(core, ref, 100))
    read(documents.Curves, read_columns.curves(core, ref, None, 20))


def test_a_trials_curve_is_what_it_reported(core: Core, handles: dict[str, str]) -> None:
    curve = read_trials.points(core, handles["sgd classifier"], 3)
    read(documents.Points, curve)
    assert curve["items"] and [step for step, _ in curve["items"][0]["points"]] == sorted(
        step for step, _ in curve["items"][0]["points"]
    )


@pytest.mark.parametrize("read", [read_experiments.status, read_columns.overview])
def test_what_pages_ask_for_again_and_again_looks_through_no_attempts_that_are_over(
    core: Core, handles: dict[str, str], read: Callable[[Core, str], dict[str, Any]]
) -> None:
    """However many there are: each statement finds attempts by their state, or by a few trials."""
    ref = handles["image model"]
    read(core, ref)
    with core.store.reading() as session:
        driver = session.connection.connection.driver_connection
    assert driver is not None
    all_statements = list[str]()
    driver.set_trace_callback(all_statements.append)
    try:
        read(core, ref)
    finally:
        driver.set_trace_callback(None)
    statements = [text for text in all_statements if "FROM attempts" in text or "JOIN attempts" in text]
    assert statements, "another connection was taken"
    for statement in statements:
        plan = [str(step[3]) for step in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
        about = [step for step in plan if re.search(r"SEARCH (attempts|a) |SCAN (attempts|a)\b", step)]
        assert about and all("state=?" in step or "trial=?" in step for step in about), (statement, plan)
