"""The unparsed description of an experiment on the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A metric and its goal; `option` is the option that set it."""

    option: str
    name: str
    goal: str


@dataclass(frozen=True)
class DescribedOption:
    """An option that sets a key of the file, as plain text if `text`, otherwise as YAML."""

    option: str
    key: str
    value: str
    text: bool = False


@dataclass(frozen=True)
class Description:
    """The options and arguments of the command line that describe an experiment."""

    spaces: tuple[str, ...] = ()
    """`NAME=RANGE` or `NAME=VALUE,VALUE`"""
    goals: tuple[Goal, ...] = ()
    command: tuple[str, ...] = ()
    settings: tuple[DescribedOption, ...] = ()
    once: bool = False
    """a single trial is run, so no budget is required"""

    @property
    def whole(self) -> bool:
        """True if they describe a complete experiment rather than changes to one."""
        return bool(self.spaces or self.goals)
