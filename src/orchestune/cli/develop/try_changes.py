"""`try`: one trial of changed code beside an experiment, and that code for the rest of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.cli.develop.changed_folder import OriginalExperiment, changed, model
from orchestune.cli.develop.configuration import add_choices, configuration
from orchestune.cli.develop.outcome import missing, verdict
from orchestune.cli.develop.test import run_once
from orchestune.cli.experiments import upload
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.inspect.trials import SHORT
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.client.states import extendable, over
from orchestune.domain.search.space import key
from orchestune.domain.words import plural
from orchestune.errors import UsageError
from orchestune.sdk.submitting import at_hand, shares_files

if TYPE_CHECKING:
    from orchestune import documents

Document = dict[str, Any]
_CODE = ("root", "links", "code")
"""what of a launch comes with the code"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "try",
        try_changed,
        details="It takes the best configuration so far, or that of EXP/N, is run like a `test`, and counts for"
        " nothing. With --into the experiment goes on with this code once the trial has succeeded: trials that have"
        " begun end with the old one.",
        example="orchestune try\norchestune try sgd-7f3a/12 --set alpha=0.01\norchestune try --into sgd-7f3a\n"
        "orchestune try --into sgd-7f3a --untried",
    )
    add_experiment(parser, trial="may")
    add_choices(parser, "--set")
    parser.add_argument("--into", metavar="EXP", help="let this experiment go on with the code, if the trial succeeds")
    parser.add_argument("--untried", action="store_true", help="with --into: run no trial before")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the code is (default: this folder)")


def try_changed(console: Console, args: argparse.Namespace) -> int:
    """Run the trial, compare it, hand the code over."""
    if args.untried and not args.into:
        raise UsageError("--untried is for --into", "orchestune try --into sgd-7f3a --untried")
    into = console.experiment(args.into) if args.into else None
    ref, number = console.reference(args.exp or args.into)
    found = model(console, ref, number)
    if into is not None and console.client.experiment(into)["id"] != found.status["id"]:
        raise UsageError(f"{args.exp} is no trial of {args.into}", f"orchestune try --into {args.into}")
    prepared, notes = changed(console, found, args.folder)
    for note in notes:
        console.note(note)
    # sent before it is tried: what is handed over is what was tried, whatever is saved meanwhile
    digest = upload.upload(console, prepared) if into is not None else ""
    document: Document = {"schema": 1}
    code = 0 if args.untried else _try(console, found, prepared, args.param, document)
    if into is not None and code == 0:
        _hand_over(console, prepared, into, digest, document)
    elif into is not None and not console.json:
        console.say(f"{found.status['handle']} goes on with the code that it has")
    if console.json:
        console.document(document)
    return code


def _try(
    console: Console, found: OriginalExperiment, prepared: PreparedExperiment, chosen: list[str], document: Document
) -> int:
    """Its exit code; what `--json` says of it is added to `document`."""
    specification, trial = prepared.specification, found.trial
    parameters = configuration(specification, chosen, trial["parameters"] if trial else None)
    same = trial is not None and key(parameters) == key(trial["parameters"])
    seed = trial["seed"] if trial else None  # so that what is different is the code
    if not console.json:
        console.say(console.paint.dim(f"the configuration of {found.why}" if same or trial else found.why))
    outcome = run_once(console, prepared, parameters, seed)
    absent = missing(outcome, specification)
    before = _comparable(console, trial) if same and trial else None
    if not console.json:
        console.say("", *verdict(console, outcome, specification, before))
    like = f"{found.status['handle']}/{trial['number']}" if trial else None
    document |= {"like": like, "parameters": parameters, **outcome.to_json(), "missing": absent}
    return 1 if outcome.problem or absent else 0


def _comparable(console: Console, trial: documents.Trial) -> dict[str, Any]:
    """What the trial measured; of folds the first one, where that alone is run."""
    tasks = trial.get("folds") or []
    return dict(tasks[0]["metrics"] if len(tasks) > 1 and at_hand(console.place) else trial["metrics"])


def _hand_over(console: Console, prepared: PreparedExperiment, into: str, digest: str, document: Document) -> None:
    client = console.client
    before = client.specification(into)
    place = upload.launched(console, prepared)
    status = client.change_code(into, digest, {name: value for name, value in place.items() if name in _CODE})
    added = sorted(set(prepared.links) - set((before["launch"] or {}).get("links") or ()))
    if added and not shares_files(console.place):
        console.note(f"containers that run already do not have {', '.join(added)}")
    document |= {"into": status["handle"], "bundle": digest, "changed": digest != before["bundle"]}
    if not console.json:
        console.say(_said(status, digest, before["bundle"]))


def _said(status: documents.Status, digest: str, before: str | None) -> str:
    handle, running = status["handle"], status["counts"]["running"]
    if digest == before:
        return f"{handle} has this code already ({digest[:SHORT]})"
    said = [f"{handle} goes on with this code ({digest[:SHORT]})"]
    if running:
        said.append(f"the {plural(running, 'trial')} running now {'ends' if running == 1 else 'end'} with the old one")
    if status["desired"] == "paused":
        said.append(f"it is paused: orchestune resume {handle}")
    elif extendable(status):
        said.append(f"it is {status['state']}: orchestune extend {handle} --budget {status['budget'] * 2}")
    elif over(status) and status["reason"]:
        said.append(f"it is {status['state']}: {status['reason']['message']}")
    return "; ".join(said)
