"""`status`: show the state of experiments."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.live import LiveBlock
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command, positive
from orchestune.cli.terminal.progress import at_a_time, best_lines, counts_text
from orchestune.cli.terminal.render import (
    Paint,
    between,
    cut,
    duration,
    elapsed,
    first_and_last_line,
    measured,
    one_line,
    size,
    table,
    width,
)
from orchestune.cli.terminal.running import running_table
from orchestune.cli.terminal.silence import retry_message
from orchestune.cli.terminal.sparkline import best_so_far
from orchestune.client.address import ServerPlace, place
from orchestune.client.api import Client
from orchestune.client.clusters import Clusters
from orchestune.client.connection.stream import SILENCE
from orchestune.client.local.home import state_folder
from orchestune.client.states import FINAL_STATES, finished, over, owner_of
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.domain.words import plural
from orchestune.errors import TemporaryError, Unreachable, UsageError

if TYPE_CHECKING:
    from orchestune import documents

_COUNT_COLUMNS = ("OBSERVATIONS", "RUNNING", "FAILED")
_COLUMN_GAP = 2
"""columns between two columns of a table"""
_DEFAULT_LIMIT = 50
"""experiments in a table unless `--limit` is used"""


def add(commands: Commands) -> None:
    """Register `status`."""
    parser = add_command(
        commands,
        "status",
        show,
        example="orchestune status\norchestune status sgd-7f3a --watch",
    )
    parser.add_argument(
        "exp", metavar="EXP", nargs="?", help="handle or prefix of an experiment (default: list them all)"
    )
    add_cluster(parser)
    parser.add_argument("--all", "-a", action="store_true", help="list experiments of every connected cluster")
    parser.add_argument("--watch", "-w", action="store_true", help="update the output until Ctrl-C")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help=f"list the newest N (default: {_DEFAULT_LIMIT}, with --json all)"
    )


def show(console: Console, args: argparse.Namespace) -> int:
    """List the experiments, or show one."""
    if args.watch:
        return _watch(console, args)
    if args.all:
        return _all_clusters(console, args)
    if args.exp is None:
        statuses = _newest(console.client, console, args)
        if console.json:
            console.document(statuses)
        else:
            console.say(*list_lines(statuses, console, limit=_limit(args)))
            _note_other_clusters(console)
        return 0
    status = console.client.experiment(console.experiment(args.exp))
    if console.json:
        console.document(status)
    else:
        console.say(*detail_lines(status, console))
    return 0


def _limit(args: argparse.Namespace) -> int:
    return args.limit or _DEFAULT_LIMIT


def _newest(client: Client, console: Console, args: argparse.Namespace) -> list[documents.Status]:
    """Return the experiments to list; for a table one more than its limit, which indicates that there are more."""
    if console.json:
        return client.experiments(limit=args.limit, details=True)
    return client.experiments(limit=_limit(args) + 1)


def _all_clusters(console: Console, args: argparse.Namespace) -> int:
    """List the experiments of this machine and of every connected cluster, the newest first."""
    from orchestune.client.all_servers import ask  # only needed for several servers

    if args.exp is not None or args.cluster is not None:
        raise UsageError("--all cannot be combined with EXP or --cluster", "remove one of them")
    names = ["local", *(cluster.name for cluster in Clusters(state_folder(console.environ)).connected())]
    places = [place(console.environ, name, note=console.note_wait) for name in names]
    answers = ask(places, lambda client: _newest(client, console, args))
    experiments = [(_name(answer.place, status), status) for answer in answers for status in answer.value or ()]
    experiments = sorted(experiments, key=lambda pair: pair[1]["created_at"], reverse=True)
    if console.json:
        console.document([{**status, "place": name} for name, status in experiments[: args.limit]])
    else:
        statuses, names = [status for _, status in experiments], [name for name, _ in experiments]
        console.say(*list_lines(statuses, console, names, limit=_limit(args)))
    for answer in answers:
        if answer.error is not None:
            console.note(f"{answer.place.name} does not answer: {one_line(answer.error.message)}")
    return Unreachable.exit_code if all(answer.error for answer in answers) else 0


def _name(server: ServerPlace, status: documents.Status) -> str:
    """Return the local name of the cluster of an experiment."""
    return status["cluster"] if server.embedded else server.name


def _note_other_clusters(console: Console) -> None:
    """Note which other clusters are connected, since the list does not include their experiments."""
    cluster = console.place.cluster
    if cluster is None:
        return
    connected = Clusters(state_folder(console.environ)).connected()
    others = [*([] if cluster.embedded else ["local"]), *(item.name for item in connected if item.name != cluster.name)]
    if others:
        listed = "this machine" if cluster.embedded else cluster.name
        console.note(f"listed: {listed}; also connected: {', '.join(others)} (`orchestune status --all`)")


def _watch(console: Console, args: argparse.Namespace) -> int:
    if console.json:
        raise UsageError(
            "--watch cannot be combined with --json", "use `orchestune wait EXP --json` to wait for the end"
        )
    if args.exp is not None:
        status = console.client.experiment(console.experiment(args.exp))
        if over(status):
            console.say(*detail_lines(status, console))
            return 0
        return _repeat(console, _WatchedExperiment(console, status["handle"]).look)
    return _repeat(
        console, lambda: (list_lines(_newest(console.client, console, args), console, limit=_limit(args)), False)
    )


class _WatchedExperiment:
    """One experiment that is polled."""

    def __init__(self, console: Console, ref: str) -> None:
        self._console, self._ref = console, ref
        self._best: tuple[int, documents.BestSoFar] | None = None
        """number of finished trials, and the best values up to then"""

    def look(self) -> tuple[list[str], bool]:
        """Return its current lines, and True if it has ended."""
        console = self._console
        status = console.client.experiment(self._ref)
        return detail_lines(status, console, self._sparkline(status)), status["state"] in FINAL_STATES

    def _sparkline(self, status: documents.Status) -> str:
        finished_count, console = finished(status), self._console
        if status["best"] and (self._best is None or self._best[0] != finished_count):
            self._best = finished_count, console.client.columns(self._ref, limit=10)["best"]
        if self._best is None:
            return ""
        return best_so_far(self._best[1], finished_count, status["metrics"][0], console.columns or 80, console.paint)


def _repeat(console: Console, look: Callable[[], tuple[list[str], bool]]) -> int:
    block, is_over, lines = LiveBlock(console.out, console.paint), False, list[str]()
    if console.live:
        console.on_silence = lambda text: block.draw([*lines, console.paint("33", text)])
    console.client.transport.timeout = SILENCE
    try:
        while not is_over:
            errors = list[str]()
            try:
                lines, is_over = look()
            except TemporaryError as exc:
                errors.append(console.paint("33", retry_message(exc)))
            if console.live:
                block.draw([*lines, *errors])
            elif not is_over:
                console.say(*lines, *errors, "")
            if not is_over:
                time.sleep(0.5 if console.live else 5.0)
    except KeyboardInterrupt:  # also while the server does not answer; polling has no side effects
        return 0
    finally:
        block.close(erase=is_over)
    console.say(*lines)
    return 0


def list_lines(
    statuses: list[documents.Status], console: Console, clusters: Sequence[str] = (), *, limit: int
) -> list[str]:
    """Format the first `limit` experiments as a table, with their clusters if they differ.

    A note about older experiments and the notes of the listed ones follow.
    """
    clusters = (clusters or [status["cluster"] for status in statuses])[:limit]
    has_more, statuses = len(statuses) > limit, statuses[:limit]
    has_several_clusters = len(set(clusters)) > 1
    paint = console.paint
    if not statuses:
        return ["no experiments yet; `orchestune run` starts the one in experiment.yml"]
    rows = []
    for status, cluster in zip(statuses, clusters, strict=False):
        rows.append([
            status["handle"],
            *([cluster] if has_several_clusters else []),
            paint.state(status["state"]),
            f"{finished(status)} / {status['budget']}",
            str(status["counts"]["running"]),
            str(status["counts"]["failed"]),
            _best(status, paint),
            f"{duration(between(status['created_at']))} ago",
            _display_name(status),
        ])  # fmt: skip
    names = ["EXPERIMENT", "CLUSTER"] if has_several_clusters else ["EXPERIMENT"]
    header, *rows = _without_zero_columns(
        [[*names, "STATE", *_COUNT_COLUMNS, "BEST", "STARTED", "NAME"], *rows], console.columns
    )
    right = [index for index, name in enumerate(header) if name in _COUNT_COLUMNS]
    lines = table(header, rows, paint, right=right, columns=console.columns)
    lines += [paint.dim(f"older ones not listed (--limit N lists more than {limit})")] if has_more else []
    notes = dict.fromkeys(
        f"{cluster}: {note}" if has_several_clusters else note
        for status, cluster in zip(statuses, clusters, strict=False)
        for note in status.get("notes") or ()
    )
    return [*lines, *([""] if notes else []), *(paint("33", one_line(note)) for note in notes)]


def _display_name(status: documents.Status) -> str:
    """Return the experiment's name; for a rerun with the trial that it repeats."""
    name = one_line(status["name"])
    return f"{name}, from {status['origin']}" if status["origin"] else name


def _without_zero_columns(rows: list[list[str]], columns: int | None) -> list[list[str]]:
    """Drop count columns that are 0 in all rows, if the best value would be cut off otherwise."""
    end = rows[0].index("BEST") + 1
    needed_columns = (
        sum(max(map(width, column)) + _COLUMN_GAP for column in list(zip(*rows, strict=True))[:end]) - _COLUMN_GAP
    )
    if columns is None or needed_columns <= columns:
        return rows
    visible = [index for index, column in enumerate(zip(*rows[1:], strict=True)) if {*column} != {"0"}]
    return [[row[index] for index in visible] for row in rows]


def _best(status: documents.Status, paint: Paint) -> str:
    if not status["best"]:
        return "-"
    if len(objectives([Metric.from_json(metric) for metric in status["metrics"]])) > 1:
        return f"{len(status['best'])} on the front"
    metric = status["metrics"][0]["name"]
    return f"{metric} {measured(status['best'][0]['metrics'].get(metric), paint)}"


def _memory(resources: documents.RoomForTrials | None) -> str:
    """Summarize requested, measured and allocated memory; empty if none is known."""
    if resources is None or (resources["asked"]["memory"] is None and resources["measured"] is None):
        return ""
    requested, measured, allocated = (
        resources["asked"]["memory"],
        resources["measured"],
        resources["set_aside"]["memory"],
    )
    parts = [f"{size(requested)} requested" if requested else "no request"]
    if measured:
        parts.append(f"peak {size(measured['peak_memory_bytes'])} in {plural(measured['attempts'], 'attempt')}")
    if allocated is not None and allocated != requested:
        parts.append(f"{size(allocated)} allocated per trial")
    return ", ".join(parts)


def detail_lines(status: documents.Status, console: Console, sparkline: str = "") -> list[str]:
    """Format one experiment: counts, why it is pending, the best trial and its history, its workers.

    Sentences are not cut to the terminal's width; a repainted block cuts them itself.
    """
    paint, columns = console.paint, console.columns
    eta_seconds = status.get("eta_seconds")
    eta = f", about {duration(eta_seconds)} left" if eta_seconds is not None and status["state"] == "running" else ""
    lines = [
        f"{paint.bold(status['handle'])}  {_display_name(status)}  {paint.dim(one_line(owner_of(status)))}",
        f"state         {paint.state(status['state'])}, {duration(elapsed(status))}{eta}",
    ]
    if status["reason"] is not None:
        lines.append(f"{'why':13} {paint('33', one_line(status['reason']['message']))}")
    lines += [
        f"observations  {finished(status)} / {status['budget']}, {at_a_time(status)}",
        f"trials        {counts_text(status, paint, always=('running', 'completed', 'failed'))}",
    ]
    if status.get("search"):
        lines.append(f"engine        {status['engine']}: {one_line(status['search'])}")
    lines += [f"note          {paint('33', one_line(note))}" for note in status.get("notes") or ()]
    memory = _memory(status.get("resources"))
    if memory:
        lines.append(f"memory        {memory}")
    warm = status.get("warm_start")
    if warm is not None:
        lines.append(f"history       {one_line(warm['source'])}")
    lines += [sparkline] if sparkline else []
    best = best_lines(status["best"], status, paint)  # any number of parameters
    lines += [cut(line, columns, paint) for line in best] if columns else best
    running = running_table(status, paint, columns)
    lines += ["", *running] if running else []
    workers = status.get("workers") or []
    if workers:
        kind = next(
            (kind for kind in ("pod", "container", "job") if any(kind in _objects(each) for each in workers)), ""
        )
        rows = [
            [
                paint.worker(worker["name"]), worker["node"], *([_objects(worker).get(kind, "")] if kind else []),
                paint.state(worker["state"]),
                f"{worker['running']} / {worker['slots']}", str(worker["succeeded"]), str(worker["failed"]),
                first_and_last_line(worker["reason"] or ""),
            ]
            for worker in workers
        ]  # fmt: skip
        header = ["WORKER", "NODE", *([kind.upper()] if kind else []), "STATE", "RUNNING", "SUCCEEDED", "FAILED", ""]
        counts = [header.index(name) for name in ("RUNNING", "SUCCEEDED", "FAILED")]
        lines += ["", *table(header, rows, paint, right=counts)]
        hidden_count = status.get("workers_left_out")
        lines += [paint.dim(f"and {hidden_count} more that have ended")] if hidden_count else []
    return lines


def _objects(worker: documents.Worker) -> dict[str, str]:
    """Return the names of the worker's objects in its cluster; empty from an older server."""
    return worker.get("objects", {})
