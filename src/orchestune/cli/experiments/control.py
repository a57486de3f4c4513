"""`stop pause resume extend delete`: change what becomes of an experiment. All may be repeated."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment, positive
from orchestune.cli.terminal.progress import at_a_time
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.states import OVER, extendable, handing_in
from orchestune.domain.words import plural
from orchestune.errors import Purged, UsageError

if TYPE_CHECKING:
    from orchestune import documents

_REMOVED_WITHIN = 5.0
"""seconds for which `delete --purge` waits to see that everything is gone"""
_LOOK = 0.1
"""seconds between two looks"""


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(
        commands,
        "stop",
        stop,
        details="Running trials get SIGTERM, and after the grace period SIGKILL. A trial that is stopped "
        "by itself does not count for the budget: another one takes its place.",
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
    parser.add_argument("--now", action="store_true", help="end running trials too; they are offered again on resume")
    parser = add_command(commands, "resume", resume, example="orchestune resume sgd-7f3a")
    add_experiment(parser)
    parser = add_command(
        commands,
        "extend",
        extend,
        example="orchestune extend sgd-7f3a --budget 80\norchestune extend sgd-7f3a --parallelism 8",
    )
    add_experiment(parser)
    parser.add_argument("--budget", type=positive, metavar="N", help="finished trials in all, not in addition")
    parser.add_argument("--parallelism", type=positive, metavar="P", help="trials at a time")
    parser = add_command(
        commands,
        "delete",
        delete,
        details="With --purge its records and files are removed for good.",
        example="orchestune delete sgd-7f3a\norchestune delete sgd-7f3a --purge --yes",
    )
    add_experiment(parser)
    parser.add_argument("--purge", action="store_true", help="remove records, logs and files for good")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def stop(console: Console, args: argparse.Namespace) -> int:
    """Ask for the end; it comes within the grace period."""
    ref, number = console.reference(args.exp)
    if number is None:
        status = console.client.stop(ref)
        more = ""
        if status["state"] in OVER - {"stopped"}:
            more = "; there is nothing to stop"
        elif status["state"] not in OVER and handing_in(status):
            more = "; files of trials that completed are on their way"
        return _done(console, status, status["state"] + more)
    before = console.client.trial(ref, number)["state"]
    trial = console.client.stop_trial(ref, number)
    if console.json:
        return console.result(trial)
    status = console.client.experiment(ref)
    over = before == "cancelled" or trial["state"] != "cancelled"
    then = "there is nothing to stop" if over else _instead(status)
    console.say(f"{status['handle']}/{number}: {trial['state']}; {then}")
    return 0


def _instead(status: documents.Status) -> str:
    """What becomes of the place of a trial that was stopped."""
    if status["state"] in OVER or status["desired"] == "stopped":
        return f"its experiment is {status['state']}"
    again = f" after `orchestune resume {status['handle']}`" if status["desired"] == "paused" else ""
    return f"another trial takes its place{again}"


def pause(console: Console, args: argparse.Namespace) -> int:
    """Start no more trials."""
    status = console.client.pause(console.experiment(args.exp), now=args.now)
    if status["state"] != "paused":
        return _done(console, status, f"{status['state']}; there is nothing to pause")
    on = f"; go on with `orchestune resume {status['handle']}`"
    return _done(console, status, f"paused{_running(status, now=args.now)}{on}")


def _running(status: documents.Status, *, now: bool) -> str:
    """What becomes of what runs; of trials with folds those that have not begun wait."""
    several, listed = status["folds"] > 1, status.get("running") or []
    count = len(listed) if several else status["counts"]["running"]
    ordered = sum(attempt.get("ending", False) for attempt in listed)
    ending = count if now or ordered == len(listed) else ordered
    fates = [(ending, "ends now", "end now"), (count - ending, "goes on to its end", "go on to their end")]
    said = ""
    for many, one, more in fates:
        if many:
            what = f"{plural(many, 'fold')} running" if several else f"{many} running"
            said += f"; {what} {one if many == 1 else more}"
    return said


def resume(console: Console, args: argparse.Namespace) -> int:
    """Go on."""
    status = console.client.resume(console.experiment(args.exp))
    more = f"; more trials come with `orchestune extend {status['handle']} --budget N`"
    return _done(console, status, status["state"] + (more if extendable(status) else _ended(status)))


def extend(console: Console, args: argparse.Namespace) -> int:
    """Change budget or parallelism."""
    changes = {name: getattr(args, name) for name in ("budget", "parallelism") if getattr(args, name) is not None}
    if not changes:
        raise UsageError("extend needs --budget, --parallelism or both", "orchestune extend sgd-7f3a --budget 80")
    status = console.client.change(console.experiment(args.exp), **changes)
    text = f"{status['state']}, {plural(status['budget'], 'trial')}, {at_a_time(status)}"
    if (args.parallelism or 0) > status["parallelism"]:
        all_folds = " in folds" if status["folds"] > 1 else ""
        told = f"{args.parallelism} is more than the budget{all_folds}; {status['parallelism']} is used"
        console.note(f"parallelism: {told}")
    return _done(console, status, text + _ended(status))


def _ended(status: documents.Status) -> str:
    """Why it does not go on, where neither `resume` nor a larger budget makes it."""
    reason = status["reason"]
    if status["state"] not in OVER or reason is None or extendable(status):
        return ""
    again = f"`orchestune run --warm-start {status['handle']}` begins another search with its results"
    return f"; it does not go on: {reason['message']}; {again}"


def delete(console: Console, args: argparse.Namespace) -> int:
    """Hide, or remove for good; asks where something would be lost. What was removed already is no mistake."""
    ref = console.experiment(args.exp)
    try:
        status = console.client.experiment(ref)
    except Purged:
        return _deleted(console, ref, True, "was deleted for good already")
    handle = status["handle"]
    if not args.yes and (args.purge or status["state"] not in OVER):
        what = "its records, logs and files are removed for good" if args.purge else "it is stopped and hidden"
        confirm(
            f"Delete {handle} ({status['name']}, {status['state']})? {what[0].upper()}{what[1:]}.",
            "nothing was deleted",
        )
    console.client.delete(handle, purge=args.purge)
    if not args.purge:
        return _deleted(console, handle, False, "deleted; its records stay until --purge")
    left = _left(console, handle)
    console.whereabouts.forget(lambda item: item.id == status["id"])
    return _deleted(console, handle, not left, left or "deleted for good")


def _left(console: Console, handle: str) -> str:
    """Why something of it is still there, after a while; nothing where everything is gone."""
    patience = time.monotonic() + _REMOVED_WITHIN
    while True:
        try:
            status = console.client.experiment(handle)
        except Purged:
            return ""
        if time.monotonic() >= patience:
            break
        time.sleep(_LOOK)
    if status["state"] not in OVER:
        return "stopped and hidden; its records, logs and files go as soon as its trials have ended"
    again = "the server goes on trying, `orchestune doctor` looks for what keeps it"
    return f"hidden; its records, logs and files are still to be removed: {again}"


def _deleted(console: Console, handle: str, purged: bool, text: str) -> int:
    return console.result({"schema": 1, "handle": handle, "purged": purged}, f"{handle}: {text}")


def _done(console: Console, status: documents.Status, text: str) -> int:
    return console.result(status, f"{status['handle']}: {text}")
