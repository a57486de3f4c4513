"""How a finished search improved, and which parameters mattered, for the end of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import one_line
from orchestune.cli.terminal.sparkline import best_so_far
from orchestune.client.states import finished
from orchestune.domain.search.findings import MIN_TRIALS
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents

_MAX_PARAMETERS = 4
"""parameters that are named: the most important ones"""
_MIN_SHARE = 0.05
"""smallest share of a parameter that is named"""


def course_lines(console: Console, status: documents.Status) -> list[str]:
    """Return a sparkline of the best value, and the importance of the parameters.

    Best-effort: empty for several metrics, few trials, or if the server does not answer.
    """
    if len(status["best"]) != 1 or finished(status) < MIN_TRIALS:
        return []
    try:
        best = console.client.columns(status["id"], limit=10)["best"]
        weights = console.client.importance(status["id"])["parameters"]
    except OrchestuneError:
        return []
    columns = console.columns or 80
    line = best_so_far(best, finished(status), status["metrics"][0], columns, console.paint)
    shares = [
        f"{one_line(each['name'])} {100 * each['importance']:.0f} %"
        for each in weights
        if each["importance"] >= _MIN_SHARE
    ]
    lines = [line] if line else []
    return [*lines, f"importance    {', '.join(shares[:_MAX_PARAMETERS])}"] if shares else lines
