"""One configuration, as it is chosen on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from orchestune.cli.terminal.progress import exact
from orchestune.domain.search.parameters import Parameter, Value, same
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem, UsageError


def add_choices(parser: argparse.ArgumentParser, *also: str) -> None:
    """The option `-p`, and other names of it."""
    parser.add_argument(
        "-p", "--param", *also, action="append", default=[], dest="param", metavar="NAME=VALUE",
        help="choose a value; may be repeated",
    )  # fmt: skip


def configuration(
    specification: Specification, chosen: Sequence[str], base: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """`base`, else the first of `try_first`, else the middle of every parameter; `NAME=VALUE` replaces.

    BadInput names mistakes.
    """
    space = specification.space
    values: dict[str, Value] = {parameter.name: parameter.from_unit(0.5) for parameter in space.parameters}
    if base is not None:
        values |= base
    elif specification.try_first:
        values |= specification.try_first[0]
    wanted: dict[str, Value] = {}
    for text in chosen:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"'{text}' is no NAME=VALUE", "orchestune test -p alpha=0.01")
        if name not in space.by_name:
            hint = did_you_mean(name, space.by_name) or f"there are {', '.join(space.by_name)}"
            raise BadInput.one("is no parameter of this experiment", name, hint)
        wanted[name] = _value(space.by_name[name], value)
    active = space.active({**values, **wanted})
    problems = [
        Problem("is not active in this configuration", key=name, hint="choose its parent too")
        for name in wanted
        if name not in active
    ]
    problems += space.configuration_problems(active)
    if problems:
        raise BadInput(problems)
    return space.exact(active)


def _value(parameter: Parameter, text: str) -> Value:
    from orchestune.config.document.scalars import resolve  # what reads files is loaded by commands that need it alone

    read = resolve(text.strip())
    if not parameter.numeric:
        written = (choice for choice in parameter.choices if exact(choice) == text)
        meant = (choice for choice in parameter.choices if same(choice, read))
        return next(written, next(meant, text))
    if isinstance(read, (int, float)) and not isinstance(read, bool):
        return read
    raise BadInput.one(f"'{text}' is no {'whole ' if parameter.kind == 'int' else ''}number", parameter.name)
