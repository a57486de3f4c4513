"""Parameters for libraries that know no steps and no conditions: numbers, whole numbers and choices, all flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation


@dataclass(frozen=True)
class Dial:
    """A parameter as such a library has it. A float with a step is the whole number of its step."""

    parameter: Parameter
    kind: Literal["float", "int", "choice"]
    low: float
    high: float

    @classmethod
    def of(cls, parameter: Parameter) -> Dial:
        """The dial of a parameter."""
        if not parameter.numeric:
            return cls(parameter, "choice", 0, len(parameter.choices) - 1)
        if parameter.step is not None:
            return cls(parameter, "int", 0, int(parameter.count()) - 1)
        assert parameter.low is not None and parameter.high is not None
        return cls(parameter, "int" if parameter.kind == "int" else "float", parameter.low, parameter.high)

    @property
    def name(self) -> str:
        """The parameter's."""
        return self.parameter.name

    @property
    def log(self) -> bool:
        """True if the library should search the logarithm."""
        return self.parameter.log and self.parameter.step is None

    @property
    def size(self) -> int:
        """Number of choices."""
        return len(self.parameter.choices)

    def value(self, position: float) -> Value:
        """Return the parameter's value at `position` of the dial; for a choice, its index."""
        if self.kind == "choice":
            return self.parameter.choices[int(position)]
        if self.parameter.step is not None:
            return self.parameter.snap((self.parameter.low or 0) + int(position) * self.parameter.step)
        return self.parameter.snap(int(position) if self.kind == "int" else float(position))


class Dials:
    """All of a space: `active` sends out what applies, as users of such a library do."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.all: Sequence[Dial] = [Dial.of(parameter) for parameter in space.parameters]

    def active(self, positions: Mapping[str, float]) -> dict[str, Value]:
        """The configuration at these positions, without what its conditions leave out."""
        return self._space.active({dial.name: dial.value(positions[dial.name]) for dial in self.all})


class Losses:
    """Return the loss of a failed trial for a library without failures: the worst loss so far, as its users report."""

    def __init__(self) -> None:
        self._worst: float | None = None

    def of(self, observation: Observation) -> float | None:
        """Return None if there is nothing to report because all trials have failed so far."""
        if "loss" in observation.metrics:
            loss = observation.metrics["loss"]
            self._worst = loss if self._worst is None else max(self._worst, loss)
            return loss
        return self._worst


Pending = Sequence[Configuration]
