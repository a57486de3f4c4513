from __future__ import annotations

import pytest

from orchestune.config.experiment_file import parse
from orchestune.domain.experiment import Specification
from orchestune.errors import BadInput

BASE = """\
run: train {args}
parameters: {lr: 1e-5..0.1 log, width: 1..64, opt: [sgd, adam]}
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
        "experiment.yml:5:23: constraints[1]: `widht < 3`: 'widht' is no parameter (did you mean width?)",
        "experiment.yml:5:34: constraints[2]: `width = 3`: is no expression (write == for equal)",
    ]
    with pytest.raises(BadInput, match=r"experiment.yml:5:14: constraints: `lr`: is neither true nor false"):
        read("lr")


def test_a_configuration_to_try_first_that_they_do_not_allow_is_refused() -> None:
    with pytest.raises(BadInput, match=r"experiment.yml:6:13: try_first\[0\]: constraints `width < 9` does not hold"):
        read("width < 9", "try_first: [{lr: 0.1, width: 9, opt: sgd}]\n")
