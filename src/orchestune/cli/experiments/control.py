"""`stop`, `pause`, `resume`, `extend` and `delete`: control an experiment. All of them are idempotent."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from orchestune.cli.experiments.authorship import inherited_variables
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment, positive
from orchestune.cli.terminal.progress import at_a_time
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.states import FINAL_STATES, extendable, is_uploading, over
from orchestune.domain.words import plural
from orchestune.errors import Purged, UsageError

if TYPE_CHECKING:
    from orchestune import documents

_PURGE_WAIT_SECONDS = 5.0
"""seconds that `delete --purge` waits for the removal"""
_POLL_SECONDS = 0.1
"""seconds between two requests meanwhile"""


def add(commands: Commands) -> None:
    """Register the commands."""
    parser = add_command(
        commands,
        "stop",
        stop,
        details="Running trials get SIGTERM, and SIGKILL after the grace period. Stopping a single trial "
        "does not use up budget: another trial replaces it.",
        example="orchestune stop sgd-7f3a\norchestune stop sgd-7f3a/12",
    )
    add_experiment(parser, trial="may")
    parser = add_command(
        commands,
        "pause",
        pause,
        example="orchestune pause sgd-7f3a\norchestune pause sgd-7f3a --now",
    )
    add_experiment(parser)
    parser.add_argument("--now", action="store_true", help="terminate running trials too; resume requeues them")
    parser = add_command(commands, "resume", resume, example="orchestune resume sgd-7f3a")
    add_experiment(parser)
    parser = add_command(
        commands,
        "extend",
        extend,
        example="orchestune extend sgd-7f3a --budget 80\norchestune extend sgd-7f3a --parallelism 8",
    )
    add_experiment(parser)
    parser.add_argument("--budget", type=positive, metavar="N", help="finished trials in total, not in addition")
    parser.add_argument(
        "--parallelism", type=positive, metavar="P", help="maximum number of trials running at the same time"
    )
    parser = add_command(
        commands,
        "delete",
        delete,
        details="--purge removes its records and files permanently.",
        example="orchestune delete sgd-7f3a\norchestune delete sgd-7f3a --purge --yes",
    )
    add_experiment(parser)
    parser.add_argument("--purge", action="store_true", help="remove records, logs and files permanently")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")


def stop(console: Console, args: argparse.Namespace) -> int:
    """Request the stop of an experiment or a trial; it takes effect within the grace period."""
    ref, number = console.reference(args.exp)
    if number is None:
        status = console.client.stop(ref)
        suffix = ""
        if status["state"] in FINAL_STATES - {"stopped"}:
            suffix = "; nothing to stop"
        elif status["state"] not in FINAL_STATES and is_uploading(status):
            suffix = "; still uploading files of completed trials"
        return _done(console, status, status["state"] + suffix)
    before = console.client.trial(ref, number)["state"]
    trial = console.client.stop_trial(ref, number)
    if console.json:
        return console.result(trial)
    status = console.client.experiment(ref)
    is_over = before == "cancelled" or trial["state"] != "cancelled"
    consequence = "nothing to stop" if is_over else _after_stop(status)
    console.say(f"{status['handle']}/{number}: {trial['state']}; {consequence}")
    return 0


def _after_stop(status: documents.Status) -> str:
    """Return the consequence of stopping one trial."""
    if status["state"] in FINAL_STATES or status["desired"] == "stopped":
        return f"its experiment is {status['state']}"
    condition = f" after `orchestune resume {status['handle']}`" if status["desired"] == "paused" else ""
    return f"another trial replaces it{condition}"


def pause(console: Console, args: argparse.Namespace) -> int:
    """Pause an experiment; with `--now` its running trials too."""
    status = console.client.pause(console.experiment(args.exp), now=args.now)
    if status["state"] != "paused":
        return _done(console, status, f"{status['state']}; nothing to pause")
    on = f"; resume with `orchestune resume {status['handle']}`"
    return _done(console, status, f"paused{_running(status, now=args.now)}{on}")


def _running(status: documents.Status, *, now: bool) -> str:
    """Describe what happens to running trials, or to running folds; folds that have not started wait."""
    has_folds, running = status["folds"] > 1, status.get("running") or []
    count = len(running) if has_folds else status["counts"]["running"]
    ending_count = sum(attempt.get("ending", False) for attempt in running)
    ending = count if now or ending_count == len(running) else ending_count
    endings = [(ending, "terminates now", "terminate now"), (count - ending, "finishes first", "finish first")]
    text = ""
    for amount, singular, plural_form in endings:
        if amount:
            what = f"{plural(amount, 'fold')} running" if has_folds else f"{amount} running"
            text += f"; {what} {singular if amount == 1 else plural_form}"
    return text


def resume(console: Console, args: argparse.Namespace) -> int:
    """Resume an experiment."""
    ref = console.experiment(args.exp)
    status = console.client.resume(ref, _environment(console, ref))
    hint = f"; raise the budget with `orchestune extend {status['handle']} --budget N`"
    return _done(console, status, status["state"] + (hint if extendable(status) else _not_resumable(status)))


def extend(console: Console, args: argparse.Namespace) -> int:
    """Change budget or parallelism."""
    changes = {name: getattr(args, name) for name in ("budget", "parallelism") if getattr(args, name) is not None}
    if not changes:
        raise UsageError("extend needs --budget, --parallelism or both", "orchestune extend sgd-7f3a --budget 80")
    ref = console.experiment(args.exp)
    environment = _environment(console, ref) if args.budget else {}
    status = console.client.change(ref, **changes, **({"environment": environment} if environment else {}))
    text = f"{status['state']}, {plural(status['budget'], 'trial')}, {at_a_time(status)}"
    if (args.parallelism or 0) > status["parallelism"]:
        all_folds = " in folds" if status["folds"] > 1 else ""
        message = f"{args.parallelism} is more than the budget{all_folds}; {status['parallelism']} is used"
        console.note(f"parallelism: {message}")
    return _done(console, status, text + _not_resumable(status))


def _environment(console: Console, ref: str) -> dict[str, str]:
    """Return the variables of this shell for an experiment that is over: the end has deleted those of its start."""
    status = console.client.experiment(ref)
    return inherited_variables(console, status, console.client.specification(ref)) if over(status) else {}


def _not_resumable(status: documents.Status) -> str:
    """Describe why an experiment stays ended, if neither `resume` nor a larger budget continues it; else empty."""
    reason = status["reason"]
    if status["state"] not in FINAL_STATES or reason is None or extendable(status):
        return ""
    hint = f"`orchestune run --warm-start {status['handle']}` starts a new search from its results"
    return f"; it cannot be continued: {reason['message']}; {hint}"


def delete(console: Console, args: argparse.Namespace) -> int:
    """Hide an experiment, or remove it for good. Asks for confirmation if something would be lost. Idempotent."""
    ref = console.experiment(args.exp)
    try:
        status = console.client.experiment(ref)
    except Purged:
        return _deleted(console, ref, True, "already deleted permanently")
    handle = status["handle"]
    if not args.yes and (args.purge or status["state"] not in FINAL_STATES):
        consequence = (
            "its records, logs and files are removed permanently" if args.purge else "it is stopped and hidden"
        )
        confirm(
            f"Delete {handle} ({status['name']}, {status['state']})? {consequence[0].upper()}{consequence[1:]}.",
            "nothing was deleted",
        )
    console.client.delete(handle, purge=args.purge)
    if not args.purge:
        return _deleted(console, handle, False, "deleted; its records stay until --purge")
    remainder = _purge_remainder(console, handle)
    console.experiment_index.forget(lambda item: item.id == status["id"])
    return _deleted(console, handle, not remainder, remainder or "deleted permanently")


def _purge_remainder(console: Console, handle: str) -> str:
    """Wait for the removal, and describe what remains after `_PURGE_WAIT_SECONDS`; empty if everything was removed."""
    deadline = time.monotonic() + _PURGE_WAIT_SECONDS
    while True:
        try:
            status = console.client.experiment(handle)
        except Purged:
            return ""
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    if status["state"] not in FINAL_STATES:
        return "stopped and hidden; its records, logs and files are removed once its trials have ended"
    note = "the server keeps retrying, `orchestune doctor` looks for the cause"
    return f"hidden; its records, logs and files are not removed yet: {note}"


def _deleted(console: Console, handle: str, purged: bool, text: str) -> int:
    return console.result({"schema": 1, "handle": handle, "purged": purged}, f"{handle}: {text}")


def _done(console: Console, status: documents.Status, text: str) -> int:
    return console.result(status, f"{status['handle']}: {text}")
