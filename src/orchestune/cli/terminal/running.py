"""Progress of running trials: the latest value of the first metric, its step, and a sparkline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestune.cli.terminal.render import Paint, assignments, between, duration, number, one_line, table, width
from orchestune.cli.terminal.sparkline import curve
from orchestune.domain.specification.metrics import Metric

if TYPE_CHECKING:
    from orchestune import documents

_CURVE_COLUMNS = 12
_MAX_ROWS = 10
"""running trials that `status` lists"""


def running_lines(status: documents.Status, rows: int, paint: Paint) -> list[str]:
    """Return at most `rows` lines, one for each running trial and its progress."""
    running = status.get("running", [])
    if rows <= 0 or not running:
        return []
    listed = running if len(running) <= rows else running[: max(rows - 1, 0)]
    numbers = max(len(str(item["trial"])) for item in running)
    workers = max(len(item["worker"] or "") for item in running)
    progress = [progress_text(item, status, paint) for item in listed]
    columns = max(map(width, progress), default=0)
    lines = []
    for item, text in zip(listed, progress, strict=True):
        name = item["worker"] or ""
        label = paint.worker(name) + " " * (workers - len(name))
        text = f"{text}{' ' * (columns - width(text))}  " if columns else ""
        configuration = paint.dim(one_line(assignments(item["parameters"])))
        lines.append(f"  {item['trial']:>{numbers}}  {label}  {_age(item):>8}  {text}{configuration}")
    hidden = max(status["counts"]["running"], len(running)) - len(listed)
    if hidden > 0:
        lines.append(paint.dim(f"  and {hidden} more running"))
    return lines


def running_table(status: documents.Status, paint: Paint, columns: int | None) -> list[str]:
    """Return a table of the running trials; empty without any."""
    running = status.get("running", [])
    if not running:
        return []
    name = status["metrics"][0]["name"]
    rows = []
    for item in running[:_MAX_ROWS]:
        latest = item.get("latest")
        rows.append([
            str(item["trial"]), paint.worker(item["worker"] or "-"), _age(item), number(latest and latest["value"]),
            number(latest and latest["step"]), curve(item.get("curve", []), _CURVE_COLUMNS, paint),
            paint.dim(one_line(assignments(item["parameters"]))),
        ])  # fmt: skip
    header = ("RUNNING", "WORKER", "TIME", name.upper(), "STEP", "", "")
    hidden = max(status["counts"]["running"], len(running)) - len(rows)
    more = [paint.dim(f"and {hidden} more running")] if hidden > 0 else []
    return [*table(header, rows, paint, right=(0, 2, 3, 4), columns=columns), *more]


def best_running(status: documents.Status) -> documents.RunningTrial | None:
    """Return the running trial with the best latest value of the first metric; None if none has reported one."""
    metric, best = Metric.from_json(status["metrics"][0]), None
    for item in status.get("running", []):
        latest = item.get("latest")
        if latest and (best is None or metric.better(latest["value"], best[1])):
            best = item, latest["value"]
    return best[0] if best else None


def latest_text(item: documents.RunningTrial, paint: Paint) -> str:
    """Return the step of the latest value and the curve: `step 12  ▁▃▅▇`; empty before the first value."""
    latest = item.get("latest")
    if not latest:
        return ""
    step = "" if latest["step"] is None else f"step {number(latest['step'])}"
    bars = paint("36", curve(item.get("curve", []), _CURVE_COLUMNS, paint))
    return "  ".join(part for part in (step, bars) if part)


def progress_text(item: documents.RunningTrial, status: documents.Status, paint: Paint) -> str:
    """Return name, value, step and curve: `loss 0.21  step 12  ▇▅▃▂`; empty before the first value."""
    latest = item.get("latest")
    if not latest:
        return ""
    name = one_line(status["metrics"][0]["name"])
    return "  ".join(part for part in (f"{name} {number(latest['value'])}", latest_text(item, paint)) if part)


def _age(item: documents.RunningTrial) -> str:
    return duration(between(item["started_at"])) if item["started_at"] else "starting"
