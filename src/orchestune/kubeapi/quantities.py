"""Parsing of Kubernetes quantities: `500m`, `2Gi`, `1.5e3`."""

from __future__ import annotations

import re
from decimal import Context, Decimal

_DECIMAL_EXPONENTS = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY_EXPONENTS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]{1,9})|(?P<suffix>[A-Za-z]{0,2}))"
)
"""`1E` is 10^18, and `1E3` is 1000"""
_MAX_CHARACTERS = 1000


def parse_quantity(text: str) -> Decimal:
    """Return the exact value. Raises ValueError if the text is no quantity."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if match is None:
        raise ValueError(f"invalid quantity: {text[:100]!r}")
    number, suffix = match["number"], match["suffix"] or ""
    if suffix in _BINARY_EXPONENTS:
        factor = Decimal(1 << _BINARY_EXPONENTS[suffix])
        return Context(prec=len(number) + len(str(factor))).multiply(Decimal(number), factor)
    if suffix not in _DECIMAL_EXPONENTS:
        raise ValueError(f"invalid quantity: {text[:100]!r} (expected one of the suffixes of Kubernetes, such as Mi)")
    return Decimal(f"{number}e{match['exponent'] or _DECIMAL_EXPONENTS[suffix]}")
