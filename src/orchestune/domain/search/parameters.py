"""One dimension of a search space: its values and their prior."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from orchestune.domain.search.floats import as_float
from orchestune.domain.search.priors import Density, Prior, Scale, density, weights
from orchestune.domain.words import brief_list

Value = float | int | str | bool
Kind = Literal["float", "int", "categorical", "bool"]

MAX_CHOICE_CHARS = 1000  # characters of a choice; bounded because every trial stores its own copy
_ROUNDING_TOLERANCE = 1e-13  # exp(log(1e-6)) is 1.0000000000000004e-06
_PRECISION = 1e-4  # share of the range (of its logarithm on a log scale) that `rounded` changes a value by, at most


def token(value: object) -> tuple[bool, object]:
    """Return a key that distinguishes `true` from 1, which Python treats as equal; 1 and 1.0 have the same key."""
    return isinstance(value, bool), value


def same(one: object, other: object) -> bool:
    """Return True if two values are equal and both or neither are booleans."""
    return one == other and isinstance(one, bool) is isinstance(other, bool)


@dataclass(frozen=True)
class Parameter:
    """One dimension. `low`/`high` are inclusive; `choices` are the values of a categorical (for bool: False, True)."""

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] = ()
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    prior: Prior | None = None
    _truths: tuple[bool, ...] = field(init=False, repr=False)
    """flags of the boolean values, so that parameters with 1 and with `true` do not compare equal"""

    def __post_init__(self) -> None:
        values = (*self.choices, *(value for _, required in self.when for value in required))
        object.__setattr__(self, "_truths", tuple(isinstance(value, bool) for value in values))

    @property
    def numeric(self) -> bool:
        """True if the values have an order and a distance."""
        return self.kind in ("float", "int")

    def levels(self) -> tuple[Value, ...] | None:
        """Return all values in order; None for a float without a step."""
        return None if self.kind == "float" and self.step is None else tuple(self.each())

    def each(self) -> Iterator[Value]:
        """Yield each value of a finite parameter in order, lazily: there may be more of them than fit into memory."""
        if not self.numeric:
            yield from self.choices
            return
        assert self.low is not None and self.high is not None
        if self.kind == "int":
            yield from range(int(self.low), int(self.high) + 1, int(self.step or 1))
            return
        assert self.step is not None, f"{self.name} is not finite"
        for index in range(int(self.count())):
            yield _level(self.low, self.step, index)

    def count(self) -> float:
        """Return the number of values; infinity for a float without a step."""
        if not self.numeric:
            return len(self.choices)
        assert self.low is not None and self.high is not None
        if self.kind == "int":
            return (int(self.high) - int(self.low)) // int(self.step or 1) + 1
        if self.step is None:
            return math.inf
        steps = (self.high - self.low) / self.step
        whole = _whole(steps, self._rounding_error(self.high), 1e-9)  # a bound just below a value excludes it
        return (round(steps) if whole else math.floor(steps)) + 1

    def reaches_a_second(self) -> bool:
        """Return True if one step above the lower bound is within the range, within rounding."""
        assert self.low is not None and self.high is not None and self.step
        return 1 - (self.high - self.low) / self.step <= max(1e-9, self._rounding_error(self.high))

    def problem(self, value: object) -> str | None:
        """Return the reason why `value` is invalid; None if it is valid."""
        if not self.numeric:
            if any(same(value, choice) for choice in self.choices):
                return None
            choices = brief_list([as_written(choice) for choice in self.choices])
            return f"invalid value: {as_written(value, repr)} (expected one of {choices})"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(as_float(value)):
            return f"invalid value: {as_written(value, repr)} (expected a finite number)"
        if self.kind == "int" and value != int(value):
            return f"invalid value: {value!r} (expected a whole number)"
        assert self.low is not None and self.high is not None
        if not self.within(value):
            return f"out of range: {value!r} (expected {self.low:g}..{self.high:g})"
        if self.step and not _whole((value - self.low) / self.step, self._rounding_error(value), 1e-6):
            return f"invalid value: {value!r} (expected {self.low:g} plus a multiple of the step {self.step:g})"
        return None

    def _rounding_error(self, value: float) -> float:
        """Return the rounding error, in steps, of the distance between `value` and the lower bound."""
        assert self.low is not None and self.step
        return 4 * math.ulp(max(abs(value), abs(self.low))) / self.step

    def within(self, value: float) -> bool:
        """Return True if a number lies between the bounds, with a tolerance for rounding during transport.

        On a log scale the tolerance is relative to each bound, since the other one may be 10**9 times as large.
        """
        assert self.low is not None and self.high is not None
        most = min(1e-6 * (self.high - self.low), 0.5 if self.kind == "int" else math.inf)
        larger = max(abs(self.low), abs(self.high))
        return all(
            outside <= min(most, 1e-9 * (bound if self.log else larger))
            for bound, outside in ((self.low, self.low - value), (self.high, value - self.high))
        )

    def exact(self, value: Value) -> Value:
        """Return a valid value in this parameter's type and precision; it may have arrived as 1 for 1.0, or rounded."""
        if not self.numeric:
            return next((choice for choice in self.choices if same(value, choice)), value)
        if self.kind == "float" and self.step is not None:
            return self.snap(float(value))
        assert self.low is not None and self.high is not None
        return int(value) if self.kind == "int" else min(max(float(value), float(self.low)), float(self.high))

    def snap(self, value: float) -> float | int:
        """Return the valid number nearest to `value` (numeric parameters only)."""
        assert self.low is not None and self.high is not None
        value = min(max(value, self.low), self.high)
        for bound in (self.low, self.high):
            if abs(value - bound) <= min(
                _ROUNDING_TOLERANCE * abs(bound), _ROUNDING_TOLERANCE * (self.high - self.low)
            ):
                value = bound
        if self.kind == "int":  # integer arithmetic: a float is not exact beyond 2**53
            low, step = int(self.low), int(self.step or 1)
            return low + step * min(round((value - low) / step), int(self.count()) - 1)
        if self.step is not None:
            value = _level(self.low, self.step, min(round((value - self.low) / self.step), int(self.count()) - 1))
        return float(value)

    def rounded(self, value: Value) -> Value:
        """Return the value as a person would write it: 0.0008036 instead of 0.000803574912.

        Only floats without a step change. Numbers of four digits or so are also what tables show, and can be copied.
        """
        if self.kind != "float" or self.step is not None or not isinstance(value, float):
            return value
        assert self.low is not None and self.high is not None
        if self.log:
            width = abs(value) * (math.log(self.high) - math.log(self.low))
        else:
            width = 2 * min(self.high / 2 - self.low / 2, 1e307)  # halved first: a difference of large floats overflows
        precision = width * _PRECISION
        if precision < 1e-300:
            return value
        near = round(value, -math.floor(math.log10(precision))) + 0.0  # -0.0 becomes 0.0
        return min(max(near, float(self.low)), float(self.high))

    def from_unit(self, position: float) -> Value:
        """Return the value at `position` in [0, 1), uniform or log-uniform; used by every sampler."""
        if not self.numeric:
            return self.choices[min(int(position * len(self.choices)), len(self.choices) - 1)]
        return self.snap(self._value_at(position))

    def drawn(self, position: float) -> Value:
        """Return the value at `position` in [0, 1) under the prior; that of `from_unit` without one."""
        if self.prior is None:
            return self.from_unit(position)
        quantile = self.density().quantile(position)
        return self.snap(quantile) if self.numeric else self.from_unit(quantile)

    def density(self) -> Density:
        """Return the prior as a density over positions in [0, 1); for a categorical one bin per choice."""
        return _density(self)

    def ends(self) -> tuple[float, float]:
        """Return the range of real numbers that round to values: half a step beyond the first and the last value.

        The last value may be below `high`, as the range need not be a multiple of the step.
        """
        assert self.low is not None and self.high is not None
        half = 0.5 if self.kind == "int" and self.step is None else (self.step or 0.0) / 2
        last = self.high if self.step is None else self.low + self.step * (self.count() - 1)
        return max(self.low - half, self.low / 2) if self.log else self.low - half, last + half

    def _value_at(self, position: float) -> float:
        assert self.low is not None and self.high is not None
        low, high = self.ends()
        if self.log:
            return math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
        return low * (1 - position) + high * position

    def to_json(self) -> dict[str, Any]:
        """Serialize to the long form of the experiment file, without keys that have their defaults."""
        document: dict[str, Any] = {"name": self.name, "type": self.kind}
        if self.numeric:
            document |= {"min": self.low, "max": self.high}
            if self.log:
                document["log"] = True
            if self.step is not None:
                document["step"] = self.step
        else:
            document["choices"] = list(self.choices)
        if self.prior is not None:
            document["prior"] = self.prior.to_json()
        if self.when:
            document["when"] = {parent: list(values) for parent, values in self.when}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Parameter:
        """Parse the output of `to_json`; the caller validates the whole space with `Space.problems`."""
        return cls(
            name=document["name"],
            kind=document["type"],
            low=document.get("min"),
            high=document.get("max"),
            log=bool(document.get("log", False)),
            step=document.get("step"),
            choices=tuple(document.get("choices", ())),
            when=tuple((parent, tuple(values)) for parent, values in document.get("when", {}).items()),
            prior=Prior.from_json(document["prior"]) if document.get("prior") else None,
        )


@lru_cache(maxsize=1024)
def _density(parameter: Parameter) -> Density:
    assert parameter.prior is not None
    if not parameter.numeric:
        return weights(parameter.prior.numbers)
    return density(parameter.prior, Scale(parameter._value_at, parameter.log))


def _level(low: float, step: float, index: int) -> float:
    """Return `low + index * step`, rounded to their decimals: three steps of 0.1 are 0.3, not 0.30000000000000004."""
    return round(low + index * step, max(_decimals(low), _decimals(step)))


@lru_cache
def _decimals(number: float) -> int:
    """Return the number of decimal places."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _whole(steps: float, unsure: float, least: float) -> bool:
    """Return True if `steps` is an integer within rounding, which grows with `steps` and its operands (`unsure`)."""
    return abs(steps - round(steps)) <= max(least, 1e-15 * abs(steps), unsure)


def as_written(value: object, otherwise: Callable[[object], str] = str) -> str:
    """Format a value as in files and on the command line: `true`, not `True`; others by `otherwise`."""
    return ("true" if value else "false") if isinstance(value, bool) else otherwise(value)


def shape_problems(parameter: Parameter) -> Iterator[str]:
    """Yield the mistakes in the parameter that do not involve other parameters."""
    wrong = parameter.prior and parameter.prior.problem(parameter.numeric, len(parameter.choices))
    if wrong:
        yield f"the prior {wrong}" if not wrong.startswith("of ") else f"a prior {wrong}"
    if not parameter.numeric:
        yield from _choice_problems(parameter.choices)
        return
    if parameter.low is None or parameter.high is None:
        yield "needs both a minimum and a maximum"
        return
    if not (math.isfinite(parameter.low) and math.isfinite(parameter.high)):
        yield "bounds must be finite"
        return
    if parameter.low >= parameter.high:
        yield f"the minimum {parameter.low:g} must be less than the maximum {parameter.high:g}"
    elif not wrong and parameter.prior is not None and (far := parameter.prior.beyond(parameter.low, parameter.high)):
        yield f"the prior {far}"
    if parameter.log and parameter.low <= 0:
        yield f"a log scale needs positive bounds, the minimum is {parameter.low:g}"
    if parameter.step is not None and not (parameter.step > 0 and parameter.reaches_a_second()):
        yield f"the step {parameter.step:g} must be positive and no larger than the range"


def _choice_problems(choices: tuple[Value, ...]) -> Iterator[str]:
    if not choices:
        yield "has no values to choose from"
    longest = max((len(choice) for choice in choices if isinstance(choice, str)), default=0)
    if longest > MAX_CHOICE_CHARS:
        yield f"has a value of {longest:,} characters (expected at most {MAX_CHOICE_CHARS:,})"
        return
    for (_, value), times in Counter(map(token, choices)).items():
        if times > 1:
            yield f"lists {as_written(value, repr)} {'twice' if times == 2 else 'more than once'}"
