"""`status`: what experiments are at."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from orchestune.cli.console import Console
from orchestune.cli.control import positive
from orchestune.cli.interrupts import Interrupts
from orchestune.cli.live import Block
from orchestune.cli.parser import Commands, add_command
from orchestune.cli.progress import best_lines, counts_text, finished
from orchestune.cli.render import Paint, between, cut, duration, measured, one_line, table
from orchestune.client.documents import Status
from orchestune.client.states import OVER, over
from orchestune.errors import TemporaryError, UsageError


def add(commands: Commands) -> None:
    """Add `status`."""
    parser = add_command(
        commands,
        "status",
        show,
        help="every experiment, or one with its workers and why nothing moves",
        example="orchestune status\norchestune status sgd-7f3a --watch",
    )
    parser.add_argument(
        "exp", metavar="EXP", nargs="?", help="handle or prefix of an experiment (default: list them all)"
    )
    parser.add_argument("--watch", "-w", action="store_true", help="keep it up to date until Ctrl-C")
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="list the newest N (default: 50)")


def show(console: Console, args: argparse.Namespace) -> int:
    """List the experiments, or show one."""
    if args.watch:
        return _watch(console, args)
    if args.exp is None:
        found = console.client.experiments(limit=args.limit)
        if console.json:
            console.document(found)
        else:
            console.say(*list_lines(found, console))
        return 0
    status = console.client.experiment(console.experiment(args.exp))
    if console.json:
        console.document(status)
    else:
        console.say(*one_lines(status, console))
    return 0


def _watch(console: Console, args: argparse.Namespace) -> int:
    if console.json:
        raise UsageError("--watch and --json do not go together", "`orchestune wait EXP --json` waits for the end")
    if args.exp is not None:
        status = console.client.experiment(console.experiment(args.exp))
        if over(status):
            console.say(*one_lines(status, console))
            return 0
        return _repeat(console, lambda: _one(console, status["id"]))
    return _repeat(console, lambda: (list_lines(console.client.experiments(limit=args.limit), console), False))


def _one(console: Console, ref: str) -> tuple[list[str], bool]:
    status = console.client.experiment(ref)
    return one_lines(status, console), status["state"] in OVER


def _repeat(console: Console, look: Callable[[], tuple[list[str], bool]]) -> int:
    block, ended, lines = Block(console.out, console.paint), False, list[str]()
    with Interrupts() as pressed:
        while not ended and not pressed.count:
            try:
                lines, ended = look()
            except TemporaryError as exc:
                lines = [*lines, console.paint("33", f"the server does not answer, trying again ({exc.message})")]
            if console.live:
                block.draw(lines)
            elif not ended:
                console.say(*lines, "")
            if not ended:
                _pause(pressed, 0.5 if console.live else 5.0)
    block.close(erase=ended)
    if ended:
        console.say(*lines)
    return 0


def _pause(pressed: Interrupts, seconds: float) -> None:
    """Wait, or until somebody presses Ctrl-C."""
    until = time.monotonic() + seconds
    while not pressed.count and time.monotonic() < until:
        time.sleep(0.1)


def list_lines(found: list[Status], console: Console) -> list[str]:
    """Experiments as a table."""
    paint = console.paint
    if not found:
        return ["no experiments yet; `orchestune run` starts the one of experiment.yml"]
    rows = []
    for status in found:
        rows.append([
            status["handle"],
            paint.state(status["state"]),
            f"{finished(status)} / {status['budget']}",
            str(status["counts"]["running"]),
            str(status["counts"]["failed"]),
            _best(status, paint),
            f"{duration(between(status['created_at']))} ago",
            one_line(status["name"]),
        ])  # fmt: skip
    header = ("EXPERIMENT", "STATE", "OBSERVATIONS", "RUNNING", "FAILED", "BEST", "STARTED", "NAME")
    return table(header, rows, paint, right=(2, 3, 4), columns=console.columns)


def _best(status: Status, paint: Paint) -> str:
    if not status["best"]:
        return "-"
    if len(status["metrics"]) > 1:
        return f"{len(status['best'])} on the front"
    metric = status["metrics"][0]["name"]
    return f"{metric} {measured(status['best'][0]['metrics'].get(metric), paint)}"


def one_lines(status: Status, console: Console) -> list[str]:
    """One experiment: figures, why nothing moves, the best, its workers."""
    paint, columns = console.paint, console.columns
    spent = duration(between(status["started_at"] or status["created_at"], status["finished_at"]))
    left = status.get("eta_seconds")
    eta = f", about {duration(left)} left" if left is not None and status["state"] == "running" else ""
    lines = [
        f"{paint.bold(status['handle'])}  {one_line(status['name'])}  {paint.dim(status['owner'])}",
        f"state         {paint.state(status['state'])}, {spent}{eta}",
    ]
    if status["reason"] is not None:
        lines.append(f"{'why':13} {paint('33', one_line(status['reason']['message']))}")
    lines += [
        f"observations  {finished(status)} / {status['budget']}, {status['parallelism']} at a time",
        f"trials        {counts_text(status, paint, always=('running', 'completed', 'failed'))}",
    ]
    lines += best_lines(status["best"], status, paint)
    workers = status.get("workers") or []
    if workers:
        rows = [
            [
                paint.worker(worker["name"]), worker["node"], paint.state(worker["state"]),
                f"{worker['running']} / {worker['slots']}", str(worker["succeeded"]), str(worker["failed"]),
                one_line(worker["reason"] or ""),
            ]
            for worker in workers
        ]  # fmt: skip
        header = ("WORKER", "NODE", "STATE", "RUNNING", "SUCCEEDED", "FAILED", "")
        lines += ["", *table(header, rows, paint, right=(3, 4, 5))]
    return [cut(line, columns, paint) for line in lines] if columns else lines
