"""Choice of one configuration on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from orchestune.cli.terminal.progress import exact
from orchestune.domain.search.parameters import Parameter, Value, same
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem, UsageError


def add_choices(parser: argparse.ArgumentParser, *aliases: str) -> None:
    """Add the option `-p`, and its aliases."""
    parser.add_argument(
        "-p", "--param", *aliases, action="append", default=[], dest="param", metavar="NAME=VALUE",
        help="set the value of a parameter; repeatable",
    )  # fmt: skip


def configuration(
    specification: Specification, assignments: Sequence[str], base: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """Return `base`, else the first of `try_first`, else the middle of every range, with `NAME=VALUE` overrides.

    Raises BadInput for invalid choices.
    """
    space = specification.space
    values: dict[str, Value] = {
        parameter.name: parameter.rounded(parameter.from_unit(0.5)) for parameter in space.parameters
    }
    if base is not None:
        values |= base
    elif specification.try_first:
        values |= specification.try_first[0]
    overrides: dict[str, Value] = {}
    for text in assignments:
        name, equals, text_value = text.partition("=")
        if not equals:
            raise UsageError(f"'{text}' (expected NAME=VALUE)", "orchestune test -p alpha=0.01")
        if name not in space.by_name:
            hint = did_you_mean(name, space.by_name) or f"parameters: {', '.join(space.by_name)}"
            raise BadInput.one("is not a parameter of this experiment", name, hint)
        overrides[name] = _value(space.by_name[name], text_value)
    active = space.active({**values, **overrides})
    problems = [
        Problem("is not active in this configuration", key=name, hint="set its parent too")
        for name in overrides
        if name not in active
    ]
    problems += space.configuration_problems(active)
    if problems:
        raise BadInput(problems)
    return space.exact(active)


def _value(parameter: Parameter, text: str) -> Value:
    from orchestune.config.document.scalars import resolve  # imports ruamel.yaml, only needed here

    parsed = resolve(text.strip())
    if not parameter.numeric:
        exact_matches = (choice for choice in parameter.choices if exact(choice) == text)
        equal_matches = (choice for choice in parameter.choices if same(choice, parsed))
        return next(exact_matches, next(equal_matches, text))
    if isinstance(parsed, (int, float)) and not isinstance(parsed, bool):
        return parsed
    raise BadInput.one(f"'{text}' (expected {'an integer' if parameter.kind == 'int' else 'a number'})", parameter.name)
