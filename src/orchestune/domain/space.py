"""Parameters and the space that they span, conditions included.

A configuration is a plain mapping from parameter names to values which holds the *active* parameters only.
A parameter with `when` is active while each of its parents is active and has one of the listed values.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from orchestune.domain.constraints import Constraint, WrongConstraint, constraint
from orchestune.domain.constraints import Kind as ConstraintKind
from orchestune.domain.priors import Density, Prior, density
from orchestune.errors import BadInput, Problem

Value = float | int | str | bool
Configuration = Mapping[str, Value]
Kind = Literal["float", "int", "categorical", "bool"]

_ROUNDING = 1e-13  # exp(log(1e-6)) is 1.0000000000000004e-06
_MOST_COUNTED = 100_000  # configurations that are counted one by one where there are constraints
_MOST_BRANCHES = 10_000  # combinations of parents that are counted; more than that counts as infinitely many


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

    @property
    def numeric(self) -> bool:
        """Whether the values have an order and a distance."""
        return self.kind in ("float", "int")

    def levels(self) -> tuple[Value, ...] | None:
        """Every value, where there are finitely many (a float without a step has none to list)."""
        return None if self.kind == "float" and self.step is None else tuple(self.each())

    def each(self) -> Iterator[Value]:
        """Every value of finitely many in order, one at a time: there may be more of them than fit into memory."""
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
        """How many values there are; infinity for a float without a step."""
        if not self.numeric:
            return len(self.choices)
        assert self.low is not None and self.high is not None
        if self.kind == "int":
            return (int(self.high) - int(self.low)) // int(self.step or 1) + 1
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def problem(self, value: object) -> str | None:
        """What is wrong with `value`, or None where it is allowed."""
        if not self.numeric:
            if any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices):
                return None
            return f"{value!r} is none of {', '.join(map(str, self.choices))}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"{value!r} is no finite number"
        if self.kind == "int" and value != int(value):
            return f"{value!r} is no whole number"
        assert self.low is not None and self.high is not None
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        if not self.low - slack <= value <= self.high + slack:
            return f"{value!r} is outside {self.low:g}..{self.high:g}"
        if self.step and not _whole((value - self.low) / self.step):
            return f"{value!r} is no multiple of the step {self.step:g} from {self.low:g}"
        return None

    def snap(self, value: float) -> float | int:
        """The allowed number nearest to `value` (numeric parameters only)."""
        assert self.low is not None and self.high is not None
        value = min(max(value, self.low), self.high)
        for bound in (self.low, self.high):
            if abs(value - bound) <= min(_ROUNDING * abs(bound), _ROUNDING * (self.high - self.low)):
                value = bound
        step = self.step or (1 if self.kind == "int" else None)
        if step is not None:
            top = math.floor((self.high - self.low) / step + 1e-9)
            value = _level(self.low, step, min(round((value - self.low) / step), top))
        return int(round(value)) if self.kind == "int" else float(value)

    def from_unit(self, position: float) -> Value:
        """The value at `position` in [0, 1): uniform, or uniform in the logarithm; the way in for every sampler."""
        if not self.numeric:
            return self.choices[min(int(position * len(self.choices)), len(self.choices) - 1)]
        return self.snap(self._value_at(position))

    def drawn(self, position: float) -> Value:
        """The same, as often as its prior says."""
        return self.from_unit(self.density().quantile(position) if self.prior is not None else position)

    def density(self) -> Density:
        """The prior over the positions in [0, 1); of a categorical one bin for each choice."""
        return _density(self)

    def _value_at(self, position: float) -> float:
        assert self.low is not None and self.high is not None
        half = 0.5 if self.kind == "int" and self.step is None else (self.step or 0.0) / 2
        low, high = self.low - half, self.high + half
        if self.log:
            low = max(low, self.low / 2)
            return math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
        return low * (1 - position) + high * position

    def to_json(self) -> dict[str, Any]:
        """The long spelling of the experiment file; keys that say nothing are left out."""
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
        """The inverse of `to_json`; the caller checks the space as a whole with `Space.problems`."""
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
    return density(parameter.prior, parameter._value_at, parameter.low or 0.0, parameter.high or 0.0)


@dataclass(frozen=True)
class Space:
    """Parameters in an order in which every parent stands before its children."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    """what every configuration fulfils besides"""
    by_name: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {parameter.name: parameter for parameter in self.parameters})

    @classmethod
    def of(cls, parameters: tuple[Parameter, ...], constraints: Sequence[str] = ()) -> Space:
        """A checked space, parents first; BadInput names every mistake. `constraints` are their texts."""
        problems = Space(parameters).problems()
        if problems:
            raise BadInput(problems)
        placed: dict[str, Parameter] = {}
        rest = list(parameters)
        while rest:
            ready = [p for p in rest if all(parent in placed for parent, _ in p.when)]
            placed |= {p.name: p for p in ready}
            rest = [p for p in rest if p.name not in placed]
        return cls(tuple(placed.values())).constrained(constraints)

    def constrained(self, texts: Sequence[str]) -> Space:
        """The same parameters with these constraints alone; BadInput names every mistake, by its place in the list."""
        kinds, problems, read = {p.name: _kind_in_constraints(p) for p in self.parameters}, [], []
        for index, text in enumerate(texts):
            try:
                read.append(constraint(text, kinds))
            except WrongConstraint as exc:
                problems.append(Problem(f"`{text[:80]}`: {exc}", key=f"constraints[{index}]", hint=exc.hint))
        if problems:
            raise BadInput(problems)
        return Space(self.parameters, tuple(read))

    def allows(self, configuration: Configuration) -> bool:
        """Whether a configuration of these parameters fulfils every constraint."""
        return all(constraint.holds(configuration) for constraint in self.constraints)

    def problems(self) -> list[Problem]:
        """Every mistake in the parameters and in their conditions; `key` is the parameter's name."""
        found: list[Problem] = []
        seen: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in seen:
                found.append(Problem("is defined twice", key=parameter.name))
            seen.add(parameter.name)
            found += [Problem(text, key=parameter.name) for text in _shape_problems(parameter)]
            for parent, values in parameter.when:
                target = self.by_name.get(parent)
                if target is None:
                    found.append(Problem(f"`when` names the unknown parameter '{parent}'", key=parameter.name))
                    continue
                found += [
                    Problem(f"`when` can never hold: {text}", key=parameter.name)
                    for text in map(target.problem, values)
                    if text
                ]
        found += [Problem(f"conditions form a cycle: {' → '.join(cycle)}", key=cycle[0]) for cycle in self._cycles()]
        return found

    def _cycles(self) -> Iterator[list[str]]:
        settled: set[str] = set()
        for parameter in self.parameters:
            path: list[str] = []
            stack = [(parameter.name, False)]
            while stack:
                name, leave = stack.pop()
                if leave:
                    settled.add(path.pop())
                elif name in path:
                    yield [*path[path.index(name) :], name]
                elif name in self.by_name and name not in settled:
                    path.append(name)
                    stack += [(name, True), *((parent, False) for parent, _ in self.by_name[name].when)]

    def is_active(self, name: str, configuration: Configuration) -> bool:
        """Whether every parent of `name` is present in `configuration` with a value that `when` lists."""
        return all(
            parent in configuration and configuration[parent] in values for parent, values in self.by_name[name].when
        )

    def active(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The configuration which remains of `values` when what is inactive is left out; parents first."""
        configuration: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.name in values and self.is_active(parameter.name, configuration):
                configuration[parameter.name] = values[parameter.name]
        return configuration

    def configuration_problems(self, configuration: Mapping[str, object]) -> list[Problem]:
        """What keeps `configuration` from being a point of this space: unknown, missing, inactive or bad values."""
        found = [
            Problem("is no parameter of this experiment", key=name)
            for name in configuration
            if name not in self.by_name
        ]
        known = {name: value for name, value in configuration.items() if name in self.by_name}
        active: dict[str, Value] = {}
        for parameter in self.parameters:
            if not self.is_active(parameter.name, active):
                if parameter.name in known:
                    found.append(Problem("is not active in this configuration", key=parameter.name))
                continue
            if parameter.name not in known:
                found.append(Problem("has no value", key=parameter.name))
                continue
            value = known[parameter.name]
            text = parameter.problem(value)
            if text:
                found.append(Problem(text, key=parameter.name))
            else:
                active[parameter.name] = value  # type: ignore[assignment]
        if not found:
            broken = [each.text for each in self.constraints if not each.holds(active)]
            found += [Problem(f"`{text}` does not hold", key="constraints") for text in broken]
        return found

    def size(self) -> float:
        """How many configurations there are, conditions respected; infinity where a float without a step may be active.

        Also infinity where the parents' values combine in too many ways to be counted, which no search ever exhausts.
        Constraints are respected where few enough configurations are left without them to look at each.
        """
        total = self._size()
        return _count_allowed(self) if self.constraints and total <= _MOST_COUNTED else total

    def _size(self) -> float:
        parents = {parent for parameter in self.parameters for parent, _ in parameter.when}
        trunk = Space(tuple(parameter for parameter in self.parameters if parameter.name in parents))
        leaves = [parameter for parameter in self.parameters if parameter.name not in parents]
        if any(parameter.count() > _MOST_BRANCHES for parameter in trunk.parameters):
            return math.inf
        total: float = 0
        for branches, configuration in enumerate(trunk.walk(), start=1):
            total += math.prod(leaf.count() for leaf in leaves if self.is_active(leaf.name, configuration))
            if branches > _MOST_BRANCHES or math.isinf(total):
                return math.inf
        return total

    def walk(self) -> Iterator[dict[str, Value]]:
        """Every configuration of a finite space once, the last parameter fastest."""
        return filter(self.allows, self._walk()) if self.constraints else self._walk()

    def _walk(self) -> Iterator[dict[str, Value]]:
        stack = [self._branches(0, {})]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
            elif found[0] == len(self.parameters):
                yield found[1]
            else:
                stack.append(self._branches(*found))

    def _branches(self, place: int, configuration: dict[str, Value]) -> Iterator[tuple[int, dict[str, Value]]]:
        """With each value of the next parameter that applies, from `place` on, and the place behind that."""
        while place < len(self.parameters) and not self.is_active(self.parameters[place].name, configuration):
            place += 1
        if place == len(self.parameters):
            yield place, configuration
            return
        parameter = self.parameters[place]
        for value in parameter.each():
            yield place + 1, {**configuration, parameter.name: value}

    def to_json(self) -> list[dict[str, Any]]:
        """The parameters in their long spelling, parents first."""
        return [parameter.to_json() for parameter in self.parameters]

    @classmethod
    def from_json(cls, document: list[dict[str, Any]], constraints: Sequence[str] = ()) -> Space:
        """The inverse of `to_json`, checked, with these constraints."""
        return cls.of(tuple(Parameter.from_json(item) for item in document), constraints)

    def texts(self) -> list[str]:
        """The constraints as they were written."""
        return [each.text for each in self.constraints]


@lru_cache(maxsize=64)
def _count_allowed(space: Space) -> int:
    return sum(1 for _ in space.walk())


def _kind_in_constraints(parameter: Parameter) -> ConstraintKind:
    if parameter.numeric or all(type(choice) in (int, float) for choice in parameter.choices):
        return "number"
    if all(isinstance(choice, bool) for choice in parameter.choices):
        return "truth"
    return "text" if all(isinstance(choice, str) for choice in parameter.choices) else "any"


def _level(low: float, step: float, index: int) -> float:
    """So many steps above `low`, as people write it: the third of 0.1 is 0.3 and not 0.30000000000000004."""
    return round(low + index * step, max(_decimals(low), _decimals(step)))


@lru_cache
def _decimals(number: float) -> int:
    """Digits behind the point."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _whole(steps: float) -> bool:
    """Whether it is a whole number but for rounding, which grows with the number."""
    return abs(steps - round(steps)) <= max(1e-6, 1e-15 * abs(steps))


def _shape_problems(parameter: Parameter) -> Iterator[str]:
    wrong = parameter.prior and parameter.prior.problem(parameter.numeric, len(parameter.choices))
    if wrong:
        yield f"the prior {wrong}" if not wrong.startswith("of ") else f"a prior {wrong}"
    if not parameter.numeric:
        if not parameter.choices:
            yield "has no values to choose from"
        elif len({(type(choice) is bool, choice) for choice in parameter.choices}) < len(parameter.choices):
            yield "lists a value twice"
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
    if parameter.step is not None and not 0 < parameter.step <= (parameter.high - parameter.low) * (1 + 1e-9):
        yield f"the step {parameter.step:g} must be positive and no larger than the range"


def key(configuration: Configuration) -> str:
    """A digest that is equal for equal configurations, whatever the order of their names."""
    text = json.dumps(dict(configuration), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
