"""Sampling of feasible configurations, and the check that a space has any.

A draw is uniform if one of a few hundred uniform draws is feasible. If the feasible region is smaller, a random walk
starts from a repaired draw or from an example: it redraws one or two parameters, or moves them by steps of any size,
and keeps feasible changes (a Metropolis walk, uniform in the limit). Some infeasible changes are repaired by another
parameter: the feasible region may be as thin as `abs(a + b + c - 1) <= 1e-12`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, repeat
from random import Random

from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.engines.constraints.identity import continuous
from orchestune.engines.samplers.uniform import draw
from orchestune.errors import BadInput, Problem

_DRAWS = 300
_EXAMPLES = 3000
_CLIMBS, _CLIMB = 30, 400
_STEPS, _STEPS_OPERATIONS = 300_000, 6_000_000
"""limits of the enumeration of a large finite space: steps, and constraint operations, which take some seconds"""
_WALK = 60
_FURTHER, _LONGER = 5, 100
"""climbs continued if none reached a feasible point, and their steps per parameter"""
_REFUSED = 10
"""infeasible moves per one that is repaired by another parameter"""
_OPERATIONS = 30_000_000
"""limit of the operations (see `Space.cost`) of `example`, about 25 s: with 1,000 parameters it took minutes"""
_UNLIMITED = repeat(0)
_HALVES = 45
_MENDS = 5
_LOOK_AROUND = 100


def draw_allowed(space: Space, random: Random) -> dict[str, Value]:
    """Return a feasible configuration. Raises BadInput if none was found."""
    for _ in range(_DRAWS if space.constraints else 1):
        configuration = draw(space, random)
        if space.allows(configuration):
            return configuration
    near = repaired_configuration(space, configuration, random)
    return wander(space, near if space.allows(near) else example(space), random)


def wander(space: Space, start: Configuration, random: Random, steps: int = _WALK) -> dict[str, Value]:
    """Return the end of a random walk among feasible configurations from `start`, which must be feasible."""
    current, refused = dict(start), 0
    for _ in range(steps):
        candidate = _moved(space, current, random)
        if not space.allows(candidate):
            refused += 1
            if refused % _REFUSED:
                continue
            candidate = _followed(space, candidate, random)
        current = candidate if space.allows(candidate) else current
    return current


def climbed(space: Space, random: Random) -> dict[str, Value]:
    """Return the end of a climb from a draw, which may be infeasible.

    It also reaches feasible regions that no walk connects with the example.
    """
    return _climbed(space, draw(space, random), random, _CLIMB)


def repaired_configuration(
    space: Space, configuration: Configuration, random: Random, looks: Iterator[int] = _UNLIMITED
) -> dict[str, Value]:
    """Return the configuration repaired: some numbers moved to reduce violations. It may still be infeasible.

    Here and below, each evaluation of a configuration takes one item of `looks`; the search ends when none is left.
    """
    current = dict(configuration)
    for _ in range(_MENDS):
        if space.allows(current):
            break
        current = _followed(space, current, random, looks)
    return current


def _followed(
    space: Space, configuration: Configuration, random: Random, looks: Iterator[int] = _UNLIMITED
) -> dict[str, Value]:
    """Move a random number of a violated constraint to its least total violation, by narrowing an interval."""
    broken = {name for each in space.constraints if not each.holds(configuration) for name in each.names}
    names = [p.name for p in space.parameters if p.numeric and p.name in broken and p.name in configuration]
    if not names:
        return dict(configuration)
    parameter = space.by_name[random.choice(names)]

    def distance(position: float) -> float:
        return _distance(space, {**configuration, parameter.name: parameter.from_unit(position)})

    low, high = 0.0, 1.0
    for _ in islice(looks, 0, 2 * _HALVES, 2):  # each step evaluates two configurations
        left, right = low + 0.49 * (high - low), low + 0.51 * (high - low)
        low, high = (low, right) if distance(left) <= distance(right) else (left, high)
    return draw(space, random, {**configuration, parameter.name: parameter.from_unit((low + high) / 2)})


def check(space: Space) -> None:
    """Raise BadInput with the reason if no feasible configuration was found."""
    if space.constraints:
        example(space)


def allows_any(space: Space) -> bool:
    """Return True if a feasible configuration is found. If there is none, it costs a twentieth of `example`."""
    random = Random(0)
    drawn = [draw(space, random) for _ in range(_DRAWS)]
    near = _closest(space, drawn, _FURTHER)
    ends = (repaired_configuration(space, _climbed(space, start, random, _CLIMB // 2), random) for start in near)
    if not any(map(space.allows, ends)):
        return False
    try:
        example(space)
    except BadInput:
        return False
    return True


@lru_cache(maxsize=64)
def example(space: Space) -> dict[str, Value]:
    """Return a feasible configuration, always the same. Raises BadInput if none was found.

    The work is bounded, since creating an experiment waits for it.
    """
    random, looks = Random(0), iter(range(_OPERATIONS // space.cost))
    drawn = [draw(space, random) for _ in islice(looks, _EXAMPLES)]
    for configuration in drawn:
        if space.allows(configuration):
            return configuration
    if space.size() < math.inf:
        for configuration in space.walk():
            return configuration
        raise BadInput([Problem(f"no configuration satisfies {_list(space)}", "constraints", hint=_why(space, drawn))])
    climbers = drawn
    for count, steps in ((_CLIMBS, _CLIMB), (_FURTHER, _LONGER * len(space.parameters))):
        climbers = _closest(space, climbers, count)
        for place, start in enumerate(climbers):
            climbers[place] = _climbed(space, start, random, steps, looks)
            repaired = repaired_configuration(space, climbers[place], Random(place), looks)
            if space.allows(repaired) and not _alone(space, repaired, looks):
                return repaired
    if not any(map(continuous, space.parameters)):
        most = min(_STEPS, _STEPS_OPERATIONS // space.operations)
        for _, step in zip(islice(looks, most), space.steps(), strict=False):
            if step is not None:
                return step
    message = f"no configuration found that satisfies {_list(space)}"
    raise BadInput([Problem(message, key="constraints", hint=_why(space, drawn))])


def _alone(space: Space, configuration: Configuration, looks: Iterator[int]) -> bool:
    """Return True if an equation of floats holds at an isolated point: no parameter of it can change alone."""
    random = Random(0)

    def tied(name: str) -> bool:
        for _ in islice(looks, _LOOK_AROUND):
            value = _changed(space.by_name[name], configuration[name], random)
            if value != configuration[name] and space.allows(draw(space, random, {**configuration, name: value})):
                return False
        return True

    equations = [names for each in space.constraints for names in each.equations if len(names) > 1]
    return any(names <= configuration.keys() and all(map(tied, sorted(names))) for names in equations)


def _closest(space: Space, configurations: list[dict[str, Value]], count: int) -> list[dict[str, Value]]:
    return sorted(configurations, key=lambda configuration: _distance(space, configuration))[:count]


def _climbed(
    space: Space, start: Configuration, random: Random, steps: int, looks: Iterator[int] = _UNLIMITED
) -> dict[str, Value]:
    current, violation = dict(start), _distance(space, start)
    for _ in islice(looks, steps):
        candidate = _moved(space, current, random)
        distance = _distance(space, candidate)
        if distance <= violation:
            current, violation = candidate, distance
        if violation == 0:
            break
    return current


def _distance(space: Space, configuration: Configuration) -> float:
    return sum(each.distance(configuration) for each in space.constraints)


def _moved(space: Space, configuration: Configuration, random: Random) -> dict[str, Value]:
    """Return the configuration with one or two parameters redrawn, or a number moved slightly."""
    names = random.sample(list(configuration), min(len(configuration), random.choice((1, 1, 2))))
    changed = {name: _changed(space.by_name[name], configuration[name], random) for name in names}
    return draw(space, random, {**configuration, **changed})


def _changed(parameter: Parameter, value: Value, random: Random) -> Value:
    if parameter.numeric and random.random() < 0.6:
        return _stepped(parameter, float(value), random)
    return parameter.from_unit(random.random())


def _stepped(parameter: Parameter, value: float, random: Random) -> float | int:
    assert parameter.low is not None and parameter.high is not None
    scale = 10 ** random.uniform(-5, -0.3)
    if parameter.log:
        share = min(scale * random.gauss(0, 1), 1.0)  # at most the whole range: a larger power could overflow
        moved = value * (parameter.high / parameter.low) ** share
    else:
        moved = value + (parameter.high - parameter.low) * scale * random.gauss(0, 1)
    step = parameter.step or (1 if parameter.kind == "int" else 0)
    if step and abs(moved - value) < step:
        moved = value + random.choice((-step, step))
    return parameter.snap(moved)


def _list(space: Space) -> str:
    return " and ".join(f"`{text}`" for text in space.texts())


def _why(space: Space, drawn: list[dict[str, Value]]) -> str:
    """Return a hint: which constraints never held, or that each held, but never all at once."""
    never = [each for each in space.constraints if not any(each.holds(configuration) for configuration in drawn)]
    if not never:
        return f"each of them is satisfiable, but none of {len(drawn)} configurations satisfies all"
    equation = any(each.equations for each in never)
    advice = "; two decimals are never exactly equal, compute one from the others in your program" if equation else ""
    return f"none of {len(drawn)} configurations satisfies {' or '.join(f'`{each.text}`' for each in never)}{advice}"
