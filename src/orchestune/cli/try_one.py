"""`test`: one configuration, now, on this machine, with nothing recorded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from orchestune.cli import destination
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command
from orchestune.cli.preparing import Prepared, add_file_options, prepare
from orchestune.cli.progress import exact
from orchestune.cli.render import duration, number, one_line
from orchestune.client.launch import secret_values
from orchestune.domain.experiment import Specification
from orchestune.domain.space import Parameter, Value
from orchestune.errors import BadInput, Problem, UsageError
from orchestune.sdk.submitting import at_hand


@dataclass
class Outcome:
    """What came of it. `problem` is empty where the command succeeded with finite metrics."""

    problem: str
    exit_code: int | None
    seconds: float
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `test --json` prints it."""
        return {
            "problem": self.problem or None,
            "exit_code": self.exit_code,
            "wall_seconds": round(self.seconds, 3),
            "metrics": self.metrics,
            "extra": self.extra,
        }


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "test",
        test,
        help="run one configuration now, and show which metrics were understood",
        details="Records nothing; on this machine it needs no server. Exit code 1 when the command fails or a metric is"
        " missing.",
        example="orchestune test\norchestune test -p alpha=0.01 -p penalty=l1\norchestune test --cluster lab\n"
        "orchestune test --minimize loss lr=1e-5..1e-1:log -- python train.py {args}",
    )
    add_file_options(parser)
    parser.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="choose a value; may be repeated"
    )
    parser.set_defaults(once=True)


def test(console: Console, args: argparse.Namespace) -> int:
    """Run it as a trial would be run: in a private copy of the code, with the environment of a trial."""
    prepared = prepare(args)
    specification = prepared.specification
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, prepared.folder)
    parameters = configuration(specification, args.param)
    paint = console.paint
    if not console.json:
        names = max(map(len, parameters), default=0)
        console.say(*(f"{name:{names}}  {paint.bold(exact(value))}" for name, value in parameters.items()), "")
    outcome = _run(console, prepared, parameters, secrets)
    missing = [metric.name for metric in specification.metrics if metric.name not in outcome.metrics]
    if console.json:
        console.document({"schema": 1, "parameters": parameters, **outcome.to_json(), "missing": missing})
    else:
        console.say("", *_verdict(console, outcome, specification, missing))
    return 1 if outcome.problem or missing else 0


def _run(console: Console, prepared: Prepared, parameters: Mapping[str, Value], secrets: dict[str, str]) -> Outcome:
    if at_hand(console.place):
        from orchestune.cli.trying import try_one  # the worker's parts, which no other command needs

        return try_one(console, prepared, parameters, secrets)
    from orchestune.cli.trying_there import try_there  # as above

    destination.need_image(console.place, prepared)
    for note in destination.notes(console.place, prepared):
        console.note(note)
    return try_there(console, prepared, parameters, secrets)


def configuration(specification: Specification, chosen: Sequence[str]) -> dict[str, Value]:
    """The first of `try_first`, or the middle of every parameter; `NAME=VALUE` replaces. BadInput names mistakes."""
    space = specification.space
    values: dict[str, Value] = {parameter.name: parameter.from_unit(0.5) for parameter in space.parameters}
    if specification.try_first:
        values |= specification.try_first[0]
    wanted: dict[str, Value] = {}
    for text in chosen:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"'{text}' is no NAME=VALUE", "orchestune test -p alpha=0.01")
        if name not in space.by_name:
            near = get_close_matches(name, space.by_name, 1)
            raise BadInput.one("is no parameter of this experiment", name, f"did you mean {near[0]}?" if near else "")
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
    return active


def _value(parameter: Parameter, text: str) -> Value:
    if not parameter.numeric:
        return next((choice for choice in parameter.choices if exact(choice) == text), text)
    try:
        return int(text) if parameter.kind == "int" else float(text)
    except ValueError:
        raise BadInput.one(
            f"'{text}' is no {'whole ' if parameter.kind == 'int' else ''}number", parameter.name
        ) from None


def _verdict(console: Console, outcome: Outcome, specification: Specification, missing: Sequence[str]) -> list[str]:
    paint = console.paint
    lines = []
    if outcome.problem:
        lines.append(f"{paint('31', 'failed')}   {outcome.problem}")
    for metric in specification.metrics:
        if metric.name in outcome.metrics:
            value = outcome.metrics[metric.name]
            spread = f" {paint.sign('±')} {number(value['stddev'], 2)}" if value["stddev"] is not None else ""
            lines.append(f"{paint('32', 'metric')}   {metric.name} {number(value['value'], 6)}{spread}")
    for name in missing:
        near = get_close_matches(name, outcome.extra, 1, 0.4)
        hint = f"; did you mean {near[0]}, which it reported?" if near else f"; print a line such as `{name}=0.5`"
        lines.append(f"{paint('31', 'missing')}  {name}{hint}")
    if outcome.extra:
        seen = ", ".join(f"{name} {number(value)}" for name, value in list(outcome.extra.items())[:8])
        lines.append(f"{paint.dim('also')}     {one_line(seen)}")
    lines.append(f"{paint.dim('time')}     {duration(outcome.seconds)}")
    return lines
