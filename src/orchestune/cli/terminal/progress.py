"""What is shown of an experiment while it runs and when it is over, as lines; a pure function of its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from orchestune.cli.terminal.render import (
    Paint,
    assignments,
    bar,
    between,
    cut,
    duration,
    harmless,
    measured,
    one_line,
    width,
)
from orchestune.client.attempts import seconds
from orchestune.client.states import OVER, deleted, extendable, finished, over
from orchestune.domain.words import plural

if TYPE_CHECKING:
    from orchestune import documents


def at_a_time(status: documents.Status) -> str:
    """`2 at a time`."""
    return f"{status['parallelism']}{' folds' if status['folds'] > 1 else ''} at a time"


def counts_text(status: documents.Status, paint: Paint, *, always: tuple[str, ...] = ("running", "failed")) -> str:
    """`2 running · 1 failed`; states nobody is in are left out, unless they are in `always`."""
    counts = cast("Mapping[str, int]", status["counts"])
    colours = {"failed": "31", "pruned": "35", "running": "36"}
    parts = []
    for state in ("running", "queued", "completed", "failed", "pruned", "cancelled"):
        count = counts.get(state, 0)
        if state == "completed" and state not in always:
            continue
        if count or state in always:
            text = f"{count} {state}"
            parts.append(paint(colours[state], text) if count and state in colours else text)
    return f" {paint.sign('·')} ".join(parts)


def live_lines(status: documents.Status, columns: int, rows: int, paint: Paint, away: str = "") -> list[str]:
    """The block that is painted again and again, in at most `rows` lines."""
    lines = [_title(status, columns, paint), *_bar_lines(status, columns, paint)]
    if away:
        lines.append(paint("33", away))
    elif status["reason"] is not None:
        lines.append(paint("33", one_line(status["reason"]["message"])))
    lines += best_lines(status["best"], status, paint, limit=max(1, min(3, rows - len(lines) - 2)))
    lines += _running_lines(status, rows - len(lines), paint)
    return [cut(harmless(line), columns, paint) for line in lines[:rows]]


def _title(status: documents.Status, columns: int, paint: Paint) -> str:
    left = f"{paint.bold(status['handle'])}  {one_line(status['name'])}"
    right = f"{paint.state(status['state'])}  {duration(between(status['started_at'] or status['created_at']))}"
    left = cut(left, columns - width(right) - 2, paint)
    return f"{left}{' ' * max(2, columns - width(left) - width(right))}{right}"


def _bar_lines(status: documents.Status, columns: int, paint: Paint) -> list[str]:
    done, budget = finished(status), status["budget"]
    figures = f"{done}/{budget}"
    always = ("running", "failed", "pruned", "queued") if columns >= 90 else ("running", "failed")
    text = counts_text(status, paint, always=always)
    left = status.get("eta_seconds")
    eta = f"about {duration(left)} left" if left is not None and done < budget else ""
    tail = "  ".join(part for part in (figures, text, eta) if part)
    room = columns - width(tail) - 2
    if room >= 12:
        return [f"{bar(done, budget, min(room, 40), paint)}  {tail}"]
    short = bar(done, budget, max(columns - width(figures) - 2, 4), paint)
    return [f"{short}  {figures}", "  ".join(part for part in (text, eta) if part)]


def nothing_best(status: documents.Status) -> str:
    """Why there is no best trial."""
    return _none_within(status) or (_none_completed(status) if over(status) else "no trial has completed yet")


def _none_completed(status: documents.Status) -> str:
    """How the trials of one that is over ended, none of which completed."""
    counts = status["counts"]
    ended = {"failed": counts["failed"], "were pruned": counts["pruned"], "were cancelled": counts["cancelled"]}
    said = [
        f"{count} {word}" if count > 1 else f"1 {word.replace('were', 'was')}" for word, count in ended.items() if count
    ]
    alone = f"all {said[0]}" if len(said) == 1 and not said[0].startswith("1 ") else ", ".join(said)
    return f"no trial completed: {alone}" if said else "no trial completed"


def _none_within(status: documents.Status) -> str:
    """That of the completed trials none keeps the limits of the metrics; nothing where there are none of either."""
    completed = status["counts"]["completed"]
    limits = [f"{metric['name']} {metric['constraint']}" for metric in status["metrics"] if metric.get("constraint")]
    return f"of {plural(completed, 'completed trial')} none has {' and '.join(limits)}" if completed and limits else ""


def best_lines(best: list[documents.Best], status: documents.Status, paint: Paint, limit: int = 3) -> list[str]:
    """The best trial, or the first of the Pareto front, each with its configuration."""
    if not best:
        return [paint.dim(nothing_best(status))] if not finished(status) or status["counts"]["completed"] else []
    lines = []
    for entry in best[:limit]:
        values = "  ".join(
            f"{metric['name']} {paint('1;32', measured(entry['metrics'].get(metric['name']), paint))}"
            for metric in status["metrics"]
        )
        configuration = paint.dim(one_line(assignments(entry["parameters"])))
        lines.append(f"best  {values}{expected(entry, paint)}  trial {entry['trial']}  {configuration}")
    if len(best) > limit:
        lines.append(paint.dim(f"      and {len(best) - limit} more on the Pareto front"))
    return lines


def expected(entry: documents.Best, paint: Paint) -> str:
    """What a model makes of a noisy value; nothing where the value is taken as it is."""
    found = entry.get("expected")
    return paint.dim(f" (expected {measured(found, paint)})") if found else ""


def luck(entry: documents.Best, paint: Paint) -> list[str]:
    """That another trial has a better value, where one has."""
    other = entry.get("measured_best")
    said = f"trial {other} has a better value, but a model of all trials trusts it less"
    return [paint.dim(said)] if other else []


def _running_lines(status: documents.Status, rows: int, paint: Paint) -> list[str]:
    running = status.get("running", [])
    if rows <= 0 or not running:
        return []
    shown = running if len(running) <= rows else running[: max(rows - 1, 0)]
    numbers = max(len(str(item["trial"])) for item in running)
    workers = max(len(item["worker"] or "") for item in running)
    lines = []
    for item in shown:
        name = item["worker"] or ""
        age = duration(between(item["started_at"])) if item["started_at"] else "starting"
        configuration = paint.dim(one_line(assignments(item["parameters"])))
        label = paint.worker(name) + " " * (workers - len(name))
        lines.append(f"  {item['trial']:>{numbers}}  {label}  {age:>8}  {configuration}")
    hidden = max(status["counts"]["running"], len(running)) - len(shown)
    if hidden > 0:
        lines.append(paint.dim(f"  and {hidden} more running"))
    return lines


def end_lines(status: documents.Status, paint: Paint, failure: str = "", *, next_steps: bool = True) -> list[str]:
    """What there is to say when following ends: what became of it, the best, and where to look next."""
    handle, done, state = status["handle"], finished(status), status["state"]
    # one that a guard paused may have stood still for days
    spent = between(status["started_at"] or status["created_at"], status["finished_at"]) if state in OVER else None
    took = f" in {duration(spent)}" if spent is not None else ""
    text = counts_text(status, paint, always=("completed",))
    lines = [f"{paint.bold(handle)} {paint.state(state)}: {done} of {status['budget']} trials{took} ({text})"]
    reason = status["reason"]
    if reason is not None and reason["code"] not in ("budget", "stopped"):
        lines.append(f"{paint('33', 'why')}   {one_line(reason['message'])}")
    lines += [f"{paint('33', 'note')}  {one_line(note)}" for note in status.get("notes") or ()]
    if failure:
        lines += failure.splitlines()
    lines += _best_table(status, paint)
    return lines + (_next_lines(status, paint) if next_steps and not deleted(status) else [])


def _best_table(status: documents.Status, paint: Paint) -> list[str]:
    best = status["best"]
    if not best:
        why = _none_within(status)
        return [f"{paint('33', 'note')}  {why}"] if why else []
    if len(best) != 1:
        front = "      the Pareto front: none of these is better than another in every metric"
        return [*best_lines(best, status, paint, limit=10), paint.dim(front)]
    entry = best[0]
    values = ", ".join(
        f"{metric['name']} {paint('1;32', measured(entry['metrics'].get(metric['name']), paint))}"
        for metric in status["metrics"]
    )
    names = max((width(name) for name in entry["parameters"]), default=0)
    lines = [f"best  {values}{expected(entry, paint)} at trial {entry['trial']}"]
    for name, value in entry["parameters"].items():
        lines.append(f"      {name}{' ' * (names - width(name))}  {one_line(exact(value))}")
    return lines + [f"      {line}" for line in luck(entry, paint)]


def exact(value: Any) -> str:
    """A value with the digits that tell it from its neighbours, for what somebody may copy."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_MISTAKES = ("metric_missing_at_first", "first_trials_failed", "identical_metrics")
"""what guards find wrong with the file, or with the code, which `try --into` replaces"""
_COMMAND = 48
"""columns of a command that those of the others go by: a longer one moves no meaning off a usual terminal"""


def _next_lines(status: documents.Status, paint: Paint) -> list[str]:
    handle, best = status["handle"], status["best"]
    steps = [(f"orchestune trials {handle}", "every trial")]
    if status["state"] == "paused":
        mistaken = status["reason"] is not None and status["reason"]["code"] in _MISTAKES
        how = "go on, after that or as it is" if mistaken else "go on when it is mended"
        steps.insert(0, (f"orchestune resume {handle}", how))
        steps.insert(1, (f"orchestune stop {handle}", "end it" + ("; `orchestune run` takes a mended file" * mistaken)))
        if mistaken:
            steps.insert(0, (f"orchestune try --into {handle}", "try mended code, and let it have that"))
    if best:
        which = "the best one" if len(best) == 1 else "one of the best"
        steps.append((f"orchestune logs {handle}/{best[0]['trial']}", f"what {which} printed"))
    if status["counts"]["failed"]:
        steps.append((f"orchestune trials {handle} --state failed", "what failed"))
    if status["state"] in ("completed", "stopped"):
        if status["state"] == "stopped" and finished(status) < status["budget"]:
            steps.append((f"orchestune resume {handle}", "go on with the rest of its budget"))
        elif extendable(status):
            steps.append((f"orchestune extend {handle} --budget {status['budget'] * 2}", "go on"))
        steps.append((f"orchestune export {handle} -o ~/{handle}.csv", "everything as a table"))  # in no run's code
    names = max((len(command) for command, _ in steps if len(command) <= _COMMAND), default=0)
    return [
        f"{'' if index else 'next':4}  {command:{names}}  {paint.dim(text)}"
        for index, (command, text) in enumerate(steps)
    ]


_REASON = 100
"""columns of a reason that stands in the middle of a line; `trials EXP/N` has it whole"""


def trial_line(trial: documents.Trial, status: documents.Status, paint: Paint, *, done: int, best: bool) -> str:
    """One finished trial, as a plain line; `done` trials of the budget are finished with it."""
    values = "  ".join(
        f"{metric['name']} {measured(trial['metrics'].get(metric['name']), paint)}"
        for metric in status["metrics"]
        if trial["state"] in ("completed", "pruned")
    )
    reason = one_line(trial["reason"]["message"]) if trial["reason"] and trial["state"] != "completed" else ""
    reason = cut(reason, _REASON, paint)
    what = values if trial["state"] == "completed" else f"{trial['state']}  {reason or values}"
    figures = f"{done:>{len(str(status['budget']))}}/{status['budget']}"
    parts = [f"{figures}  trial {trial['number']}", what, duration(seconds(trial))]
    parts.append(one_line(assignments(trial["parameters"])))
    return "  ".join(part for part in parts if part) + ("  (best value so far)" if best else "")


def summary_line(status: documents.Status, paint: Paint) -> str:
    """Where the experiment stands, as one plain line."""
    parts = [f"{finished(status)}/{status['budget']}", counts_text(status, paint)]
    if len(status["best"]) == 1:
        entry, metric = status["best"][0], status["metrics"][0]["name"]
        parts.append(f"best {metric} {measured(entry['metrics'].get(metric), paint)} at trial {entry['trial']}")
    elif status["best"]:
        parts.append(f"{len(status['best'])} trials on the Pareto front")
    return "  ".join(parts)
