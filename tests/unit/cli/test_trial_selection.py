"""`trials` lists those that its options select, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer, trial

Cli = Callable[..., Result]


@pytest.fixture
def listed(server: FakeServer, cli: Cli) -> Callable[..., list[int]]:
    """Return the numbers of the trials that `trials` lists with these options."""
    names = ("alpha", "penalty", "l1_ratio")
    server.world.specification = {"specification": {"parameters": [{"name": name} for name in names]}}
    server.world.trials["sgd-7f3a"] = [
        searched(1, alpha=0.1, penalty="l1", accuracy=0.7),
        searched(2, alpha=0.01, penalty="l2", accuracy=0.9),
        searched(3, alpha=0.001, penalty="elasticnet", accuracy=0.8, l1_ratio=0.5),
        searched(4, alpha=0.02, penalty="l1", accuracy=None, state="failed"),
    ]

    for number, f1 in ((1, 0.3), (3, 0.2)):
        server.world.trials["sgd-7f3a"][number - 1]["metrics"]["f1"] = {"value": f1, "stddev": None}

    def numbers(*options: str) -> list[int]:
        result = cli("trials", "sgd-7f3a", *options, "--json")
        assert result.code == 0, result.err
        return [each["number"] for each in json.loads(result.out)]

    return numbers


def searched(number: int, *, accuracy: float | None, state: str = "completed", **parameters: Any) -> dict[str, Any]:
    metrics = {} if accuracy is None else {"accuracy": {"value": accuracy, "stddev": None}}
    return trial(number, state=state, parameters=parameters, metrics=metrics)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ((), [1, 2, 3, 4]),
        (("--limit", "2"), [1, 2]),
        (("--sort", "accuracy"), [2, 3, 1, 4]),
        (("--sort=-accuracy",), [1, 3, 2, 4]),
        (("--sort", "metrics.accuracy", "--limit", "1"), [2]),
        (("--sort", "alpha"), [3, 2, 4, 1]),
        (("--sort", "f1"), [3, 1, 2, 4]),
        (("--sort=-parameters.alpha",), [1, 4, 2, 3]),
        (("--sort=-number",), [4, 3, 2, 1]),
        (("--where", "alpha<0.02"), [2, 3]),
        (("--where", "alpha <= 2e-2"), [2, 3, 4]),
        (("--where", "penalty=l1"), [1, 4]),
        (("--where", "penalty == 'l1'"), [1, 4]),
        (("--where", "penalty!=l1"), [2, 3]),
        (("--where", "l1_ratio>0"), [3]),
        (("--where", "l1_ratio!=0"), [3]),
        (("--where", "accuracy>0.75", "--where", "alpha>0.005"), [2]),
        (("--where", "parameters.alpha>0.05"), [1]),
        (("--where", "number>=3", "--state", "completed"), [3]),
        (("--where", "accuracy>0.7", "--sort", "accuracy", "--limit", "1"), [2]),
        (("--where", "accuracy>2"), []),
    ],
)
def test_trials_are_selected_and_ordered_by_their_values(
    listed: Callable[..., list[int]], options: Sequence[str], numbers: list[int]
) -> None:
    assert listed(*options) == numbers


def test_the_best_of_a_minimized_metric_come_first(server: FakeServer, listed: Callable[..., list[int]]) -> None:
    metric = {"name": "accuracy", "goal": "minimize", "take": "last", "threshold": None}
    server.update("sgd-7f3a", metrics=[metric])
    assert listed("--sort", "accuracy") == [1, 3, 2, 4]


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("alpha", "'alpha' (expected a comparison such as 'lr<0.01' or 'optimizer=adam')"),
        ("alpah<0.1", "no trial has a value of 'alpah'\nhint:  did you mean alpha?"),
        ("zzz=1", "hint:  there are values of number, seconds, alpha, penalty, accuracy, f1, l1_ratio"),
        ("penalty>l1", "cannot compare penalty by >: 'l1' and 'l1' (expected numbers)\nhint:  use = or !="),
        ("alpha>high", "cannot compare alpha by >: '0.1' and 'high' (expected numbers)"),
    ],
)
def test_a_condition_that_cannot_be_applied_is_an_error(
    listed: Callable[..., list[int]], cli: Cli, condition: str, error: str
) -> None:
    result = cli("trials", "sgd-7f3a", "--where", condition)
    assert result.code == 2
    assert error in result.err


def test_one_trial_is_neither_ordered_nor_selected(listed: Callable[..., list[int]], cli: Cli) -> None:
    for option in (("--sort", "alpha"), ("--where", "alpha<1"), ("--limit", "3")):
        result = cli("trials", "sgd-7f3a/2", *option)
        assert result.code == 2
        assert f"{option[0]} cannot be combined with a trial" in result.err


def test_a_selection_without_trials_says_so(listed: Callable[..., list[int]], cli: Cli) -> None:
    assert cli("trials", "sgd-7f3a", "--where", "accuracy>2").out == "no such trials\n"
