"""`status`: what experiments are at."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestune.cli.inspect.sparkline import best_so_far
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.live import LiveBlock
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command, positive
from orchestune.cli.terminal.progress import at_a_time, best_lines, counts_text
from orchestune.cli.terminal.render import Paint, between, brief, cut, duration, measured, one_line, size, table, width
from orchestune.cli.terminal.silence import waits
from orchestune.client.address import ServerPlace, place
from orchestune.client.api import Client
from orchestune.client.clusters import Clusters
from orchestune.client.connection.stream import SILENCE
from orchestune.client.local.home import state_folder
from orchestune.client.states import OVER, finished, over, owner_of
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.domain.words import plural
from orchestune.errors import TemporaryError, Unreachable, UsageError

if TYPE_CHECKING:
    from orchestune import documents

_FIGURES = ("OBSERVATIONS", "RUNNING", "FAILED")
_BETWEEN = 2
"""columns between those of a table"""
_LISTED = 50
"""experiments in a table, unless `--limit` says how many"""


def add(commands: Commands) -> None:
    """Add `status`."""
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
    parser.add_argument("--all", "-a", action="store_true", help="list those of every connected cluster")
    parser.add_argument("--watch", "-w", action="store_true", help="keep it up to date until Ctrl-C")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help=f"list the newest N (default: {_LISTED}, with --json all of them)"
    )


def show(console: Console, args: argparse.Namespace) -> int:
    """List the experiments, or show one."""
    if args.watch:
        return _watch(console, args)
    if args.all:
        return _everywhere(console, args)
    if args.exp is None:
        found = _newest(console.client, console, args)
        if console.json:
            console.document(found)
        else:
            console.say(*list_lines(found, console, limit=_limit(args)))
            _name_others(console)
        return 0
    status = console.client.experiment(console.experiment(args.exp))
    if console.json:
        console.document(status)
    else:
        console.say(*one_lines(status, console))
    return 0


def _limit(args: argparse.Namespace) -> int:
    return args.limit or _LISTED


def _newest(client: Client, console: Console, args: argparse.Namespace) -> list[documents.Status]:
    """What a document holds; or what a table shows, and one more where there are more."""
    if console.json:
        return client.experiments(limit=args.limit, details=True)
    return client.experiments(limit=_limit(args) + 1)


def _everywhere(console: Console, args: argparse.Namespace) -> int:
    """Those of this machine and of every connected cluster, the newest first."""
    from orchestune.client.all_servers import ask  # threads, which a look at one server does not need

    if args.exp is not None or args.cluster is not None:
        raise UsageError("--all lists every cluster, so no EXP and no --cluster goes with it", "leave one of them out")
    names = ["local", *(cluster.name for cluster in Clusters(state_folder(console.environ)).connected())]
    places = [place(console.environ, name, note=console.waits) for name in names]
    answers = ask(places, lambda client: _newest(client, console, args))
    found = [(_name(answer.place, status), status) for answer in answers for status in answer.value or ()]
    found = sorted(found, key=lambda pair: pair[1]["created_at"], reverse=True)
    if console.json:
        console.document([{**status, "place": name} for name, status in found[: args.limit]])
    else:
        statuses, names = [status for _, status in found], [name for name, _ in found]
        console.say(*list_lines(statuses, console, names, limit=_limit(args)))
    for answer in answers:
        if answer.error is not None:
            console.note(f"{answer.place.name} does not answer: {one_line(answer.error.message)}")
    return Unreachable.exit_code if all(answer.error for answer in answers) else 0


def _name(where: ServerPlace, status: documents.Status) -> str:
    """What the cluster of an experiment is called here."""
    return status["cluster"] if where.embedded else where.name


def _name_others(console: Console) -> None:
    """One line about what else is connected, so that nobody misses an experiment there."""
    where = console.place.cluster
    if where is None:
        return
    connected = Clusters(state_folder(console.environ)).connected()
    others = [*([] if where.embedded else ["local"]), *(item.name for item in connected if item.name != where.name)]
    if others:
        these = "this machine" if where.embedded else where.name
        console.note(f"these are of {these}; also connected: {', '.join(others)} (`orchestune status --all`)")


def _watch(console: Console, args: argparse.Namespace) -> int:
    if console.json:
        raise UsageError("--watch and --json do not go together", "`orchestune wait EXP --json` waits for the end")
    if args.exp is not None:
        status = console.client.experiment(console.experiment(args.exp))
        if over(status):
            console.say(*one_lines(status, console))
            return 0
        return _repeat(console, _One(console, status["handle"]).look)
    return _repeat(
        console, lambda: (list_lines(_newest(console.client, console, args), console, limit=_limit(args)), False)
    )


class _One:
    """One experiment that is looked at again and again."""

    def __init__(self, console: Console, ref: str) -> None:
        self._console, self._ref = console, ref
        self._best: tuple[int, documents.BestSoFar] | None = None
        """what was best up to now, and after how many trials"""

    def look(self) -> tuple[list[str], bool]:
        """Its lines as they are now, and whether it is over."""
        console = self._console
        status = console.client.experiment(self._ref)
        return one_lines(status, console, self._sparkline(status)), status["state"] in OVER

    def _sparkline(self, status: documents.Status) -> str:
        done, console = finished(status), self._console
        if status["best"] and (self._best is None or self._best[0] != done):
            self._best = done, console.client.columns(self._ref, limit=10)["best"]
        if self._best is None:
            return ""
        return best_so_far(self._best[1], done, status["metrics"][0], console.columns or 80, console.paint)


def _repeat(console: Console, look: Callable[[], tuple[list[str], bool]]) -> int:
    block, ended, lines = LiveBlock(console.out, console.paint), False, list[str]()
    if console.live:
        console.on_silence = lambda text: block.draw([*lines, console.paint("33", text)])
    console.client.transport.timeout = SILENCE
    try:
        while not ended:
            away = list[str]()
            try:
                lines, ended = look()
            except TemporaryError as exc:
                away.append(console.paint("33", waits(exc)))
            if console.live:
                block.draw([*lines, *away])
            elif not ended:
                console.say(*lines, *away, "")
            if not ended:
                time.sleep(0.5 if console.live else 5.0)
    except KeyboardInterrupt:  # also while the server does not answer; a look changes nothing
        return 0
    finally:
        block.close(erase=ended)
    console.say(*lines)
    return 0


def list_lines(found: list[documents.Status], console: Console, places: Sequence[str] = (), *, limit: int) -> list[str]:
    """The first `limit` experiments as a table, with the cluster of each where they are of several; below it that there
    are more, and what keeps them waiting.
    """
    places = (places or [status["cluster"] for status in found])[:limit]
    more, found = len(found) > limit, found[:limit]
    several = len(set(places)) > 1
    paint = console.paint
    if not found:
        return ["no experiments yet; `orchestune run` starts the one of experiment.yml"]
    rows = []
    for status, where in zip(found, places, strict=False):
        rows.append([
            status["handle"],
            *([where] if several else []),
            paint.state(status["state"]),
            f"{finished(status)} / {status['budget']}",
            str(status["counts"]["running"]),
            str(status["counts"]["failed"]),
            _best(status, paint),
            f"{duration(between(status['created_at']))} ago",
            _named(status),
        ])  # fmt: skip
    names = ["EXPERIMENT", "CLUSTER"] if several else ["EXPERIMENT"]
    header, *rows = _narrowed([[*names, "STATE", *_FIGURES, "BEST", "STARTED", "NAME"], *rows], console.columns)
    right = [place for place, name in enumerate(header) if name in _FIGURES]
    lines = table(header, rows, paint, right=right, columns=console.columns)
    lines += [paint.dim(f"and older ones (--limit N lists more than {limit})")] if more else []
    told = dict.fromkeys(
        f"{where}: {note}" if several else note
        for status, where in zip(found, places, strict=False)
        for note in status.get("notes") or ()
    )
    return [*lines, *([""] if told else []), *(paint("33", one_line(note)) for note in told)]


def _named(status: documents.Status) -> str:
    """Its name; that of a rerun, which is the same, with the trial that it came from."""
    name = one_line(status["name"])
    return f"{name}, from {status['origin']}" if status["origin"] else name


def _narrowed(rows: list[list[str]], columns: int | None) -> list[list[str]]:
    """The table without what is 0 in all its lines, where the best value would be cut off else."""
    end = rows[0].index("BEST") + 1
    wide = sum(max(map(width, column)) + _BETWEEN for column in list(zip(*rows, strict=True))[:end]) - _BETWEEN
    if columns is None or wide <= columns:
        return rows
    kept = [place for place, column in enumerate(zip(*rows[1:], strict=True)) if {*column} != {"0"}]
    return [[row[place] for place in kept] for row in rows]


def _best(status: documents.Status, paint: Paint) -> str:
    if not status["best"]:
        return "-"
    if len(objectives([Metric.from_json(metric) for metric in status["metrics"]])) > 1:
        return f"{len(status['best'])} on the front"
    metric = status["metrics"][0]["name"]
    return f"{metric} {measured(status['best'][0]['metrics'].get(metric), paint)}"


def _memory(found: documents.RoomForTrials | None) -> str:
    """What was asked, what was measured, and what follows; nothing where neither is known."""
    if found is None or (found["asked"]["memory"] is None and found["measured"] is None):
        return ""
    asked, seen, room = found["asked"]["memory"], found["measured"], found["set_aside"]["memory"]
    parts = [f"asked {size(asked)}" if asked else "nothing asked"]
    if seen:
        parts.append(f"measured at most {size(seen['peak_memory_bytes'])} in {plural(seen['attempts'], 'attempt')}")
    if room is not None and room != asked:
        parts.append(f"{size(room)} set aside for each")
    return ", ".join(parts)


def one_lines(status: documents.Status, console: Console, sparkline: str = "") -> list[str]:
    """One experiment: figures, why nothing moves, the best (and how it came about), its workers.

    What is said in sentences comes whole, however narrow the terminal is; a block that is painted cuts it itself.
    """
    paint, columns = console.paint, console.columns
    spent = duration(between(status["started_at"] or status["created_at"], status["finished_at"]))
    left = status.get("eta_seconds")
    eta = f", about {duration(left)} left" if left is not None and status["state"] == "running" else ""
    lines = [
        f"{paint.bold(status['handle'])}  {_named(status)}  {paint.dim(one_line(owner_of(status)))}",
        f"state         {paint.state(status['state'])}, {spent}{eta}",
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
    best = best_lines(status["best"], status, paint)  # may have any number of parameters
    lines += [cut(line, columns, paint) for line in best] if columns else best
    workers = status.get("workers") or []
    if workers:
        rows = [
            [
                paint.worker(worker["name"]), worker["node"], paint.state(worker["state"]),
                f"{worker['running']} / {worker['slots']}", str(worker["succeeded"]), str(worker["failed"]),
                brief(worker["reason"] or ""),
            ]
            for worker in workers
        ]  # fmt: skip
        header = ("WORKER", "NODE", "STATE", "RUNNING", "SUCCEEDED", "FAILED", "")
        lines += ["", *table(header, rows, paint, right=(3, 4, 5))]
        more = status.get("workers_left_out")
        lines += [paint.dim(f"and {more} more that ended")] if more else []
    return lines
