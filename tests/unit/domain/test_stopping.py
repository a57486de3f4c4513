"""When a search ends before its budget."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from orchestune.domain.lifecycle.states import ReasonCode
from orchestune.domain.specification.experiment import FutileTrials, StopRules
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.specification.stopping import SearchProgress, ended, missing_metric, not_finite
from orchestune.domain.words import most_similar

ACCURACY, LOSS = Metric("accuracy", "maximize"), Metric("loss", "minimize")


def progress(finished: int, best: float | None, budget: int = 40) -> SearchProgress:
    return SearchProgress(budget, finished, finished, 0, 0, best, 0, 1.0)


@pytest.mark.parametrize(
    ("metric", "futile", "finished", "best", "ends"),
    [
        (ACCURACY, FutileTrials(0.6, 20, "below"), 19, 0.5, False),
        (ACCURACY, FutileTrials(0.6, 20, "below"), 20, 0.59, True),
        (ACCURACY, FutileTrials(0.6, 20, "below"), 20, 0.6, False),
        (ACCURACY, FutileTrials(0.6, 20, "below"), 30, None, True),
        (LOSS, FutileTrials(0.6, 20, "above"), 20, 0.61, True),
        (LOSS, FutileTrials(0.6, 20, "above"), 20, 0.6, False),
    ],
)
def test_a_search_that_has_not_reached_the_limit_in_time_is_futile(
    metric: Metric, futile: FutileTrials, finished: int, best: float | None, ends: bool
) -> None:
    reason = ended(progress(finished, best), StopRules(futile=futile), metric)
    assert (reason is not None and reason.code is ReasonCode.FUTILE) is ends


def test_the_reason_tells_what_was_reached_and_what_was_not() -> None:
    reason = ended(progress(21, 0.5), StopRules(futile=FutileTrials(0.6, 20, "below")), ACCURACY)
    assert reason is not None
    assert reason.message == "accuracy after 21 finished trials: 0.5 is below 0.6"


def test_where_no_trial_keeps_every_limit_nothing_is_said_of_values() -> None:
    reason = ended(progress(20, None), StopRules(futile=FutileTrials(0.6, 20, "below")), ACCURACY)
    assert reason is not None and reason.message == "accuracy after 20 finished trials: none satisfies every limit"
    reason = ended(replace(progress(9, None), since_best=9), StopRules(patience=9), ACCURACY)
    assert (
        reason is not None and reason.message == "no better accuracy in the last 9 trials: none satisfies every limit"
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [(9, "every configuration of the space was tried (9)"), (1e6, "no untried configuration was found (9 tried)")],
)
def test_that_every_configuration_was_tried_is_said_where_it_is_known(size: float, words: str) -> None:
    reason = ended(replace(progress(9, 0.5), exhausted=True, size=size), StopRules(), LOSS)
    assert reason is not None and (reason.code, reason.message) == (ReasonCode.EXHAUSTED, words)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (StopRules(patience=1), "no better loss in the last trial"),
        (StopRules(max_failures=1), "1 trial failed, the limit is 1"),
        (StopRules(futile=FutileTrials(0.6, 1, "above")), "loss after 1 finished trial: none has completed"),
    ],
)
def test_of_one_trial_a_reason_tells_in_the_singular(rules: StopRules, words: str) -> None:
    completed, best = (1, 0.5) if rules.patience is not None else (0, None)
    reason = ended(SearchProgress(40, 1, completed, 1 - completed, 0, best, 1, 1.0), rules, LOSS)
    assert reason is not None and reason.message == words


def test_a_search_at_the_end_of_its_budget_has_spent_it() -> None:
    reason = ended(progress(20, 0.5, budget=20), StopRules(futile=FutileTrials(0.6, 20, "below")), ACCURACY)
    assert reason is not None
    assert reason.code is ReasonCode.BUDGET


@pytest.mark.parametrize(
    ("metrics", "files", "words"),
    [
        ({}, [], "never reported loss; print a line such as `loss=0.5`"),
        ({}, ["a.csv"], "never reported loss: a.csv, named in `collect`, does not contain it"),
        ({}, ["a.csv", "b/*.json"], "never reported loss: a.csv and b/*.json, named in `collect`, do not contain it"),
        ({"val_loss": 0.25}, ["a.csv"], "never reported loss; saw val_loss=0.25; did you mean val_loss?"),
    ],
)
def test_a_missing_metric_is_told_with_where_it_may_come_from(
    metrics: dict[str, float], files: list[str], words: str
) -> None:
    assert missing_metric("loss", metrics, ("loss",), files).endswith(words)


def test_a_value_that_is_not_finite_is_told_with_what_it_came_as() -> None:
    assert not_finite("loss", math.nan) == "loss is nan; only finite values count"
    message = not_finite("loss", math.nan, "orchestune: loss came as 1,234, which may be 1234 or 1.234\n")
    assert message.startswith(
        "the value of loss is ambiguous: it was reported as 1,234, which may be 1234 or 1.234; print "
    )


def test_a_missing_metric_that_has_a_unit_is_told_as_it_was_printed() -> None:
    message = missing_metric("time", {"loss": 0.25, "n": 3.0}, ("loss", "time"), printed="n=3\ntime: 12.5ms\n")
    assert message == (
        "the command succeeded but never reported time: `time: 12.5ms` has a unit; print the number alone, or add "
        r"`collect: {regex: '\btime:\s+(?P<time>[-+.\w]*\w)ms\b'}` to the experiment file"
    )
    assert "; print a line" in missing_metric("time", {}, ("time",), printed="timed: 12.5ms")


def test_a_missing_metric_that_was_printed_without_a_sign_is_told_as_it_was_printed() -> None:
    message = missing_metric("loss", {"lr": 0.25}, ("loss",), printed="epoch 3 loss 0.5\n")
    assert message.startswith(
        "the command succeeded but never reported loss: `epoch 3 loss 0.5` is not parsed as a value; "
    )
    assert "; return a number or" in missing_metric("loss", {}, ("loss",), of_function=True, printed="loss 0.5\n")


@pytest.mark.parametrize(
    ("printed", "hint"),
    [
        ("epoch: 3\nval_loss: 0.5\n", "saw val_loss; did you mean val_loss?"),
        ("{'lossy': 0.5, 'n': 1}", "saw lossy; did you mean lossy?"),
        ("time: 12 epoch: 3", "print a line such as `loss=0.5`"),
        ("los: none, losses: 3s", "print a line such as `loss=0.5`"),
    ],
)
def test_a_name_that_is_like_it_and_stands_before_a_number_is_told(printed: str, hint: str) -> None:
    message = missing_metric("loss", {}, ("loss",), printed=printed)
    assert message == f"the command succeeded but never reported loss; {hint}"


def test_of_very_many_long_names_a_few_are_compared() -> None:
    """A worker reported 950 names of 500 characters, whose comparison froze the server for half a minute."""
    rng = random.Random(1)
    name, *others = ("".join(rng.choices("ab", k=500)) for _ in range(951))
    assert "did you mean" in missing_metric(name, dict.fromkeys(others, 1.0), (name,))
    far = [f"{number:060}" for number in range(50)]
    assert most_similar("loss", ["losses", *far], 0.3) == "losses"
    assert most_similar("loss", [*far, "losses"], 0.3) == ""
    assert most_similar("x" * 60 + "y", ["x" * 60 + "z"], 0.9) == "x" * 60 + "z"


def test_a_function_that_returned_nothing_is_to_return_something() -> None:
    words = (
        "the function returned nothing and never reported loss; return a number or {'loss': 0.5}, or print `loss=0.5`"
    )
    assert missing_metric("loss", {}, ("loss",), of_function=True) == words
    assert "; return {'loss': 0.5, 'time': 0.5}, or" in missing_metric("loss", {}, ("loss", "time"), of_function=True)
    message = missing_metric("time", {"loss": 0.25}, ("loss", "time"), of_function=True)
    assert message == "the function never reported time; return {'loss': 0.5, 'time': 0.5}, or print `time=0.5`"
    message = missing_metric("loss", {"los": 0.25}, ("loss",), of_function=True)
    assert message == "the function succeeded but never reported loss; saw los=0.25; did you mean los?"
