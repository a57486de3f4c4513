"""What is known of a script's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestune.domain.search.parameters import Value

Kind = Literal["float", "int", "text", "bool", "other"]
KINDS: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
"""by what a value is in Python"""


@dataclass(frozen=True)
class Option:
    """One thing that can be set."""

    name: str
    """what stands between `--` and `=`, or the path in a configuration"""
    kind: Kind | None = None
    """None: nothing tells"""
    default: Value | None = None
    choices: tuple[Value, ...] = ()
    least: float | None = None
    most: float | None = None
    about: str = ""
    required: bool = False
    word: str = ""
    """how it stands in the command where that is not `--name=value`: `{name}` for an argument without a flag"""
    early: bool = False
    """whether it stands before the name of the script's command: `train.py --seed=1 fit`"""
    rivals: str = ""
    """the group of options of which the script takes one at most; exactly one where it begins with `!`"""


@dataclass(frozen=True)
class Script:
    """A script's options and how they are set."""

    reader: str
    """what reads them in the script, such as argparse"""
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()
    """of the command, after the script and before the options: the name of a command of it"""
    way: str = "{args}"
    """the placeholder for all of them"""
    config: str | None = None
    """the configuration file whose values they are"""
    notes: tuple[str, ...] = ()
    commands: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    """where it has commands of its own: the options of each; `options` are of all of them"""


def plain(value: Any) -> Any:
    """The value where a command line can hold it: None and lists it cannot."""
    return value if type(value) in KINDS else None
