"""A script's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestune.domain.search.parameters import Value

Kind = Literal["float", "int", "text", "bool", "other"]
KINDS: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
"""by Python type"""


@dataclass(frozen=True)
class Option:
    """One option of a script."""

    name: str
    """the name between `--` and `=`, or the path in a configuration"""
    kind: Kind | None = None
    """None if unknown"""
    default: Value | None = None
    choices: tuple[Value, ...] = ()
    least: float | None = None
    most: float | None = None
    about: str = ""
    required: bool = False
    argument_template: str = ""
    """its form in the command if that is not `--name=value`: `{name}` for a positional argument"""
    early: bool = False
    """True if it comes before the name of the script's command: `train.py --seed=1 fit`"""
    rivals: str = ""
    """id of its mutually exclusive group; starts with `!` if one option of the group is required"""


@dataclass(frozen=True)
class Script:
    """A script's options and the way in which they are set."""

    reader: str
    """the library that parses them, such as argparse"""
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()
    """words after the script and before the options: the name of one of its commands"""
    argument_template: str = "{args}"
    """the placeholders for all options in the command; empty if they are assigned before it, `LR={LR} sh train.sh`, or
    replaced in a file"""
    config: str | None = None
    """the configuration file that has these values"""
    notes: tuple[str, ...] = ()
    commands: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    """options by command, if the script has commands; `options` apply to all of them"""
    constants: str | None = None
    """the file that has these values as constants, so that the command has no placeholders for them"""


def plain(value: Any) -> Any:
    """Return the value if a command line can represent it, otherwise None."""
    return value if type(value) in KINDS else None
