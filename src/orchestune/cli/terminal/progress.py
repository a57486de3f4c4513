"""Progress and outcome of an experiment as lines of text; pure functions of its status."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from orchestune.cli.terminal.render import (
    Paint,
    assignments,
    bar,
    cut,
    duration,
    elapsed,
    measured,
    number,
    one_line,
    sanitized,
    width,
)
from orchestune.cli.terminal.running import best_running, running_lines
from orchestune.client.attempts import seconds
from orchestune.client.states import FINAL_STATES, deleted, extendable, finished, over
from orchestune.domain.words import plural
from orchestune.worker.files.unkept import WrittenFile, note

if TYPE_CHECKING:
    from orchestune import documents


def at_a_time(status: documents.Status) -> str:
    """Return the parallelism: `2 at a time`."""
    return f"{status['parallelism']}{' folds' if status['folds'] > 1 else ''} at a time"


def counts_text(status: documents.Status, paint: Paint, *, always: tuple[str, ...] = ("running", "failed")) -> str:
    """Return counts by state: `2 running · 1 failed`. Zero counts are left out except for states in `always`."""
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


def live_lines(status: documents.Status, columns: int, rows: int, paint: Paint, unreachable: str = "") -> list[str]:
    """Return the block that is repainted while following, at most `rows` lines."""
    lines = [_title(status, columns, paint), *_bar_lines(status, columns, paint)]
    if unreachable:
        lines.append(paint("33", unreachable))
    elif status["reason"] is not None:
        lines.append(paint("33", one_line(status["reason"]["message"])))
    lines += best_lines(status["best"], status, paint, limit=max(1, min(3, rows - len(lines) - 2)))
    lines += running_lines(status, rows - len(lines), paint)
    return [cut(sanitized(line), columns, paint) for line in lines[:rows]]


def _title(status: documents.Status, columns: int, paint: Paint) -> str:
    heading = f"{paint.bold(status['handle'])}  {one_line(status['name'])}"
    state_text = f"{paint.state(status['state'])}  {duration(elapsed(status))}"
    heading = cut(heading, columns - width(state_text) - 2, paint)
    return f"{heading}{' ' * max(2, columns - width(heading) - width(state_text))}{state_text}"


def _bar_lines(status: documents.Status, columns: int, paint: Paint) -> list[str]:
    done, budget = finished(status), status["budget"]
    figures = f"{done}/{budget}"
    always = ("running", "failed", "pruned", "queued") if columns >= 90 else ("running", "failed")
    text = counts_text(status, paint, always=always)
    eta_seconds = status.get("eta_seconds")
    eta = f"about {duration(eta_seconds)} left" if eta_seconds is not None and done < budget else ""
    tail = "  ".join(part for part in (figures, text, eta) if part)
    bar_columns = columns - width(tail) - 2
    if bar_columns >= 12:
        return [f"{bar(done, budget, min(bar_columns, 40), paint)}  {tail}"]
    short_bar = bar(done, budget, max(columns - width(figures) - 2, 4), paint)
    return [f"{short_bar}  {figures}", "  ".join(part for part in (text, eta) if part)]


def no_best_reason(status: documents.Status) -> str:
    """Return why there is no best trial; while trials run, with the best value that they have reported."""
    return _infeasible_reason(status) or (_outcome_counts(status) if over(status) else _progress_so_far(status))


def _progress_so_far(status: documents.Status) -> str:
    best = best_running(status)
    latest = best.get("latest") if best else None
    if best and latest:
        step = "" if latest["step"] is None else f" at step {number(latest['step'])}"
        value = f"{one_line(status['metrics'][0]['name'])} {number(latest['value'])}"
        return f"no completed trial; best of the running ones: {value}{step}, trial {best['trial']}"
    pruned = status["counts"]["pruned"]
    return f"no completed trial; {plural(pruned, 'trial')} pruned" if pruned else "no trial has completed yet"


def _outcome_counts(status: documents.Status) -> str:
    """Count how the trials of an ended experiment without a completed one ended."""
    trial_counts = status["counts"]
    ended = {
        "failed": trial_counts["failed"],
        "were pruned": trial_counts["pruned"],
        "were cancelled": trial_counts["cancelled"],
    }
    counts_by_outcome = [
        f"{count} {word}" if count > 1 else f"1 {word.replace('were', 'was')}" for word, count in ended.items() if count
    ]
    summary = (
        f"all {counts_by_outcome[0]}"
        if len(counts_by_outcome) == 1 and not counts_by_outcome[0].startswith("1 ")
        else ", ".join(counts_by_outcome)
    )
    return f"no trial completed: {summary}" if counts_by_outcome else "no trial completed"


def _infeasible_reason(status: documents.Status) -> str:
    """Return a line that says that no completed trial satisfies the constraints.

    Empty if there are no completed trials or no constraints.
    """
    completed = status["counts"]["completed"]
    limits = [f"{metric['name']} {metric['constraint']}" for metric in status["metrics"] if metric.get("constraint")]
    return (
        f"none of {plural(completed, 'completed trial')} satisfies {' and '.join(limits)}"
        if completed and limits
        else ""
    )


def best_lines(best: list[documents.Best], status: documents.Status, paint: Paint, limit: int = 3) -> list[str]:
    """Return the best trial, or the first ones of the Pareto front, each with its configuration."""
    if not best:
        return (
            [paint.dim(no_best_reason(status))]
            if not finished(status) or status["counts"]["completed"] or best_running(status)
            else []
        )
    lines = []
    for entry in best[:limit]:
        configuration = paint.dim(one_line(assignments(entry["parameters"])))
        first, *more = best_values(entry, [metric["name"] for metric in status["metrics"]], paint)
        lines += [f"best  {first}", *(f"      {line}" for line in more)]
        lines[-1] += f"  {configuration}"
    if len(best) > limit:
        lines.append(paint.dim(f"      and {len(best) - limit} more on the Pareto front"))
    return lines


def best_values(entry: documents.Best, names: Sequence[str], paint: Paint) -> list[str]:
    """Return the best measured value and its trial, and of a noisy search what a model expects of it.

    If the model expects more of another trial, which is the entry's, a second line has its expected value and interval.
    """
    own = ", ".join(f"{name} {paint('1;32', measured(entry['metrics'].get(name), paint))}" for name in names)
    expectation, other = entry.get("expected"), entry.get("measured_best")
    if not expectation:
        return [f"{own} at trial {entry['trial']}"]
    if not other or not entry.get("measured_value"):
        return [f"{own} at trial {entry['trial']}, expected {_interval(expectation, paint)}"]
    first = f"{names[0]} {paint('1;32', measured(entry.get('measured_value'), paint))} at trial {other}"
    if entry.get("measured_expected"):
        first += f", expected {measured(entry.get('measured_expected'), paint)}"
    better = f"trial {entry['trial']} has the best expected value, {_interval(expectation, paint)}"
    return [first, f"{better}; it measured {own}"]


_Z = 1.96  # standard deviations of an interval with a probability of 95 %


def _interval(expectation: documents.Measured, paint: Paint) -> str:
    """Format an expected value with its interval: `0.9201 (95 %: 0.917 to 0.9232)`."""
    value, stddev = expectation["value"], expectation["stddev"]
    if stddev is None:
        return number(value)
    return f"{paint('1;32', number(value))} (95 %: {number(value - _Z * stddev)} to {number(value + _Z * stddev)})"


def end_lines(
    status: documents.Status,
    paint: Paint,
    failure: str = "",
    course: Sequence[str] = (),
    *,
    written: Sequence[WrittenFile] = (),
    next_steps: bool = True,
) -> list[str]:
    """Return the lines that end following.

    They are the outcome, the best trial, the course of the search, what the trial has `written`, and the next steps.
    """
    handle, done, state = status["handle"], finished(status), status["state"]
    # a paused experiment may have been idle for days
    duration_text = f" in {duration(elapsed(status))}" if state in FINAL_STATES else ""
    text = counts_text(status, paint, always=("completed",))
    lines = [f"{paint.bold(handle)} {paint.state(state)}: {done} of {status['budget']} trials{duration_text} ({text})"]
    reason = status["reason"]
    if reason is not None and reason["code"] not in ("budget", "stopped"):
        lines.append(f"{paint('33', 'why')}   {one_line(reason['message'])}")
    lines += [f"{paint('33', 'note')}  {one_line(note)}" for note in status.get("notes") or ()]
    if failure:
        lines += failure.splitlines()
    lines += _best_table(status, paint)
    lines += [f"      {line}" for line in course]
    if written:
        lines.append(f"{paint('33', 'note')}  trial {status['best'][0]['trial']} {one_line(note(written))}")
    return lines + (_next_lines(status, paint, written) if next_steps and not deleted(status) else [])


def _best_table(status: documents.Status, paint: Paint) -> list[str]:
    best = status["best"]
    if not best:
        reason = _infeasible_reason(status)
        return [f"{paint('33', 'note')}  {reason}"] if reason else []
    if len(best) != 1:
        front = "      the Pareto front: none of these is better than another in every metric"
        return [*best_lines(best, status, paint, limit=10), paint.dim(front)]
    entry = best[0]
    first, *more = best_values(entry, [metric["name"] for metric in status["metrics"]], paint)
    names = max((width(name) for name in entry["parameters"]), default=0)
    lines = [f"best  {first}", *(f"      {line}" for line in more)]
    for name, value in entry["parameters"].items():
        lines.append(f"      {name}{' ' * (names - width(name))}  {one_line(exact(value))}")
    return lines


def exact(value: Any) -> str:
    """Format a value with enough digits to be copied."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_MISTAKE_REASONS = ("metric_missing_at_first", "first_trials_failed", "identical_metrics")
"""guards that find an error in the file or in the code, which `try --into` can fix"""
_MAX_ALIGNED_COMMAND_COLUMNS = 48
"""longer commands do not count for the alignment, which would push the descriptions off a usual terminal"""


def _next_lines(status: documents.Status, paint: Paint, written: Sequence[WrittenFile]) -> list[str]:
    handle, best = status["handle"], status["best"]
    steps = [(f"orchestune trials {handle}", "list the trials")]
    if status["state"] == "paused":
        is_mistake = status["reason"] is not None and status["reason"]["code"] in _MISTAKE_REASONS
        purpose = "resume, with fixed code or unchanged" if is_mistake else "resume when it is fixed"
        steps.insert(0, (f"orchestune resume {handle}", purpose))
        steps.insert(
            1,
            (f"orchestune stop {handle}", "stop it" + ("; `orchestune run` starts it with a fixed file" * is_mistake)),
        )
        if is_mistake:
            steps.insert(0, (f"orchestune try --into {handle}", "try fixed code, and continue with it"))
    if best:
        subject = "the best one" if len(best) == 1 else "one of the best"
        steps.append((f"orchestune logs {handle}/{best[0]['trial']}", f"show the output of {subject}"))
    if written:
        path = shlex.quote(written[0].path)
        steps.append((f"orchestune get {handle}/{best[0]['trial']} {path}", "fetch a file that it wrote"))
    if status["counts"]["failed"]:
        steps.append((f"orchestune trials {handle} --state failed", "list the failures"))
    if status["state"] in ("completed", "stopped"):
        if status["state"] == "stopped" and finished(status) < status["budget"]:
            steps.append((f"orchestune resume {handle}", "run the rest of its budget"))
        elif extendable(status):
            steps.append((f"orchestune extend {handle} --budget {status['budget'] * 2}", "run more trials"))
        steps.append(
            (f"orchestune export {handle} -o ~/{handle}.csv", "export as a table")
        )  # outside the folder of the code
    names = max((len(command) for command, _ in steps if len(command) <= _MAX_ALIGNED_COMMAND_COLUMNS), default=0)
    return [
        f"{'' if index else 'next':4}  {command:{names}}  {paint.dim(text)}"
        for index, (command, text) in enumerate(steps)
    ]


_MAX_REASON_COLUMNS = 100
"""columns of a reason in the middle of a line; `trials EXP/N` prints all of it"""


def trial_line(trial: documents.Trial, status: documents.Status, paint: Paint, *, done: int, best: bool) -> str:
    """Format a finished trial as one line; `done`: finished trials of the budget including it."""
    values = "  ".join(
        f"{metric['name']} {measured(trial['metrics'].get(metric['name']), paint)}"
        for metric in status["metrics"]
        if trial["state"] in ("completed", "pruned")
    )
    reason = one_line(trial["reason"]["message"]) if trial["reason"] and trial["state"] != "completed" else ""
    reason = cut(reason, _MAX_REASON_COLUMNS, paint)
    what = values if trial["state"] == "completed" else f"{trial['state']}  {reason or values}"
    figures = f"{done:>{len(str(status['budget']))}}/{status['budget']}"
    parts = [f"{figures}  trial {trial['number']}", what, duration(seconds(trial))]
    parts.append(one_line(assignments(trial["parameters"])))
    return "  ".join(part for part in parts if part) + ("  (best value so far)" if best else "")


def summary_line(status: documents.Status, paint: Paint) -> str:
    """Format the progress of an experiment as one line."""
    parts = [f"{finished(status)}/{status['budget']}", counts_text(status, paint)]
    if len(status["best"]) == 1:
        entry, metric = status["best"][0], status["metrics"][0]["name"]
        parts.append(f"best {metric} {measured(entry['metrics'].get(metric), paint)} at trial {entry['trial']}")
    elif status["best"]:
        parts.append(f"{len(status['best'])} trials on the Pareto front")
    return "  ".join(parts)
