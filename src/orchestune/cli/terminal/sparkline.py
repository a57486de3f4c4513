"""Sparklines: of the best value so far, where higher bars are better for either goal, and of one trial's metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.render import Paint, number

if TYPE_CHECKING:
    from orchestune import documents

_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "._-~=+*#"
_MAX_COLUMNS = 60


def best_so_far(best: documents.BestSoFar, finished: int, metric: documents.Metric, columns: int, paint: Paint) -> str:
    """Format `best so far   ▁▁▃▅▅▇█  accuracy 0.71 → 0.93`, one bar per few finished trials.

    Empty before the first finished trial.
    """
    steps = [(at, value) for at, value in zip(best["finished"], best["value"], strict=True) if value is not None]
    if not steps or finished < 1:
        return ""
    first, last = steps[0][1], steps[-1][1]
    tail = f"{metric['name']} {number(first)} {paint.sign('→')} {number(last)}" if len(steps) > 1 else number(last)
    bar_count = max(min(columns - len(tail) - 16, finished, _MAX_COLUMNS), 1)
    bars = _BARS if paint.unicode else _PLAIN
    sparkline, step = "", -1
    for bar in range(1, bar_count + 1):
        while step + 1 < len(steps) and steps[step + 1][0] <= bar * finished / bar_count:
            step += 1
        sparkline += " " if step < 0 else bars[_height(steps[step][1], first, last, len(bars))]
    return f"best so far   {paint('32', sparkline)}  {tail}"


def curves(best: Sequence[Sequence[float | None]], columns: int, paint: Paint) -> list[str]:
    """Format the best values after each finished trial of several experiments, with the same scales.

    The lowest bar is the worst value after a quarter of the trials: first values are often so bad that later
    differences would be invisible.
    """
    longest = max(map(len, best), default=0)
    width, quarter = min(columns, longest), longest // 4
    early = [value for each in best for value in each[quarter : quarter + 1] if value is not None]
    last = [value for each in best for value in each[-1:] if value is not None]
    if not early:
        return ["" for _ in best]
    is_falling = sum(last) < sum(early)
    low, high = (max(early), min(last)) if is_falling else (min(early), max(last))
    bars = _BARS if paint.unicode else _PLAIN
    lines = []
    for each in best:
        count = -(-len(each) * width // longest)
        ends = [each[min((bar + 1) * longest // width, len(each)) - 1] for bar in range(count)]
        heights = [None if value is None else _height(value, low, high, len(bars)) for value in ends]
        lines.append("".join(" " if height is None else bars[max(height, 0)] for height in heights))
    return lines


def _height(value: float, first: float, last: float, heights: int) -> int:
    return heights - 1 if first == last else round((value - first) / (last - first) * (heights - 1))


def curve(values: Sequence[float], columns: int, paint: Paint) -> str:
    """Format the values of a metric as at most `columns` bars, evenly spaced; the highest value has the highest bar.

    Empty for fewer than two values.
    """
    count = min(len(values), columns)
    values = [values[round(bar * (len(values) - 1) / max(count - 1, 1))] for bar in range(count)]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    bars = _BARS if paint.unicode else _PLAIN
    return "".join(bars[0 if low == high else _height(value, low, high, len(bars))] for value in values)
