"""What words of a command line say of an experiment, before anything is read from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A metric and which way it is to go; `option` is how that was said."""

    option: str
    name: str
    goal: str


@dataclass(frozen=True)
class DescribedOption:
    """One option that stands for a key of the file; a text is taken as it is, anything else as YAML."""

    option: str
    key: str
    value: str
    text: bool = False


@dataclass(frozen=True)
class Description:
    """What the words say."""

    spaces: tuple[str, ...] = ()
    """`NAME=RANGE` or `NAME=VALUE,VALUE`"""
    goals: tuple[Goal, ...] = ()
    command: tuple[str, ...] = ()
    settings: tuple[DescribedOption, ...] = ()
    once: bool = False
    """a single trial is meant, so that no budget has to be named"""

    @property
    def whole(self) -> bool:
        """Whether they describe an experiment, and do not only change one."""
        return bool(self.spaces or self.goals)
