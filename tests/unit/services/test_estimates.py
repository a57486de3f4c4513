"""The best of noisy searches, as the server reports it."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import update

from orchestune import documents
from orchestune.domain.lifecycle.states import ExperimentState
from orchestune.engines.process import analyses
from orchestune.engines.process.analyses import ANALYSES
from orchestune.engines.process.parent import EngineLost
from orchestune.services.commands import change_experiment, import_record
from orchestune.services.core import Core
from orchestune.services.memory.estimates import Estimates
from orchestune.services.queries import export_record, list_experiments, read_columns, read_experiments
from orchestune.store import experiments, tables
from tests.contract.world import decoded
from tests.testbeds.noisy import LUCKY, written
from tests.testbeds.seed import Plan, Writer, core_of


@pytest.fixture
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = core_of(tmp_path_factory.mktemp("noisy"))
    yield core
    core.store.close()


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    ANALYSES.close()


def test_the_best_of_a_noisy_search_is_the_one_that_a_model_expects_most_of(core: Core) -> None:
    ref = written(core, 0.2)
    (best,) = decoded(read_experiments.best(core, ref))
    TypeAdapter(documents.Best).validate_python(best)
    assert best["trial"] != LUCKY and abs(best["parameters"]["x"] - 0.5) < 0.25
    assert best["expected"]["value"] == pytest.approx(4 * (best["parameters"]["x"] - 0.5) ** 2, abs=0.25)
    assert 0 < best["expected"]["stddev"] < 0.2
    assert best["measured_best"] == LUCKY
    assert best["measured_value"]["value"] < best["metrics"]["loss"]["value"], "the lucky one measured better"
    assert best["measured_value"]["value"] < best["expected"]["value"] < best["measured_expected"]["value"]
    assert read_experiments.status(core, ref)["best"] == [best]
    assert read_experiments.statuses(core)["items"][0]["best"] == [best]
    assert read_columns.columns(core, ref, 4000, None)["front"] == [best["trial"]]


@pytest.mark.parametrize("stddev", [0.2, None])
def test_a_server_that_begins_later_knows_what_was_found(core: Core, stddev: float | None) -> None:
    ref = written(core, stddev)
    (best,) = decoded(read_experiments.best(core, ref))
    later = replace(core, estimates=Estimates())
    assert [item["best"] for item in list_experiments.listed(later)["items"]] == [[best]]
    assert read_experiments.statuses(later)["items"][0]["best"] == [best]


def test_what_was_found_of_fewer_results_is_not_the_best_of_more(core: Core) -> None:
    ref = written(core, 0.2)
    (best,) = decoded(read_experiments.best(core, ref))
    with core.store.transaction() as session:
        identity = experiments.find(session, ref).id
        change = update(tables.estimates).where(tables.estimates.c.experiment == identity)
        session.change(change.values(history_seq=20, trial=1))
    later = replace(core, estimates=Estimates())
    assert read_experiments.statuses(later)["items"][0]["best"][0]["trial"] == 1, "better than the raw one"
    assert read_experiments.best(later, ref) == [best]


def test_what_was_found_of_a_removed_search_is_not_the_best_of_what_came_in_its_place_in_any_server(core: Core) -> None:
    ref, record, other = written(core, 0.2), io.BytesIO(), replace(core, estimates=Estimates())
    assert all(read_experiments.best(server, ref)[0]["expected"] for server in (core, other))
    with core.store.reading() as session:
        identity = experiments.find(session, ref).id
    export_record.write(core, ref, record)
    change_experiment.remove(core, identity)
    record.seek(0)
    import_record.read(core, record)
    with core.store.transaction() as session:  # of as many results, which say nothing of noise
        session.change(update(tables.trial_metrics).values(stddev=None))
    for server in (core, other):
        (best,) = decoded(read_experiments.best(server, ref))
        assert (best["trial"], best["expected"]) == (LUCKY, None)


def test_a_search_that_looks_elsewhere_says_so(core: Core) -> None:
    ref = written(core, None)
    assert "elsewhere" not in read_experiments.status(core, ref)["search"]
    with core.store.transaction() as session:
        identity = experiments.find(session, ref).id
        table = tables.trials
        newest = (table.c.experiment == identity) & (table.c.number == 37)
        session.change(update(table).where(newest).values(source="gp-elsewhere"))
    assert "every fourth time elsewhere" in read_experiments.status(core, ref)["search"]


def test_without_noise_the_best_value_is_the_best(core: Core) -> None:
    (best,) = decoded(read_experiments.best(core, written(core, None)))
    assert best["trial"] == LUCKY and best["expected"] is best["measured_best"] is None


def test_a_few_noisy_values_are_taken_as_they_are(core: Core) -> None:
    (best,) = decoded(read_experiments.best(core, written(core, 0.2, finished=9)))
    assert best["trial"] == 9 and best["expected"] is None


def test_of_a_long_search_the_best_values_are_always_looked_at(core: Core) -> None:
    ref = written(core, 0.2, finished=1200)
    (best,) = decoded(read_experiments.best(core, ref))
    assert best["trial"] != LUCKY and abs(best["parameters"]["x"] - 0.5) < 0.15


def test_a_model_is_made_once_for_each_length_of_the_history(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    history_lengths: list[int] = []

    def estimate(space: object, metrics: object, history: list[object]) -> tuple[int, float, float]:
        history_lengths.append(len(history))
        return 7, 0.1, 0.02

    monkeypatch.setattr(analyses, "best_estimate", estimate)
    ref = written(core, 0.2)
    for _ in range(3):
        assert read_experiments.status(core, ref)["best"][0]["trial"] == 7
    assert history_lengths == [40]


def test_who_looks_at_a_search_that_is_over_waits_for_the_model_that_is_being_made(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def estimate(space: object, metrics: object, history: object) -> tuple[int, float, float]:
        begun.set()
        assert go_on.wait(30)
        return 7, 0.1, 0.02

    monkeypatch.setattr(analyses, "best_estimate", estimate)
    ref = written(core, 0.2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(read_experiments.best, core, ref)
        assert begun.wait(30)
        second = threads.submit(read_experiments.best, core, ref)
        assert not wait([second], 0.3).done
        go_on.set()
        assert [each.result(30)[0]["trial"] for each in (first, second)] == [7, 7]


def test_a_search_that_ends_while_a_model_is_made_shows_the_best_of_all_its_results(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = written(core, 0.2)
    chosen = iter([3, 7])

    def turned(state: ExperimentState, results: int) -> None:
        with core.store.transaction() as session:
            row = experiments.find(session, ref)
            row.state, row.history_seq = state, results
            experiments.save(session, row)

    def estimate(space: object, metrics: object, history: object) -> tuple[int, float, float]:
        turned(ExperimentState.COMPLETED, 40)
        return next(chosen), 0.1, 0.02

    monkeypatch.setattr(analyses, "best_estimate", estimate)
    turned(ExperimentState.RUNNING, 30)
    status = read_experiments.status(core, ref)
    assert (status["state"], status["best"][0]["trial"]) == ("completed", 7)


def test_the_raw_best_stands_while_the_engines_process_is_gone(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_engine_error(space: object, metrics: object, history: object) -> None:
        raise EngineLost("it is gone")

    monkeypatch.setattr(analyses, "best_estimate", raise_engine_error)
    (best,) = decoded(read_experiments.best(core, written(core, 0.2)))
    assert best["trial"] == LUCKY and best["expected"] is None


@pytest.mark.parametrize("stddev", [None, 0.3])
def test_the_front_of_noisy_metrics_leaves_out_what_only_luck_put_there(core: Core, stddev: float | None) -> None:
    """Both losses are bowls; one trial far from both was lucky in both and beats everything as reported."""
    numbers = iter(range(1, 61))

    def outcome(parameters: dict[str, Any], chance: random.Random) -> tuple[str, dict[str, float], None]:
        x, lucky = parameters["x"], next(numbers) == LUCKY
        losses = {name: 4 * (x - at) ** 2 + chance.gauss(0, 0.1) for name, at in (("a", 0.4), ("b", 0.6))}
        return "completed", dict.fromkeys(losses, -1.0) if lucky else losses, None

    parameters = [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}]
    metrics = [{"name": name, "goal": "minimize"} for name in "ab"]
    ref = Writer(core.store, Plan("front", parameters, metrics, outcome, 60, 60), random.Random(3)).write()
    with core.store.transaction() as session:
        session.change(update(tables.trial_metrics).values(stddev=stddev))
    front = decoded(read_experiments.best(core, ref))
    assert read_experiments.status(core, ref)["best"] == front
    later = replace(core, estimates=Estimates())
    assert read_experiments.statuses(later)["items"][0]["best"] == front
    if stddev is None:
        assert [each["trial"] for each in front] == [LUCKY]
    else:
        assert len(front) > 1 and all(0.25 < each["parameters"]["x"] < 0.75 for each in front)
