from __future__ import annotations

import pytest

from orchestune.config.experiment_file import parse
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput

BASE = """\
run: train {args}
parameters: {lr: 1e-5..0.1 log, width: 1..64, opt: [sgd, adam], run.x: ["{sgd}", s]}
metrics: {loss: minimize}
budget: 10
"""


def read(constraints: str, more: str = "") -> Specification:
    return parse(f"{BASE}constraints: {constraints}\n{more}", "experiment.yml").specification


@pytest.mark.parametrize(
    ("constraints", "texts"),
    [
        ("lr * width <= 1", ["lr * width <= 1"]),
        ("[lr * width <= 1, opt == 'sgd' or width > 3]", ["lr * width <= 1", "opt == 'sgd' or width > 3"]),
        ("[]", []),
        ("[\"opt in ['sgd', 'adam']\", \"'{sgd}' != run.x\"]", ["opt in ['sgd', 'adam']", "'{sgd}' != run.x"]),
    ],
)
def test_constraints_are_a_text_or_a_list_of_texts_and_travel_with_the_experiment(
    constraints: str, texts: list[str]
) -> None:
    specification = read(constraints)
    assert specification.space.texts() == texts
    assert Specification.from_json(specification.to_json()) == specification


def test_mistakes_are_told_where_they_are() -> None:
    with pytest.raises(BadInput) as caught:
        read("[lr < 1, widht < 3, width = 3]")
    assert caught.value.message.splitlines() == [
        "experiment.yml:5:23: constraints[1]: `widht < 3`: unknown parameter: 'widht' (did you mean width?)",
        "experiment.yml:5:34: constraints[2]: `width = 3`: invalid syntax (write == for equal)",
    ]
    with pytest.raises(BadInput, match=r"experiment.yml:5:14: constraints: `lr`: is not a condition"):
        read("lr")


def test_a_text_that_a_parameter_never_is_is_a_mistake() -> None:
    with pytest.raises(BadInput) as caught:
        read("[opt == 'sgd', opt != 'SGD', width < 3 or 'adma' == opt, \"opt in ['sgd', 'lion']\", \"width in ['x']\"]")
    assert caught.value.message.splitlines() == [
        "experiment.yml:5:29: constraints[1]: `opt != 'SGD'`: opt is never 'SGD' (did you mean sgd?)",
        "experiment.yml:5:43: constraints[2]: `width < 3 or 'adma' == opt`: opt is never 'adma' (did you mean adam?)",
        "experiment.yml:5:71: constraints[3]: `opt in ['sgd', 'lion']`: opt is never 'lion' (values: sgd, adam)",
        "experiment.yml:5:97: constraints[4]: `width in ['x']`: width is never 'x'",
    ]


def test_an_older_experiment_that_has_one_is_still_read() -> None:
    document = read("opt == 'sgd'").to_json()
    document["constraints"] = ["opt != 'SGD'"]
    assert Specification.from_json(document).space.texts() == ["opt != 'SGD'"]


def test_a_configuration_to_try_first_that_they_do_not_allow_is_refused() -> None:
    with pytest.raises(BadInput, match=r"experiment.yml:6:13: try_first\[0\]: constraints `width < 9` does not hold"):
        read("width < 9", "try_first: [{lr: 0.1, width: 9, opt: sgd, run.x: s}]\n")


def test_a_grid_that_cannot_be_counted_needs_a_budget() -> None:
    grid = """\
run: train {args}
parameters: {a: 1..100, b: 1..100, c: 1..100}
metrics: {loss: minimize}
engine: grid
constraints: a + b == c
"""
    with pytest.raises(BadInput, match="budget: is missing, and the grid is too large to be the default"):
        parse(grid, "experiment.yml")
    assert parse(f"{grid}budget: 10", "experiment.yml").specification.budget == 10
    small = parse(grid.replace("100", "9"), "experiment.yml").specification
    assert small.budget == small.space.size() == 36
