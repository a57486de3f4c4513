"""Masses as SciPy has them."""

from __future__ import annotations

import pytest
from scipy.stats import beta, norm

from orchestune.domain.search import distributions


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, 1), (2, 8), (0.01, 99), (0.001, 0.001), (1500, 4500), (999, 1e6), (5, 1e6), (1001, 1e12), (1e6, 1e6)],
)
@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_the_beta_distribution_is_that_of_scipy(a: float, b: float, share: float) -> None:
    place = float(beta.ppf(share, a, b))
    if 0 < place < 1:
        assert distributions.beta(a, b, place, 1 - place) == pytest.approx(float(beta.cdf(place, a, b)), abs=2e-7)


def test_the_ends_of_a_beta_distribution_hold_nothing_and_all() -> None:
    assert (distributions.beta(2, 3, 0.0, 1.0), distributions.beta(2, 3, 1.0, 0.0)) == (0.0, 1.0)


@pytest.mark.parametrize(("below", "above"), [(-1, 1), (5, 6), (8, 9), (-9, -8), (0.5, 0.5 + 1e-5), (-1e9, 1e9)])
def test_the_normal_distribution_is_that_of_scipy_also_far_out(below: float, above: float) -> None:
    expected = norm.cdf(above) - norm.cdf(below) if below < 0 else norm.sf(below) - norm.sf(above)
    assert distributions.normal(below, above) == pytest.approx(float(expected), rel=1e-6)


def test_what_is_too_narrow_for_a_difference_still_has_a_mass() -> None:
    assert distributions.normal(6.0, 6.0 + 1e-12) == pytest.approx(float(norm.pdf(6.0)) * 1e-12, rel=1e-3)
