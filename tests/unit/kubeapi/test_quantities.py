"""Quantities of Kubernetes are parsed exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.backends.kubernetes.objects.quantities import amount
from orchestune.kubeapi.quantities import parse_quantity

FACTORS = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}  # fmt: skip
NUMBERS = st.from_regex(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})", fullmatch=True)


@given(number=NUMBERS, suffix=st.sampled_from(sorted(FACTORS)))
def test_a_number_with_a_suffix_has_its_exact_value(number: str, suffix: str) -> None:
    assert Fraction(parse_quantity(number + suffix)) == Fraction(Decimal(number)) * FACTORS[suffix]


@given(number=NUMBERS, letter=st.sampled_from("eE"), exponent=st.integers(-99, 99), sign=st.sampled_from(["", "+"]))
def test_a_number_with_an_exponent_has_its_exact_value(number: str, letter: str, exponent: int, sign: str) -> None:
    text = f"{number}{letter}{sign if exponent >= 0 else ''}{exponent}"
    assert Fraction(parse_quantity(text)) == Fraction(Decimal(number)) * Fraction(10) ** exponent


@given(st.text(max_size=12))
def test_any_other_text_is_a_value_error_and_counts_as_nothing(text: str) -> None:
    try:
        value = parse_quantity(text)
    except ValueError:
        assert amount(text) == 0.0
    else:
        assert amount(text) == pytest.approx(float(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2Gi", "2147483648"), ("1E", "1e18"), ("1E3", "1000"), ("1.5e-3", "0.0015"), ("-.5k", "-500")],
)
def test_usual_quantities(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 Gi", "1K", "1ki", "1e", "Gi", "1.2.3", "0x10", "NaN", "Infinity", "1_0", "١"]
)
def test_what_kubernetes_rejects_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="invalid quantity"):
        parse_quantity(text)


def test_huge_quantities_are_cheap_and_count_as_nothing() -> None:
    assert amount("1e999999999") == 0.0
    assert amount("9" * 10**6) == 0.0
    assert amount(None) == amount(True) == 0.0
    assert (amount(2), amount(0.5)) == (2.0, 0.5)
