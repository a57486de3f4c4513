"""The best value so far as a line of small bars: higher is better, whichever way the metric goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestune.cli.terminal.render import Paint, number

if TYPE_CHECKING:
    from orchestune import documents

_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "._-~=+*#"
_WIDEST = 60


def best_so_far(best: documents.BestSoFar, finished: int, metric: documents.Metric, columns: int, paint: Paint) -> str:
    """`best so far   ▁▁▃▅▅▇█  accuracy 0.71 → 0.93`; one bar for a few of the finished trials, nothing before any."""
    steps = [(at, value) for at, value in zip(best["finished"], best["value"], strict=True) if value is not None]
    if not steps or finished < 1:
        return ""
    first, last = steps[0][1], steps[-1][1]
    tail = f"{metric['name']} {number(first)} {paint.sign('→')} {number(last)}" if len(steps) > 1 else number(last)
    room = max(min(columns - len(tail) - 16, finished, _WIDEST), 1)
    bars = _BARS if paint.unicode else _PLAIN
    drawn, step = "", -1
    for bar in range(1, room + 1):
        while step + 1 < len(steps) and steps[step + 1][0] <= bar * finished / room:
            step += 1
        drawn += " " if step < 0 else bars[_height(steps[step][1], first, last, len(bars))]
    return f"best so far   {paint('32', drawn)}  {tail}"


def _height(value: float, first: float, last: float, heights: int) -> int:
    return heights - 1 if first == last else round((value - first) / (last - first) * (heights - 1))
