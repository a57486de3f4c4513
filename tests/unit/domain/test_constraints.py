from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestune.domain.search.constraints import InvalidConstraint, Kind, constraint
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.errors import BadInput

KINDS: dict[str, Kind] = {
    "lr": "number", "optim.lr": "number", "val/x-y": "number", "layers": "number", "opt": "text", "amp": "truth",
    "mixed": "any",
}  # fmt: skip
VALUES = {"lr": 0.25, "optim.lr": 0.5, "val/x-y": 2, "layers": 8, "opt": "sgd", "amp": True, "mixed": "x"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("lr * 2 + optim.lr <= 1", True),
        ("lr * 2 + optim.lr < 1", False),
        ("{val/x-y} == 2", True),
        ("{optim.lr} > lr", True),
        ("0.1 < lr < optim.lr < 1", True),
        ("0.1 < lr < 0.2 < optim.lr", False),
        ("opt == 'sgd' and not amp", False),
        ("opt in ['adam', 'sgd']", True),
        ("opt not in ('adam', 'sgd')", False),
        ("amp", True),
        ("amp == true or amp == false", True),
        ("amp == 1", True),
        ("layers % 4 == 0", True),
        ("layers // 3 == 2 and -layers < +lr", True),
        ("2 ** layers <= 256", True),
        ("max(lr, optim.lr, 0.1) == optim.lr", True),
        ("log10(lr) < sqrt(layers) and abs(lr - 1) >= 0.75", True),
        ("lr < (0.3 if opt == 'sgd' else 0.1)", True),
        ("mixed == 'x' or mixed == 3", True),
        ("1 / (lr - 0.25) > 0", False),
        ("log(lr - 1) < 0", False),
        ("9 ** 9 ** 9 ** layers > 0", False),
        ("(0 - lr) ** 0.5 < 1", False),
        ("floor(layers * 1e3) ** floor(layers * 1e5) > 0", False),
        ("mixed * floor(layers) != mixed", False),
    ],
)
def test_a_condition_holds_or_does_not(text: str, holds: bool) -> None:
    condition = constraint(text, KINDS)
    assert condition.holds(VALUES) is holds
    assert (condition.distance(VALUES) == 0) is holds


def test_braces_in_a_text_stand_for_themselves() -> None:
    assert constraint("opt == '{lr}' and {optim.lr} < 1", KINDS).holds({"opt": "{lr}", "optim.lr": 0.5})


def test_a_condition_on_what_does_not_apply_holds() -> None:
    condition = constraint("lr < 0 and layers < 0", KINDS)
    assert condition.names == {"lr", "layers"}
    assert condition.holds({"lr": 1.0})
    assert not condition.holds({"lr": 1.0, "layers": 3})


def test_the_distance_is_smaller_where_less_is_missing() -> None:
    condition = constraint("lr + layers <= 2 and opt == 'adam'", KINDS)
    assert condition.distance({**VALUES, "layers": 3}) < condition.distance({**VALUES, "layers": 8})
    either = constraint("lr > 5 or layers > 9", KINDS)
    assert either.distance(VALUES) == 1.0


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("3 <= layers <= 5", "layers >= 3 and layers <= 5"),
        ("not (lr + layers > 2)", "lr + layers <= 2"),
        ("not (lr < 0.1 or layers >= 3)", "lr >= 0.1 and layers < 3"),
        ("not 9 <= layers <= 20", "layers < 9 or layers > 20"),
        ("not not layers < 3", "layers < 3"),
        ("layers in [2, 30]", "layers == 2 or layers == 30"),
        ("not layers not in [2, 30]", "layers == 2 or layers == 30"),
        ("lr > 3 if amp else layers > 99", "lr > 3"),
        ("not (lr < 3 if opt == 'sgd' else layers < 99)", "lr >= 3"),
    ],
)
def test_spellings_of_one_condition_are_as_far_away(text: str, same: str) -> None:
    condition, plain = constraint(text, KINDS), constraint(same, KINDS)
    for layers in (1, 3, 8, 12, 40):
        for lr in (0.05, 0.25, 4.0):
            values = {**VALUES, "layers": layers, "lr": lr}
            assert condition.holds(values) is plain.holds(values)
            assert condition.distance(values) == pytest.approx(plain.distance(values))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr < 1", "unknown parameter: 'lrr' (did you mean lr?)"),
        ("lr = 1", "invalid syntax (write == for equal)"),
        ("lr <= 1 && amp", "invalid syntax (write `and`)"),
        ("lr <", "invalid syntax (for example lr * 2 + momentum <= 1)"),
        ("lr + 1", "is not a condition (add a comparison with"),
        ("1 < 2", "contains no parameter"),
        ("opt < 'sgd'", "`opt` and `'sgd'`: texts have no order"),
        ("opt == 3", "`opt` and `3`: texts cannot be compared with numbers"),
        ("opt * 2 < 3", "`opt` is a text, not a number"),
        ("lr and amp", "`lr` is not a condition"),
        ("open('x') < lr", "unknown function: `open`"),
        ("lr.__class__ < 1", "unknown parameter: 'lr.__class__'"),
        ("(lambda: lr)() < 1", "unknown function: "),
        ("[lr][0] < 1", "not supported: `[lr][0]`"),
        ("lr < 1 if amp else [x for x in opt]", "not supported: "),
        ("lr in opt", "`in` needs a list"),
        ("sqrt(lr, 2) < 1", "sqrt has 1 arguments"),
        ("lr is 1", "`is` is not supported"),
        ("(" * 400 + "lr < 1" + ")" * 400, "invalid syntax"),
        ("-" * 150 + "lr < 1", "is nested more than 100 levels deep"),
        ("lambda: " + "-" * 150 + "lr", "is nested more than 100 levels deep"),
        (" + ".join(["lr"] * 130) + " < 1", "is nested more than 100 levels deep"),
        ("lr < " + "1" * 1000, "is longer than 1000 characters"),
        ("lr < b'x'", "unsupported constant"),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_what_is_no_condition_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidConstraint) as caught:
        constraint(text, KINDS)
    assert message in f"{caught.value} ({caught.value.hint})"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("val/x-y > 3", "write {val/x-y} for the parameter"),
        ("lambda > 1", "write {lambda} for the parameter"),
        ("{lambda} > 1 and opt == sgd", "parameters are lr, lambda, val/x-y, opt; put a text in quotes: 'sgd'"),
    ],
)
def test_what_braces_and_quotes_are_for_is_told_where_they_are_missing(text: str, hint: str) -> None:
    kinds: dict[str, Kind] = {"lr": "number", "lambda": "number", "val/x-y": "number", "opt": "text"}
    with pytest.raises(InvalidConstraint) as caught:
        constraint(text, kinds)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "nested",
    ["({} < 1)", "(0 < {} < 1)", "({} in [2, 3, 4])", "({} not in [2, 3, 4])", "({} + 0.5 - lr < 1)", "(-{} == 1)"],
)
def test_a_nested_comparison_is_built_and_evaluated_once(nested: str) -> None:
    text = "lr"
    for _ in range(12):
        text = nested.format(text)
    kinds, values = Reads({"lr": "number"}), Reads({"lr": 0.25})
    condition = constraint(text, kinds)
    condition.holds(values)
    condition.distance(values)
    assert kinds.reads < 200 and values.reads < 200, "two readings at each of 12 levels would be thousands"


class Reads(dict[str, Any]):
    """A mapping that counts how often a value is read."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        self.reads += 1
        return super().__getitem__(name)


@settings(derandomize=True, database=None, max_examples=300)
@given(st.text("lropt<>=+-*/()[]{}'., 0123456789andorif\n\0\\", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = constraint(text, KINDS)
    except InvalidConstraint:
        return
    assert condition.holds(VALUES) in (True, False)


def test_a_space_knows_what_its_constraints_allow() -> None:
    parameters = (
        Parameter("a", "int", 1, 4),
        Parameter("b", "int", 1, 4),
        Parameter("c", "bool", choices=(False, True)),
    )
    space = Space.of(parameters, ["a + b <= 4", "c or a == 1"])
    allowed = [{"a": a, "b": b, "c": c} for a in range(1, 5) for b in range(1, 5) for c in (False, True)
               if a + b <= 4 and (c or a == 1)]  # fmt: skip
    assert list(space.walk()) == allowed
    assert space.size() == len(allowed)
    problems: list[Any] = space.configuration_problems({"a": 3, "b": 3, "c": True})
    assert [problem.message for problem in problems] == ["`a + b <= 4` does not hold"]
    assert Space.from_json(space.to_json(), space.texts()) == space


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("a + b + c == 1", lambda a, b, c: a + b + c == 10),
        ("a + b + c - 1 == 0", lambda a, b, c: a + b + c == 10),
        ("a + b != c", lambda a, b, c: a + b != c),
        ("a + b + c <= 0.6", lambda a, b, c: a + b + c <= 6),
        ("not a + b + c > 0.6", lambda a, b, c: a + b + c <= 6),
        ("0.2 < a + b < c", lambda a, b, c: 2 < a + b < c),
        ("2 * a == 3 * b and a * c >= 0.06", lambda a, b, c: 2 * a == 3 * b and a * c >= 6),
    ],
)
def test_steps_are_counted_as_they_are_written_and_not_as_they_are_rounded(
    text: str, is_allowed: Callable[[int, int, int], bool]
) -> None:
    space = Space.of(tuple(Parameter(name, "float", 0.0, 1.0, step=0.1) for name in "abc"), [text])
    tenths = itertools.product(range(11), repeat=3)
    allowed = [tuple(round(10 * float(value)) for value in configuration.values()) for configuration in space.walk()]
    assert allowed == [each for each in tenths if is_allowed(*each)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [("x < 1e301", True), ("x > 0", True), ("y < y + 1", True), ("1e-300 < 2e-300 * x", True), ("y + x == y", False)],
)
def test_numbers_that_differ_by_more_than_rounding_are_not_equal(text: str, holds: bool) -> None:
    """However small or large they are; whole ones are never rounded."""
    assert constraint(text, {"x": "number", "y": "number"}).holds({"x": 1.0, "y": 2.0**52}) is holds


def test_every_wrong_constraint_of_a_space_is_told() -> None:
    with pytest.raises(BadInput) as caught:
        Space.of((Parameter("a", "int", 1, 4),), ["a < 3", "b < 3", "a +"])
    assert [problem.key for problem in caught.value.problems] == ["constraints[1]", "constraints[2]"]
