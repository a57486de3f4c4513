from __future__ import annotations

from hypothesis import given, settings

from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Space
from orchestune.engines.constraints.identity import ConfigurationKeys
from tests.contract.engine_contract import FINITE, MIXED
from tests.contract.spaces import spaces


@settings(derandomize=True, database=None)
@given(spaces(finite=True, most=3))
def test_different_points_have_different_names(space: Space) -> None:
    points = list(space.walk())
    assert len(ConfigurationKeys(space).set_of(points)) == len(points) == space.size()


def test_the_order_of_names_and_the_spelling_of_numbers_do_not_matter() -> None:
    space = Space.of((Parameter("a", "float", 0.0, 1.0, step=0.1), Parameter("b", "int", 1, 5)))
    identity = ConfigurationKeys(space)
    assert identity.of({"a": 0.3, "b": 2}) == identity.of({"b": 2.0, "a": 0.1 + 0.2})
    assert identity.of({"a": 1, "b": 2}) == identity.of({"a": 1.0, "b": 2})


def test_one_and_true_are_two_values() -> None:
    identity = ConfigurationKeys(FINITE)
    one: dict[str, Value] = {"optimizer": "none", "layers": 1, "mixed": 1}
    assert identity.of(one) != identity.of({**one, "mixed": True})


def test_whether_a_float_is_active_decides_what_is_continuous() -> None:
    identity = ConfigurationKeys(MIXED)
    assert identity.continuous({"method": "tuned", "rate": 0.1})
    assert not identity.continuous({"method": "plain", "depth": 1})


def test_the_names_of_large_configurations_stay_short() -> None:
    space = Space.of(tuple(Parameter(f"x{index}", "float", 0.0, 1.0) for index in range(200)))
    identity = ConfigurationKeys(space)
    point = {f"x{index}": index / 200 for index in range(200)}
    assert len(identity.of(point)) == 16
    assert identity.of(point) != identity.of({**point, "x199": 0.5})
