from __future__ import annotations

from collections import Counter

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create
from tests.contract.engine_contract import MIXED, wide

LOSS = Metric("loss", "minimize")


def test_an_answer_depends_on_the_seed_of_the_ask_alone() -> None:
    one = create("random", wide(3), [LOSS], seed=1)
    two = create("random", wide(3), [LOSS], seed=2)
    assert one.ask([], 4, 17) == two.ask([one.ask([], 3, 16)], 5, 17)
    assert one.ask([], 4, 17) != one.ask([], 4, 18)


def test_values_are_even_along_each_axis() -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("c", "categorical", choices=("a", "b", "c"))))
    engine = create("random", space, [LOSS], seed=1)
    drawn = [engine.ask([], number, ask_seed(5, number)) for number in range(3000)]
    tenths = Counter(int(float(configuration["x"]) * 10) for configuration in drawn)
    assert all(230 < tenths[tenth] < 370 for tenth in range(10))
    assert all(880 < count < 1120 for count in Counter(configuration["c"] for configuration in drawn).values())


def test_each_branch_of_a_condition_is_drawn() -> None:
    engine = create("random", MIXED, [LOSS], seed=1)
    branches = Counter(engine.ask([], number, ask_seed(5, number))["method"] for number in range(400))
    assert branches["tuned"] > 140
    assert branches["plain"] > 140
