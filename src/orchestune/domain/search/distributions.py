"""Probabilities of normal and beta distributions for which the standard library has no precise functions.

Accurate even if the distribution is far narrower or far wider than the interval, or lies outside it.
"""

from __future__ import annotations

import math

_NARROW_INTERVAL = 1e-3
"""standard deviations: in a narrower interval the normal density is practically linear"""
_NORMAL_SHAPE = 1000.0
"""shape parameters above which a beta distribution is practically normal on a transformed scale"""
_MAX_STEPS = 10_000
_TINY = 1e-300


def normal(below: float, above: float) -> float:
    """Return the probability that a standard normal variable lies between `below` and `above`."""
    if above - below < _NARROW_INTERVAL:
        middle = (below + above) / 2
        return (above - below) * math.exp(-middle * middle / 2) / math.sqrt(2 * math.pi)
    if below > 0:
        below, above = -above, -below
    return (math.erfc(-above / math.sqrt(2)) - math.erfc(-below / math.sqrt(2))) / 2


def beta(a: float, b: float, share: float, rest: float) -> float:
    """Return the beta CDF at `share`. `rest` is 1 - `share`: if it is tiny, the subtraction would lose its digits."""
    if share <= 0 or rest <= 0:
        return float(rest <= 0)
    if min(a, b) > _NORMAL_SHAPE:
        return _all_but_normal(a, b, share, rest)
    if share * (a + b + 2) > a + 1:
        return 1 - _fraction(b, a, rest, share)
    return _fraction(a, b, share, rest)


def _fraction(a: float, b: float, share: float, rest: float) -> float:
    """Return the incomplete beta function: its continued fraction by Lentz's method (Numerical Recipes, 6.4)."""
    logs = [math.log1p(-other) if one > other else math.log(one) for one, other in ((share, rest), (rest, share))]
    log = a * logs[0] + b * logs[1] - _log_beta(a, b) - math.log(a)
    if log < -700:
        return 0.0
    upper, lower = 1.0, 1 / _not_zero(1 - (a + b) * share / (a + 1))
    fraction = lower
    for step in range(1, _MAX_STEPS):
        even = step * (b - step) * share / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * share / ((a + 2 * step) * (a + 2 * step + 1))
        for term in (even, odd):
            lower, upper = 1 / _not_zero(1 + term * lower), _not_zero(1 + term / upper)
            fraction *= lower * upper
        if abs(lower * upper - 1) < 1e-15:
            break
    return min(math.exp(log) * fraction, 1.0)


def _not_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY


def _log_beta(a: float, b: float) -> float:
    """Return the log of the beta function, even if one argument is so large that the gammas cancel each other."""
    a, b = min(a, b), max(a, b)
    if b < 10:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    correction = a - a * math.log(b) - (a + b - 0.5) * math.log1p(a / b) + _stirling(b) - _stirling(a + b)
    return math.lgamma(a) + correction


def _stirling(number: float) -> float:
    """Return the remainder of Stirling's formula for the log-gamma function."""
    square = number * number
    return (1 / 12 - (1 / 360 - 1 / (1260 * square)) / square) / number


def _all_but_normal(a: float, b: float, share: float, rest: float) -> float:
    """Return the beta CDF by the normal approximation of Peizer and Pratt (1968)."""
    n = a + b - 1
    away = a - 1 / 3 - (n + 1 / 3) * share + 0.02 * (rest / a - share / b + (rest - 0.5) / (a + b))
    bends = rest * _bend((a - 0.5) / (n * share)) + share * _bend((b - 0.5) / (n * rest))
    return math.erfc(away * math.sqrt((1 + bends) / ((n + 1 / 6) * share * rest)) / math.sqrt(2)) / 2


def _bend(ratio: float) -> float:
    if abs(1 - ratio) < 1e-3:
        return (1 - ratio) / 3
    return (1 - ratio * ratio + 2 * ratio * math.log(ratio)) / (1 - ratio) ** 2
