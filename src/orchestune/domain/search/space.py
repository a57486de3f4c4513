"""Search space: parameters, conditions between them and constraints.

A configuration is a plain mapping from parameter names to values that holds the *active* parameters only.
A parameter with `when` is active if each of its parents is active and has one of the listed values.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice
from json.encoder import encode_basestring_ascii
from typing import Any

from orchestune.domain.search.constraints import Constraint, InvalidConstraint, Kind, constraint
from orchestune.domain.search.parameters import Parameter, Value, as_written, same, shape_problems
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Problem

Configuration = Mapping[str, Value]

# Limits of experiment files: checking a space takes time quadratic in its parts.
MAX_PARAMETERS = 1000
MAX_CHOICES = 1000  # of one parameter, and values of one parent in `when`
MAX_CONSTRAINTS = 100
_MAX_CONDITIONS = 10_000  # parents in the `when` of all parameters together
_MAX_ACTIVATING_VALUES = 100_000  # values in the `when` of all parameters together
_MAX_COMPARISONS = 10**7  # values in `when`, each compared with every choice of its parent
MAX_OPERATIONS = 1000  # in all constraints together: the cost of checking one configuration
_MAX_COUNTING_OPERATIONS = 1_000_000  # operations for counting a space, about one second
_NUMBER_BYTES = 25  # of the longest float as JSON
_MAX_BRANCHES = 10_000  # combinations of parents that are counted; a space with more counts as infinite


@dataclass(frozen=True)
class Space:
    """Parameters in topological order: every parent precedes its children."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    """conditions that every configuration must satisfy"""
    by_name: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {parameter.name: parameter for parameter in self.parameters})

    @classmethod
    def of(
        cls, parameters: tuple[Parameter, ...], constraints: Sequence[str] = (), *, is_validated: bool = False
    ) -> Space:
        """Validate and return a space, parents first; `constraints` are texts. Raises BadInput with all mistakes.

        `is_validated`: the parameters were validated before, which takes time quadratic in their parts, up to a second.
        """
        if not is_validated:
            _check_limits(parameters)
            if problems := Space(parameters).problems():
                raise BadInput(problems)
        placed: dict[str, Parameter] = {}
        by_name = {parameter.name: parameter for parameter in parameters}
        rest = [replace(parameter, when=_exact(parameter, by_name)) for parameter in parameters]
        while rest:
            ready = [p for p in rest if all(parent in placed for parent, _ in p.when)]
            placed |= {p.name: p for p in ready}
            rest = [p for p in rest if p.name not in placed]
        return cls(tuple(placed.values())).constrained(constraints)

    def constrained(self, texts: Sequence[str]) -> Space:
        """Return a space with these constraints only. Raises BadInput with the mistakes by their index in the list."""
        if len(texts) > MAX_CONSTRAINTS:
            raise BadInput.one(f"has {len(texts):,} entries (expected at most {MAX_CONSTRAINTS:,})", "constraints")
        kinds, problems, read = {p.name: _kind_in_constraints(p) for p in self.parameters}, [], []
        for index, text in enumerate(texts):
            try:
                read.append(constraint(text, kinds))
            except InvalidConstraint as exc:
                problems.append(Problem(f"`{text[:80]}`: {exc}", key=f"constraints[{index}]", hint=exc.hint))
                if len(problems) == PROBLEMS_SHOWN:
                    break  # each hint costs a search for similar names among all parameters
        if problems:
            raise BadInput(problems)
        space = Space(self.parameters, tuple(read))
        if space.operations > MAX_OPERATIONS:
            many = f"have {space.operations:,} names, constants and operators together"
            raise BadInput.one(f"{many} (expected at most {MAX_OPERATIONS:,})", "constraints")
        return space

    @property
    def operations(self) -> int:
        """Number of operations in all constraints: the upper bound of the cost of `allows`."""
        return sum(each.operations for each in self.constraints)

    @property
    def cost(self) -> int:
        """Upper bound of the operations for drawing one configuration and checking it."""
        conditions = sum(len(values) for parameter in self.parameters for _, values in parameter.when)
        weights = sum(len(parameter.choices) for parameter in self.parameters if parameter.prior)
        return max(len(self.parameters) + conditions + weights + self.operations, 1)

    @cached_property
    def configuration_bytes(self) -> int:
        """Upper bound of the bytes of one configuration as JSON."""
        return sum(
            len(encode_basestring_ascii(parameter.name))
            + max(map(_json_bytes, parameter.choices), default=_NUMBER_BYTES)
            for parameter in self.parameters
        )

    def allows(self, configuration: Configuration) -> bool:
        """Return True if a configuration satisfies every constraint."""
        return all(constraint.holds(configuration) for constraint in self.constraints)

    def problems(self) -> list[Problem]:
        """Return the mistakes in the parameters and their conditions; `key` is the parameter's name."""
        problems: list[Problem] = []
        names: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in names:
                problems.append(Problem("is defined twice", key=parameter.name))
            names.add(parameter.name)
            problems += [Problem(text, key=parameter.name) for text in shape_problems(parameter)]
            for parent, values in parameter.when:
                target = self.by_name.get(parent)
                if target is None:
                    problems.append(Problem(f"`when` names the unknown parameter '{parent}'", key=parameter.name))
                    continue
                problems += [
                    Problem(f"`when` can never hold: {text}", key=parameter.name)
                    for text in map(target.problem, values)
                    if text
                ]
        problems += [
            Problem(f"conditions form a cycle: {' → '.join(cycle)}", key=cycle[0])
            for cycle in islice(self._cycles(), PROBLEMS_SHOWN)
        ]
        return problems

    def never_active(self) -> list[Problem]:
        """Return a problem for each parameter that is never active, as its parents' conditions exclude each other."""
        problems: dict[str, Problem] = {}
        needed: dict[str, dict[str, tuple[Value, ...]]] = {}
        for parameter in self.parameters:
            mine = needed[parameter.name] = dict(parameter.when)
            for parent, _ in parameter.when:
                for name, values in needed[parent].items():
                    both = tuple(value for value in mine.get(name, values) if _among(value, values))
                    if not both:
                        only = ", ".join(map(as_written, values))
                        text = f"`when` can never hold: {parent} applies only if {name} is {only}"
                        problems[parameter.name] = Problem(text, key=parameter.name)
                    mine[name] = both or values
        return list(problems.values())

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
        """Return True if every parent of `name` is in `configuration` with a value that `when` lists."""
        return all(
            parent in configuration and _among(configuration[parent], values)
            for parent, values in self.by_name[name].when
        )

    def active(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return `values` without inactive and unknown parameters; parents first."""
        configuration: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.name in values and self.is_active(parameter.name, configuration):
                configuration[parameter.name] = values[parameter.name]
        return configuration

    def exact(self, configuration: Configuration) -> dict[str, Value]:
        """Return a valid configuration in its parameters' types and precision, as the command gets it."""
        return {name: self.by_name[name].exact(value) for name, value in configuration.items()}

    def rounded(self, configuration: Configuration) -> dict[str, Value]:
        """Return the configuration with numbers as a person would write them; it may violate constraints."""
        return {name: self.by_name[name].rounded(value) for name, value in configuration.items()}

    def configuration_problems(self, configuration: Mapping[str, object]) -> list[Problem]:
        """Return the problems of a configuration: unknown, missing, inactive or invalid values, broken constraints."""
        problems = [
            Problem("is not a parameter of this experiment", key=name)
            for name in configuration
            if name not in self.by_name
        ]
        values = {name: value for name, value in configuration.items() if name in self.by_name}
        active: dict[str, Value] = {}
        for parameter in self.parameters:
            if not self.is_active(parameter.name, active):
                if parameter.name in values:
                    problems.append(Problem("is not active in this configuration", key=parameter.name))
                continue
            if parameter.name not in values:
                problems.append(Problem("has no value", key=parameter.name))
                continue
            value = values[parameter.name]
            text = parameter.problem(value)
            if text:
                problems.append(Problem(text, key=parameter.name))
            else:
                active[parameter.name] = parameter.exact(value)  # type: ignore[arg-type]
        if not problems:
            broken = [each.text for each in self.constraints if not each.holds(active)]
            problems += [Problem(f"`{text}` does not hold", key="constraints") for text in broken]
        return problems

    def size(self) -> float:
        """Return the number of configurations, with conditions and constraints taken into account.

        Infinity if a float without a step may be active, or if counting would take more than a million operations:
        such a space is never treated as exhausted by its size, and is not enumerated either.
        """
        return _counted(self)

    def _size(self, max_branches: int) -> float:
        """Return the size without constraints; infinity if parents have more than `max_branches` value combinations."""
        parents = {parent for parameter in self.parameters for parent, _ in parameter.when}
        trunk = Space(tuple(parameter for parameter in self.parameters if parameter.name in parents))
        leaves = [parameter for parameter in self.parameters if parameter.name not in parents]
        if any(parameter.count() > max_branches for parameter in trunk.parameters):
            return math.inf
        total: float = 0
        for branches, configuration in enumerate(trunk.walk(), start=1):
            total += math.prod(leaf.count() for leaf in leaves if self.is_active(leaf.name, configuration))
            if branches > max_branches or total == math.inf:
                return math.inf
        return total

    def walk(self) -> Iterator[dict[str, Value]]:
        """Yield each configuration of a finite space once; the last parameter varies fastest."""
        return (configuration for configuration in self.steps() if configuration is not None)

    def steps(self) -> Iterator[dict[str, Value] | None]:
        """Yield the configurations of `walk`, and None for each step without one, so that callers can bound the steps.

        There are many such steps if constraints allow little. A constraint is checked as soon as its last parameter has
        a value, so that subtrees that violate it are skipped.
        """
        places = {parameter.name: place for place, parameter in enumerate(self.parameters, start=1)}
        closing: dict[int, list[Constraint]] = {}
        for each in self.constraints:
            closing.setdefault(max(map(places.__getitem__, each.names)), []).append(each)
        configuration: dict[str, Value] = {}
        stack = [self._branches(0, configuration)]
        while stack:
            place = next(stack[-1], None)
            if place is None:
                stack.pop()
            elif not all(each.holds(configuration) for each in closing.get(place, ())):
                yield None
            elif place == len(self.parameters):
                yield dict(configuration)
            else:
                stack.append(self._branches(place, configuration))
                yield None

    def _branches(self, place: int, configuration: dict[str, Value]) -> Iterator[int]:
        """Set the next active parameter at or after `place` to each of its values, and yield the index behind it.

        The configuration is restored at the end.
        """
        while place < len(self.parameters) and not self.is_active(self.parameters[place].name, configuration):
            place += 1
        if place == len(self.parameters):
            yield place
            return
        parameter = self.parameters[place]
        for value in parameter.each():
            configuration[parameter.name] = value
            yield place + 1
        del configuration[parameter.name]

    def to_json(self) -> list[dict[str, Any]]:
        """Serialize the parameters in their long form, parents first."""
        return [parameter.to_json() for parameter in self.parameters]

    @classmethod
    def from_json(
        cls, document: list[dict[str, Any]], constraints: Sequence[str] = (), *, is_validated: bool = False
    ) -> Space:
        """Parse the output of `to_json`, with these constraints, as `of` does."""
        return cls.of(tuple(Parameter.from_json(item) for item in document), constraints, is_validated=is_validated)

    def texts(self) -> list[str]:
        """Return the source texts of the constraints."""
        return [each.text for each in self.constraints]


def _json_bytes(choice: Value) -> int:
    return len(encode_basestring_ascii(choice)) if isinstance(choice, str) else _NUMBER_BYTES


def _check_limits(parameters: tuple[Parameter, ...]) -> None:
    """Raise BadInput if validating the space, or a configuration of it, would take minutes.

    The numbers of parameters, choices and conditions decide that.
    """
    choices = {parameter.name: len(parameter.choices) for parameter in parameters}
    conditions = [condition for parameter in parameters for condition in parameter.when]
    compared = sum(len(values) * choices.get(parent, 0) for parent, values in conditions)
    for count, noun, limit in (
        (len(parameters), "parameters", MAX_PARAMETERS),
        (len(conditions), "conditions in `when`", _MAX_CONDITIONS),
        (sum(len(values) for _, values in conditions), "values in `when`", _MAX_ACTIVATING_VALUES),
        (compared, "comparisons of values in `when` with choices", _MAX_COMPARISONS),
    ):
        if count > limit:
            raise BadInput.one(f"has {count:,} {noun} (expected at most {limit:,})", "parameters")
    for parameter in parameters:
        for key, values in (
            ("choices", parameter.choices),
            *((f"when.{parent}", each) for parent, each in parameter.when),
        ):
            if len(values) > MAX_CHOICES:
                text = f"has {len(values):,} values (expected at most {MAX_CHOICES:,})"
                raise BadInput.one(text, f"parameters.{parameter.name}.{key}")


@lru_cache(maxsize=64)
def _counted(space: Space) -> float:
    """Cache `Space.size`."""
    most = _MAX_COUNTING_OPERATIONS // space.cost
    total = space._size(min(most, _MAX_BRANCHES))
    if not space.constraints:
        return total
    return sum(1 for _ in space.walk()) if total <= most else math.inf


def _exact(parameter: Parameter, parents: Mapping[str, Parameter]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    """Return the conditions with values in the parent's precision: 0.30000000000000004 is 0.3 with a step of 0.1."""
    return tuple((parent, tuple(map(parents[parent].exact, values))) for parent, values in parameter.when)


def _among(value: Value, values: Sequence[Value]) -> bool:
    return value in values and any(same(value, each) for each in values)


def _kind_in_constraints(parameter: Parameter) -> Kind:
    if parameter.numeric and parameter.count() == math.inf:
        return "decimal"
    if parameter.numeric or all(type(choice) in (int, float) for choice in parameter.choices):
        return "number"
    if all(isinstance(choice, bool) for choice in parameter.choices):
        return "truth"
    return "text" if all(isinstance(choice, str) for choice in parameter.choices) else "any"


def key(configuration: Configuration) -> str:
    """Return a digest of a configuration that does not depend on the order of its names."""
    text = json.dumps(dict(configuration), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
