"""`test`: run one trial now, on this machine or a cluster, and keep no record of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from orchestune.cli.develop.configuration import add_choices, configuration
from orchestune.cli.develop.ephemeral_trial import run_trial
from orchestune.cli.develop.outcome import Outcome, missing_metrics, verdict
from orchestune.cli.experiments import destination
from orchestune.cli.experiments.plan import source_in_words
from orchestune.cli.experiments.prepare import PreparedExperiment, add_file_options, located, prepare
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.progress import exact
from orchestune.cli.terminal.render import one_line
from orchestune.client.local.launch_context import secret_values
from orchestune.domain.search.parameters import Value


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "test",
        test,
        details="Runs like a trial of `run`, whose server it starts on this machine if none is running, and deletes its"
        " records at the end. On this machine it never waits for resources. Exits with 1 if the command fails or a"
        " metric is missing.",
        example="orchestune test\norchestune test -p alpha=0.01 -p penalty=l1\norchestune test --cluster lab\n"
        "orchestune test --minimize loss lr=1e-5..1e-1:log -- python train.py {args}",
    )
    add_file_options(parser)
    add_choices(parser)
    parser.set_defaults(once=True)


def test(console: Console, args: argparse.Namespace) -> int:
    """Run one trial and print its verdict."""
    prepared = prepare(args)
    specification = prepared.specification
    parameters = configuration(specification, args.param)
    outcome = run_once(console, prepared, parameters)
    missing = missing_metrics(outcome, specification)
    if console.json:
        console.document({"schema": 1, "parameters": parameters, **outcome.to_json(), "missing": missing})
    else:
        console.say("", *verdict(console, outcome, specification))
    return 1 if outcome.problem or missing else 0


def run_once(
    console: Console, prepared: PreparedExperiment, parameters: Mapping[str, Value], seed: int | None = None
) -> Outcome:
    """Run one trial of the folder on this machine or the selected cluster, with its output on the screen."""
    specification = prepared.specification
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    with located(prepared):
        secrets = secret_values(sources, console.environ, prepared.folder)
    if not console.json:
        names = max(map(len, parameters), default=0)
        console.say(
            *(f"{name:{names}}  {console.paint.bold(one_line(exact(value)))}" for name, value in parameters.items()), ""
        )
    destination.need_image(console.place, prepared)
    destination.need_files(console.place, prepared.project)
    project = destination.project_in_words(prepared)
    notes = (
        *([f"project {project}"] if project else []),
        *(one_line(f"secret {name} from {source_in_words(source, prepared.folder)}") for name, source in sources),
        *prepared.notes,
        *destination.notes(console.place, prepared),
    )
    for note in () if console.json else notes:
        console.note(f"note  {note}")
    return run_trial(console, prepared, parameters, secrets, seed)
