"""Deduplication: never suggests the same configuration twice, whatever the proposer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import islice
from random import Random
from typing import Protocol

from orchestune.domain.search.parameters import Parameter, Value, same
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.engines.constraints.feasible import allows_any, climbed, draw_allowed
from orchestune.engines.constraints.identity import ConfigurationKeys, continuous
from orchestune.engines.samplers.uniform import draw
from orchestune.engines.samplers.walk import MAX_STEPS, Walk
from orchestune.ports.engine import Exhausted, StillLooking

_PROBES, _LAST_PROBES = 64, 1000
_CONSTRAINED = 8  # probes if there are constraints: a draw may need a long random walk
_CLIMBS = 40
_OPERATIONS = 4000  # constraint operations times draws or climbs: each evaluates the constraints hundreds of times
_WALKABLE = 100_000  # values of all configurations: to enumerate these takes 0.2 s, and is repeated for each ask
_MANY_VALUES = 1000  # values from which on a parameter counts as having many


class Proposer(Protocol):
    """A search algorithm that may propose known configurations. The members mean the same as in `Engine`."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def source(self) -> str:
        """The method that made the latest proposal."""

    @property
    def uses_history(self) -> bool: ...
    @property
    def tries(self) -> int:
        """The number of proposals with varied seeds before falling back to uniform draws."""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Append to the history."""

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        """Return a configuration, perhaps a known one; a function of the history and the arguments only."""


class DistinctEngine:
    """An `Engine` that passes on the proposals of a `Proposer` that are neither observed nor pending.

    Numbers are rounded to what a person would write, unless the rounded configuration is known or not allowed.

    If the proposer repeats itself, the fallback is a uniform draw. If draws repeat themselves: in a small finite space
    one of the remaining configurations, found by enumeration; in a larger space a draw in which a parameter with many
    values is active, or a climb to allowed configurations, and then, if the space is finite, the first remaining one in
    order. `Exhausted` is raised if there is no other configuration, or none was found. Configurations of a warm start
    do not count as observed: the best of them may be the best one here, and has to be tried.
    """

    def __init__(self, space: Space, proposer: Proposer) -> None:
        self.name, self.version, self.uses_history = proposer.name, proposer.version, proposer.uses_history
        self.source = proposer.source
        self._space = space
        self._size = space.size()
        self._proposer = proposer
        self._identity = ConfigurationKeys(space)
        self._told: set[bytes] = set()
        self._finite = not any(map(continuous, space.parameters))
        self._in_order = Walk(space, self._identity)
        self._looking: tuple[int, int] | None = None
        """number and seed of an ask that raised StillLooking: repeated, it resumes the enumeration"""

    def tell(self, observations: Sequence[Observation]) -> None:
        self._told |= self._identity.set_of(observation.parameters for observation in observations if observation.own)
        self._proposer.tell(observations)
        if observations:
            self._looking = None

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        exact = self._ask(pending, number, seed)
        rounded = self._space.rounded(exact)
        return rounded if rounded != exact and self._is_new(rounded, pending) else exact

    def _ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if self._looking == (number, seed):
            return self._next(pending, number, seed)
        for attempt in range(self._proposer.tries if len(self._told) < self._size else 0):
            varied = ask_seed(seed, attempt) if attempt else seed
            configuration = self._proposer.propose(pending, number, varied)
            if self._is_new(configuration, pending):
                self.source = self._proposer.source
                return configuration
        self.source = "random"
        fallback = self._elsewhere(pending, Random(ask_seed(seed, self._proposer.tries)))
        return self._next(pending, number, seed) if fallback is None else fallback

    def close(self) -> None:
        """Do nothing: it holds no resources."""

    def _is_new(self, configuration: Configuration, pending: Sequence[Configuration]) -> bool:
        name = self._identity.of(configuration)
        if name in self._told or not self._space.allows(configuration):
            return False
        if self._identity.continuous(configuration) and configuration not in pending:
            return True  # an equal float is an equal draw; only others need the longer comparison
        return name not in self._identity.set_of(pending)

    def _elsewhere(self, pending: Sequence[Configuration], random: Random) -> dict[str, Value] | None:
        """Return a new configuration by uniform draws, or by enumeration of a small space; None if draws find none."""
        often, climbs, last = _PROBES, 0, _LAST_PROBES
        if operations := self._space.operations:
            often, climbs, last = (
                max(1, min(count, _OPERATIONS // operations)) for count in (_CONSTRAINED, _CLIMBS, _PROBES)
            )
        for _ in range(often if len(self._told) < self._size else 0):
            configuration = draw_allowed(self._space, random)
            if self._is_new(configuration, pending):
                return configuration
        if self._size * len(self._space.parameters) <= _WALKABLE:
            return self._walk(pending, random)
        if self._finite and climbs:
            ends = (climbed(self._space, random) for _ in range(climbs))
            return next((end for end in ends if self._is_new(end, pending)), None)
        ways = _ways_to_many(self._space)
        for _ in range(last):
            if self._space.constraints:
                configuration = draw_allowed(random.choice(self._branches), random)
            else:
                fixed = {name: random.choice(values) for name, values in random.choice(ways).items()}
                configuration = draw(self._space, random, fixed)
            if self._is_new(configuration, pending):
                return configuration
        return None

    @cached_property
    def _branches(self) -> list[Space]:
        """The allowed subspaces in which a parameter with many values is active; the whole space if there are none."""
        ways = {repr(way): way for way in _ways_to_many(self._space)}  # keyed by text: true and 1 are different values
        branches = [_branch(self._space, way) for way in ways.values()]
        return [branch for branch in branches if allows_any(branch)] or [self._space]

    def _next(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        """Return the first remaining configuration in order."""
        self._looking, message = None, "no new configuration found"
        if not self._finite:
            raise Exhausted(message)
        try:
            configuration = self._in_order.next(self._told, self._identity.set_of(pending))
        except StillLooking:
            if self._in_order.barren > MAX_STEPS:
                raise Exhausted(message) from None
            self._looking = (number, seed)
            raise
        if configuration is None:
            restriction = " that the constraints allow" if self._space.constraints else ""
            raise Exhausted(f"each configuration{restriction} has been suggested once")
        return configuration

    def _walk(self, pending: Sequence[Configuration], random: Random) -> dict[str, Value]:
        """Return one of the remaining configurations, which are counted first: a list of them would take memory."""
        busy = self._identity.set_of(pending)
        count = sum(1 for _ in self._free(busy))
        if not count:
            each = f"each of the {self._size:.0f} configurations" if self._size > 1 else "the only configuration"
            raise Exhausted(f"{each} has been suggested once")
        return next(islice(self._free(busy), random.randrange(count), None))

    def _free(self, busy: Set[bytes]) -> Iterator[dict[str, Value]]:
        """Yield the configurations that are neither observed nor in `busy`, in order."""
        for configuration in self._space.walk():
            name = self._identity.of(configuration)
            if name not in self._told and name not in busy:
                yield configuration


def _branch(space: Space, way: Mapping[str, Sequence[Value]]) -> Space:
    """Return the space with the parents in `way` restricted to these values."""
    parameters = (
        Parameter(each.name, "categorical", choices=tuple(way[each.name]), when=each.when) if each.name in way else each
        for each in space.parameters
    )
    return Space(tuple(parameters), space.constraints)


def _ways_to_many(space: Space) -> list[Mapping[str, Sequence[Value]]]:
    """Return, for each parameter with many values, the parents' values that activate it; one empty mapping if none has.

    If there are floats without a step, only these count.
    """
    ways: list[Mapping[str, Sequence[Value]]] = []
    endless = [parameter for parameter in space.parameters if continuous(parameter)]
    for parameter in endless or [parameter for parameter in space.parameters if parameter.count() > _MANY_VALUES]:
        way: dict[str, list[Value]] = {}
        waiting = list(parameter.when)
        while waiting:
            parent, values = waiting.pop()
            target = space.by_name[parent]
            allowed = [target.snap(float(value)) if target.numeric else value for value in values]
            options = way.get(parent, allowed)
            way[parent] = [value for value in options if any(same(value, each) for each in allowed)]
            waiting += target.when
        if all(way.values()):
            ways.append(way)
    return ways or [{}]
