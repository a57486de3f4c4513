"""`try`: run one trial of changed code beside an experiment, and optionally switch the experiment to that code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.cli.develop.changed_folder import OriginalExperiment, changed_experiment, original_experiment
from orchestune.cli.develop.configuration import add_choices, configuration
from orchestune.cli.develop.outcome import missing_metrics, verdict
from orchestune.cli.develop.test import run_once
from orchestune.cli.experiments import upload
from orchestune.cli.experiments.authorship import add_yes_option, confirm_reads
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.inspect.trials import SHORT_DIGEST_DIGITS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.client.states import extendable, finished, over
from orchestune.domain.search.space import key
from orchestune.domain.words import plural
from orchestune.errors import UsageError
from orchestune.sdk.submitting import shares_files

if TYPE_CHECKING:
    from orchestune import documents

Document = dict[str, Any]
_CODE_KEYS = ("root", "links", "code")
"""keys of the launch context that belong to the code"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "try",
        try_changed,
        details="Uses the best configuration so far, or that of EXP/N, and runs like `test` without being recorded."
        " With --into the experiment is switched to this code once the trial has succeeded; running trials finish"
        " with the old code.",
        example="orchestune try\norchestune try sgd-7f3a/12 --set alpha=0.01\norchestune try --into sgd-7f3a\n"
        "orchestune try --into sgd-7f3a --untried",
    )
    add_experiment(parser, trial="may")
    add_choices(parser, "--set")
    parser.add_argument("--into", metavar="EXP", help="switch this experiment to the code if the trial succeeds")
    parser.add_argument("--untried", action="store_true", help="with --into: skip the trial")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="folder of the code (default: this folder)")
    add_yes_option(parser)


def try_changed(console: Console, args: argparse.Namespace) -> int:
    """Run the trial, compare it, and switch the experiment to the code."""
    if args.untried and not args.into:
        raise UsageError("--untried needs --into", "orchestune try --into sgd-7f3a --untried")
    into = console.experiment(args.into) if args.into else None
    ref, number = console.reference(args.exp or args.into)
    original = original_experiment(console, ref, number)
    if into is not None and console.client.experiment(into)["id"] != original.status["id"]:
        raise UsageError(f"'{args.exp}' is not a trial of {args.into}", f"orchestune try --into {args.into}")
    prepared, notes = changed_experiment(console, original, args.folder)
    for note in notes:
        console.note(note)
    if not args.untried and not args.yes:
        confirm_reads(console, original.status, original.document, original.reference, prepared.folder)
    # Uploaded before the trial, so that the experiment gets the tried code even if files are saved meanwhile.
    digest = upload.upload(console, prepared) if into is not None else ""
    document: Document = {"schema": 1}
    code = 0 if args.untried else _try(console, original, prepared, args.param, document)
    if into is not None and code == 0:
        _switch_code(console, prepared, into, digest, document)
    elif into is not None and not console.json:
        console.say(f"{original.status['handle']} keeps its current code")
    if console.json:
        console.document(document)
    return code


def _try(
    console: Console,
    original: OriginalExperiment,
    prepared: PreparedExperiment,
    assignments: list[str],
    document: Document,
) -> int:
    """Run the trial and return its exit code; its `--json` fields are added to `document`."""
    specification, trial = prepared.specification, original.trial
    parameters = configuration(specification, assignments, trial["parameters"] if trial else None)
    is_same_configuration = trial is not None and key(parameters) == key(trial["parameters"])
    seed = trial["seed"] if trial else None  # only the code differs
    if not console.json:
        console.say(
            console.paint.dim(
                f"the configuration of {original.why}" if is_same_configuration or trial else original.why
            )
        )
    outcome = run_once(console, prepared, parameters, seed)
    missing = missing_metrics(outcome, specification)
    reference = trial["metrics"] if is_same_configuration and trial else None
    if not console.json:
        console.say("", *verdict(console, outcome, specification, reference))
    reference_name = f"{original.status['handle']}/{trial['number']}" if trial else None
    document |= {"like": reference_name, "parameters": parameters, **outcome.to_json(), "missing": missing}
    return 1 if outcome.problem or missing else 0


def _switch_code(console: Console, prepared: PreparedExperiment, into: str, digest: str, document: Document) -> None:
    client = console.client
    previous = client.specification(into)
    context = upload.launched(console, prepared)
    status = client.change_code(into, digest, {name: value for name, value in context.items() if name in _CODE_KEYS})
    added = sorted(set(prepared.project.links) - set((previous["launch"] or {}).get("links") or ()))
    if added and not shares_files(console.place):
        console.note(f"running containers do not have {', '.join(added)}")
    document |= {"into": status["handle"], "bundle": digest, "changed": digest != previous["bundle"]}
    if not console.json:
        console.say(_switch_message(status, digest, previous["bundle"]))


def _switch_message(status: documents.Status, digest: str, previous: str | None) -> str:
    handle, running = status["handle"], status["counts"]["running"]
    if digest == previous:
        return f"{handle} already uses this code ({digest[:SHORT_DIGEST_DIGITS]})"
    parts = [f"{handle} switched to this code ({digest[:SHORT_DIGEST_DIGITS]})"]
    if running:
        parts.append(
            f"the {plural(running, 'trial')} running now {'finishes' if running == 1 else 'finish'} with the old code"
        )
    if results := finished(status):
        stay, them = ("stays", "it") if results == 1 else ("stay", "them")
        parts.append(f"{plural(results, 'result')} of the old code {stay}, and the search uses {them}")
    if status["desired"] == "paused":
        parts.append(f"it is paused: orchestune resume {handle}")
    elif extendable(status):
        parts.append(f"it is {status['state']}: orchestune extend {handle} --budget {status['budget'] * 2}")
    elif over(status) and status["reason"]:
        parts.append(f"it is {status['state']}: {status['reason']['message']}")
    return "; ".join(parts)
