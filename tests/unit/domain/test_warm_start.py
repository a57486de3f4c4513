from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.search.warm_start import MAX_RESULTS, WarmStart, mapped, to_json, together
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.samplers.uniform import draw
from tests.contract.spaces import spaces

LOSS = (Metric("loss", "minimize"),)
SPACE = Space.of(
    (
        Parameter("lr", "float", 1e-5, 0.1, log=True),
        Parameter("layers", "int", 1, 8),
        Parameter("opt", "categorical", choices=("sgd", "adam", 3, 0.5)),
        Parameter("amp", "bool", choices=(False, True)),
        Parameter("momentum", "float", 0.0, 1.0, when=(("opt", ("sgd",)),)),
    )
)
PARAMETERS: dict[str, Any] = {"lr": 0.01, "layers": 3, "opt": "adam", "amp": True}


def one(document: dict[str, Any]) -> WarmStart:
    return mapped("old.csv", [document], SPACE, LOSS)


def test_a_flat_result_is_told_apart_by_names() -> None:
    warm_start = one({**PARAMETERS, "loss": 0.3, "note": "first"})
    assert warm_start.observations == (Observation(0, PARAMETERS, TrialState.COMPLETED, {"loss": 0.3}),)
    assert warm_start.notes == ()
    assert not warm_start.observations[0].own


def test_a_document_of_a_trial_is_read_with_its_deviation() -> None:
    warm_start = one(
        {"parameters": PARAMETERS, "metrics": {"loss": {"value": 0.3, "stddev": 0.1}}, "state": "completed"}
    )
    assert warm_start.observations == (Observation(0, PARAMETERS, TrialState.COMPLETED, {"loss": 0.3}, {"loss": 0.1}),)


def test_the_spread_of_folds_is_told_apart_from_how_sure_their_mean_is() -> None:
    row = {**PARAMETERS, "loss": "0.3", "loss.stddev": "0.1"}
    measured = {"loss": {"value": 0.3, "stddev": 0.1}}
    attempts = [{"fold": fold, "state": "succeeded"} for fold in (0, 1, 2, 3, 3)]
    for document, deviation in (
        ({**row, "folds": "4"}, 0.05),
        ({**row, "folds": "1"}, 0.1),
        ({**row, "folds": ""}, 0.1),
        ({**row, "folds": "0"}, 0.1),
        ({**row, "folds": "many"}, 0.1),
        ({**row, "attempts": "5"}, 0.1),
        ({"parameters": PARAMETERS, "metrics": measured, "folds": 4}, 0.05),
        ({"parameters": PARAMETERS, "metrics": measured, "attempts": attempts}, 0.05),
        ({"parameters": PARAMETERS, "metrics": measured, "attempts": attempts[:1]}, 0.1),
        ({"parameters": PARAMETERS, "metrics": measured, "attempts": [{"fold": ["a"]}, {"fold": ["a"]}]}, 0.1),
    ):
        assert one(document).observations[0].stddev == {"loss": pytest.approx(deviation)}, document


def test_a_column_folds_is_that_of_a_parameter_where_there_is_one() -> None:
    space = Space.of((Parameter("folds", "int", 2, 10),))
    row = {"folds": "4", "loss": "0.3", "loss.stddev": "0.1"}
    [observation] = mapped("old.csv", [row], space, LOSS).observations
    assert (observation.parameters, observation.stddev) == ({"folds": 4}, {"loss": 0.1})
    [observation] = mapped("old.csv", [{**row, "params.folds": "9"}], space, LOSS).observations
    assert observation.parameters == {"folds": 9}
    assert observation.stddev == {"loss": pytest.approx(0.05)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"lr": "1e-2"}, {"lr": 0.01}),
        ({"layers": "3.0"}, {"layers": 3}),
        ({"opt": "3"}, {"opt": 3}),
        ({"opt": "0.5"}, {"opt": 0.5}),
        ({"amp": "True"}, {"amp": True}),
        ({"amp": "0"}, {"amp": False}),
        ({"opt": "sgd", "momentum": "0.9"}, {"opt": "sgd", "momentum": 0.9}),
    ],
)
def test_texts_of_a_table_become_values_of_the_right_type(text: dict[str, str], expected: dict[str, Any]) -> None:
    warm_start = one({**PARAMETERS, **text, "loss": "0.25"})
    assert warm_start.observations[0].parameters == {**PARAMETERS, **expected}
    assert all(type(warm_start.observations[0].parameters[name]) is type(value) for name, value in expected.items())
    assert warm_start.observations[0].metrics == {"loss": 0.25}


@pytest.mark.parametrize("row", [
    {"params_lr": 0.01, "params_layers": 3, "params_opt": "adam", "params_amp": True, "value": 0.3, "state": "DONE"},
    {"param_lr": 0.01, "param_layers": 3, "param_opt": "adam", "param_amp": True, "mean_test_loss": 0.3},
    {"params.lr": 0.01, "params.layers": 3, "params.opt": "adam", "params.amp": True, "metrics.loss": 0.3},
    {"config": 1, "config/lr": 0.01, "config/layers": 3, "config/opt": "adam", "config/amp": True, "loss": 0.3},
])  # fmt: skip
def test_tables_of_other_tools_are_understood(row: dict[str, Any]) -> None:
    warm_start = one(row)
    assert [(observation.parameters, observation.metrics) for observation in warm_start.observations] == [
        (PARAMETERS, {"loss": 0.3})
    ]


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"lr": 0.5}, "old.csv: 1 of 1 results skipped: outside this space, such as lr = 0.5"),
        ({"opt": "lion"}, "old.csv: 1 of 1 results skipped: outside this space, such as opt = lion"),
        ({"layers": 3.4}, "old.csv: 1 of 1 results skipped: outside this space, such as layers = 3.4"),
        ({"layers": "many"}, "old.csv: 1 of 1 results skipped: outside this space, such as layers = many"),
        ({"loss": ""}, "old.csv: 1 of 1 results skipped: no value of loss"),
        ({"state": "running"}, "old.csv: 1 of 1 results skipped: not finished, such as state = running"),
        ({"status": "odd"}, "old.csv: 1 of 1 results skipped: not finished, such as status = odd"),
        (
            {"loss.stddev": -0.1},
            "old.csv: 1 of 1 results skipped: a standard deviation is negative, such as -0.1 of loss",
        ),
    ],
)
def test_what_is_no_result_of_this_space_is_left_out_and_told(changed: dict[str, Any], note: str) -> None:
    warm_start = one({**PARAMETERS, "loss": 0.3, **changed})
    assert warm_start.observations == ()
    assert warm_start.notes == (note,)


def test_what_lies_below_a_logarithmic_range_is_no_result_at_its_lower_bound() -> None:
    space = Space.of((Parameter("lr", "float", 1e-9, 1.0, log=True),))
    warm_start = mapped(
        "old.csv", [{"lr": each, "loss": 1} for each in (0, "1e-12", 1e-9, "1.0000000001")], space, LOSS
    )
    assert [observation.parameters for observation in warm_start.observations] == [{"lr": 1e-9}, {"lr": 1.0}]
    assert warm_start.notes == ("old.csv: 2 of 4 results skipped: outside this space, such as lr = 0",)


@pytest.mark.parametrize(
    ("column", "ended", "failed", "runs"),
    [("State", "finished", "crashed", "running"), ("trial_status", "COMPLETED", "FAILED", "RUNNING")],
    ids=["Weights & Biases", "Ax"],
)
def test_tables_of_others_tell_which_trials_still_run(column: str, ended: str, failed: str, runs: str) -> None:
    states = [(ended, 0.3), (failed, math.nan), (runs, 0.9), (runs, math.nan)]
    rows = [{**PARAMETERS, "loss": loss, column: state} for state, loss in states]
    warm_start = mapped("old.csv", rows, SPACE, LOSS)
    assert [observation.state for observation in warm_start.observations] == [TrialState.COMPLETED, TrialState.FAILED]
    assert warm_start.notes == (f"old.csv: 2 of 4 results skipped: not finished, such as {column} = {runs}",)


def test_a_status_is_a_state_where_nothing_else_is_called_so() -> None:
    assert one({**PARAMETERS, "loss": 0.3, "status": "failed"}).observations[0].state is TrialState.FAILED
    space = Space.of((Parameter("status", "categorical", choices=("failed", "good")),))
    flat, trial = ({"status": "failed", "loss": 0.3}, {"parameters": {"status": "good"}, "status": "failed"})
    warm_start = mapped("old.csv", [flat, trial], space, LOSS)
    assert [observation.state for observation in warm_start.observations] == [TrialState.COMPLETED, TrialState.FAILED]


def test_what_lies_between_two_steps_was_measured_elsewhere_and_what_a_table_has_rounded_was_not() -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0, step=1 / 3), Parameter("n", "int", 16, 100, step=16)))
    rows: list[dict[str, float]] = [
        {"x": 0.6667, "n": 32},
        {"x": 0.5, "n": 32},
        {"x": 1, "n": 100},
        {"x": 0.0, "n": 96.0},
    ]
    warm_start = mapped("old.csv", [{**row, "loss": 1} for row in rows], space, LOSS)
    assert [observation.parameters for observation in warm_start.observations] == [
        {"x": 2 / 3, "n": 32},
        {"x": 0.0, "n": 96},
    ]
    assert warm_start.notes == ("old.csv: 2 of 4 results skipped: outside this space, such as x = 0.5",)


def test_a_result_without_any_of_the_parameters_is_none() -> None:
    assert one({"loss": 0.3}).notes == ("old.csv: 1 of 1 results skipped: no parameter of this space",)


def test_a_missing_parameter_is_said_nothing_about_and_an_unknown_one_not_looked_at() -> None:
    warm_start = one({"parameters": {"lr": 0.01, "opt": "adam", "width": 7}, "metrics": {"loss": 1}})
    assert warm_start.observations[0].parameters == {"lr": 0.01, "opt": "adam"}
    assert warm_start.notes == (
        "old.csv: ignored, since this space has no such parameters: width",
        "old.csv: 1 of 1 results have no value of layers, and do not inform its search",
        "old.csv: 1 of 1 results have no value of amp, and do not inform its search",
    )


def test_a_parameter_that_does_not_apply_is_left_out() -> None:
    assert "momentum" not in one({**PARAMETERS, "momentum": 0.5, "loss": 1}).observations[0].parameters


@pytest.mark.parametrize(
    ("document", "state"),
    [
        ({"state": "FAIL"}, TrialState.FAILED),
        ({"state": "pruned"}, TrialState.PRUNED),
        ({"loss": "nan"}, TrialState.FAILED),
        ({"loss": float("inf")}, TrialState.FAILED),
    ],
)
def test_failed_and_pruned_results_say_so(document: dict[str, Any], state: TrialState) -> None:
    assert [observation.state for observation in one({**PARAMETERS, **document}).observations] == [state]


PRUNED = {**PARAMETERS, "state": "pruned"}


@pytest.mark.parametrize(
    ("documents", "states"),
    [
        ([{**PARAMETERS, "error": 1}, {**PRUNED, "error": 2}, {**PARAMETERS, "state": "failed"}], ["failed"]),
        ([{**PARAMETERS, "error": 1}, {**PARAMETERS, "loss": 1}, PRUNED], ["completed", "pruned"]),
        ([{**PARAMETERS, "state": "failed"}, PRUNED], ["failed", "pruned"]),
    ],
)
def test_what_another_metric_pruned_says_nothing(documents: list[dict[str, Any]], states: list[str]) -> None:
    warm_start = mapped("old.csv", documents, SPACE, LOSS)
    assert [observation.state for observation in warm_start.observations] == states
    note = "old.csv: 1 of 3 results skipped: pruned by another metric"
    assert (note in warm_start.notes) is (states == ["failed"])


def test_of_results_that_are_left_out_it_is_not_told_what_they_do_not_say() -> None:
    brief = {"lr": 0.01, "layers": 3, "opt": "sgd", "momentum": 0.5}
    warm_start = mapped(
        "old.csv", [{**brief, "error": 1}, {**brief, "state": "pruned"}, {**brief, "state": "failed"}], SPACE, LOSS
    )
    assert warm_start.notes[2:] == ("old.csv: 1 of 3 results have no value of amp, and do not inform its search",)


def test_of_two_metrics_the_first_one_prunes() -> None:
    metrics = (*LOSS, Metric("size", "minimize"))
    warm_start = mapped("old.csv", [{**PARAMETERS, "loss": 1}, PRUNED], SPACE, metrics)
    assert [observation.state for observation in warm_start.observations] == ["pruned"]


def test_of_very_many_results_the_best_are_kept_in_their_order() -> None:
    documents: list[dict[str, Any]] = [
        {**PARAMETERS, "lr": 0.01, "loss": (index * 7919) % 10_007} for index in range(2 * MAX_RESULTS)
    ]
    warm_start = mapped("old.csv", documents, SPACE, LOSS)
    losses = [observation.metrics["loss"] for observation in warm_start.observations]
    assert len(losses) == MAX_RESULTS
    assert (
        sorted(losses)[: MAX_RESULTS // 10] == sorted(document["loss"] for document in documents)[: MAX_RESULTS // 10]
    )
    order = {document["loss"]: index for index, document in enumerate(documents)}
    places = [order[loss] for loss in losses]
    assert places == sorted(places)
    assert max(after - before for before, after in pairwise(places)) <= 3
    assert warm_start.notes == (
        f"old.csv: of {2 * MAX_RESULTS} results the best and an even selection of the others are used",
    )


def test_several_sources_are_one_and_named() -> None:
    warm_start = one({**PARAMETERS, "loss": 1})
    both = together([warm_start, WarmStart("sgd-7f3a", warm_start.observations * 3, ("x",))], SPACE, LOSS)
    assert both.source == "1 result of old.csv, 3 of sgd-7f3a"
    assert len(both.observations) == 4
    assert both.notes == ("x",)


@settings(derandomize=True, database=None)
@given(spaces(), st.integers(0, 2**32))
def test_what_was_written_down_comes_back(space: Space, seed: int) -> None:
    observation = Observation(0, draw(space, Random(seed)), TrialState.COMPLETED, {"loss": 1.5}, {"loss": 0.5})
    back = mapped("", [to_json(observation)], space, LOSS)
    assert back.observations == (observation,)
    assert [type(value) for value in back.observations[0].parameters.values()] == [
        type(value) for value in observation.parameters.values()
    ]


@pytest.mark.parametrize(
    ("raw", "value"), [("1", 1.0), (1, 1.0), ("true", True), (True, True), ("0", False), (0, False)]
)
def test_one_and_true_are_two_values_where_a_parameter_has_both(raw: Any, value: Any) -> None:
    space = Space.of((Parameter("a", "categorical", choices=(True, False, 1.0)),))
    [observation] = mapped("old.csv", [{"a": raw, "loss": 0.3}], space, LOSS).observations
    assert repr(observation.parameters["a"]) == repr(value)
