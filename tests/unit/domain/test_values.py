"""Amounts, metrics, handles: the small things."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from orchestune.domain.lifecycle import ids
from orchestune.domain.resources.allocation import Demand, allocate
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import (
    Capacity,
    Machine,
    Resources,
    fits,
    parse_bytes,
    parse_cpu,
    parse_seconds,
)
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.specification import folds
from orchestune.domain.specification.metrics import Metric, Point, ReducedMetric, averaged, pareto_front, reduce


@pytest.mark.parametrize(("text", "amount"), [("2Gi", 2 << 30), ("500M", 500_000_000), (1024, 1024), ("1.5k", 1500)])
def test_amounts_of_memory(text: str | int, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("500m", 0.5), (2, 2.0), ("0.25", 0.25), (0.00012345678901234567, 0.00012345678901234567)]
)
def test_amounts_of_cpu(text: str | float, amount: float) -> None:
    assert parse_cpu(text) == amount


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1h30m", 5400), ("2d", 172800), (0.5, 0.5)])
def test_lengths_of_time(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "five", "1 potato", 0, -3, True])
def test_nonsense_is_refused_with_what_is_allowed(text: str | int) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_seconds(text)


@pytest.mark.parametrize("parse", [parse_bytes, parse_cpu, parse_seconds])
def test_more_than_there_is_of_anything_is_nonsense(parse: Callable[[str], float]) -> None:
    for text in ("9" * 400, "1." + "0" * 400, "9" * 400 + "d"):
        with pytest.raises(ValueError, match="expected"):
            parse(text)


@pytest.mark.parametrize(("take", "value"), [("last", 2.0), ("best", 1.0), ("mean:2", 2.5), ("mean:10", 2.0)])
def test_values_are_reduced_as_the_metric_says(take: str, value: float) -> None:
    points = [Point("loss", v) for v in (1.0, 3.0, 2.0)]
    assert reduce(Metric("loss", "minimize", take), points).value == value


@pytest.mark.parametrize(
    ("values", "mean", "spread"),
    [
        ([1.0, 2.0, 6.0], 3.0, 7**0.5),
        ([4.0], 4.0, None),
        ([1e200, 0.0], 5e199, 1e200 / 2**0.5),
        ([1.7e308, 1.7e308], 1.7e308, 0.0),
        ([1.7e308, -1.7e308], 0.0, 1.7976931348623157e308),
    ],
)
def test_values_as_large_as_numbers_go_have_a_mean_and_a_spread(
    values: list[float], mean: float, spread: float | None
) -> None:
    average = averaged(values)
    assert (average.value, average.stddev) == pytest.approx((mean, spread))
    assert folds.combine([{"loss": ReducedMetric(value)} for value in values])["loss"].value == pytest.approx(mean)


@pytest.mark.parametrize("value", [0.1, 0.7, 0.9123456789, 1e-300, -3.3])
def test_folds_that_agree_are_not_noisy_by_rounding(value: float) -> None:
    assert averaged([value] * 3) == ReducedMetric(value, 0.0)
    assert averaged([value] * 10) == ReducedMetric(value, 0.0)


@pytest.mark.parametrize(
    ("values", "finite"),
    [([1.0, math.nan], None), ([math.inf, 1.0, -math.inf], None), ([math.inf, 1.0], 1.0), ([2.0, math.nan, 4.0], 3.0)],
)
def test_a_mean_is_not_finite_where_the_last_value_is_not(values: list[float], finite: float | None) -> None:
    mean = reduce(Metric("loss", "minimize", "mean:3"), [Point("loss", value) for value in values]).value
    assert mean == finite if finite is not None else not math.isfinite(mean)


def test_the_front_holds_what_nothing_dominates() -> None:
    metrics = (Metric("accuracy", "maximize"), Metric("seconds", "minimize"))
    trials = [
        (1, {"accuracy": 0.9, "seconds": 5.0}),
        (2, {"accuracy": 0.8, "seconds": 1.0}),
        (3, {"accuracy": 0.8, "seconds": 2.0}),
        (4, {"accuracy": 0.9, "seconds": 5.0}),
        (5, {"accuracy": float("nan"), "seconds": 0.0}),
    ]
    assert pareto_front(metrics, trials) == [1, 2]


def test_a_long_front_is_found_without_comparing_every_pair() -> None:
    compared = 0

    class Counted(float):
        def __le__(self, other: float) -> bool:
            nonlocal compared
            compared += 1
            return float(self) <= other

    metrics = [Metric("loss", "minimize"), Metric("size", "minimize")]
    trials = [(number, {"loss": Counted(number), "size": Counted(-number)}) for number in range(1000)]
    assert pareto_front(metrics, trials) == list(range(1000))
    assert compared < 1000 * 10


def test_a_handle_comes_from_the_name() -> None:
    assert ids.handle("SGD classifier (März)", b"\x07\x0f\x03\x0a") == "sgd-classifier-marz-7f3a"
    assert ids.slug("!!!") == "experiment"
    assert len(ids.slug("x" * 100)) == 24
    assert ids.split_reference("sgd-7f3a/12") == ("sgd-7f3a", 12)
    with pytest.raises(ValueError, match="invalid trial number"):
        ids.split_reference("sgd-7f3a/best")


def test_ids_sort_by_time() -> None:
    identifiers = [ids.uuid7(milliseconds, bytes(10)) for milliseconds in (1, 2, 1_700_000_000_000)]
    assert identifiers == sorted(identifiers)
    assert identifiers[0][14] == "7"


def test_slots_go_to_who_comes_first_and_the_rest_waits() -> None:
    capacity = Capacity((Machine(4, 8 << 30, (Gpu("0"), Gpu("1"))),))
    demands = [
        Demand("a", 2, Resources(cpu=1, gpu=1)),
        Demand("b", 9, Resources(cpu=1, memory=4 << 30)),
        Demand("c", 1, Resources(gpu=1)),
        Demand("d", 7, Resources()),
    ]
    assert allocate(capacity, demands) == {"a": 2, "b": 2, "c": 0, "d": 7}
    assert fits(capacity, Resources(gpu=3)) == "a trial needs 3 gpu, this machine has 2"
    assert fits(capacity, Resources(cpu=4)) is None


@pytest.mark.parametrize(
    ("low", "high", "log", "value", "rounded"),
    [
        (1e-6, 0.1, True, 0.000803574912345, 0.0008036),
        (1e-5, 1.0, True, 0.0010000000000000002, 0.001),
        (0.0, 1.0, False, 0.859846123, 0.8598),
        (0.0, 1.0, False, 1e-6, 0.0),
        (-1.0, 1.0, False, -1e-9, 0.0),
        (10.0, 500.0, False, 70.4938271, 70.49),
        (0.0, 1e9, False, 123456789.3, 123500000.0),
        (0.012341, 0.5, False, 0.0123415, 0.012341),
        (0.99998, 1.0, False, 0.999994938271, 0.999994938),
        (-1e308, 1e308, False, 7.53086e307, 7.5309e307),
    ],
)
def test_a_number_is_rounded_to_what_a_person_would_write(
    low: float, high: float, log: bool, value: float, rounded: float
) -> None:
    number = Parameter("x", "float", low, high, log=log).rounded(value)
    assert repr(number) == repr(rounded)


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("x", "float", 0.0, 1.0, step=1 / 3),
        Parameter("x", "int", 1, 10**12),
        Parameter("x", "categorical", choices=(0.123456789, "a")),
    ],
)
def test_steps_integers_and_choices_are_not_rounded(parameter: Parameter) -> None:
    for value in (parameter.from_unit(0.1), parameter.from_unit(0.4)):
        assert parameter.rounded(value) == value
