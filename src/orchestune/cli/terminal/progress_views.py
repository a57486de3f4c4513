"""The ways in which progress is shown: painted in place, as plain lines, or not at all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.live import LiveBlock
from orchestune.cli.terminal.progress import live_lines, summary_line, trial_line
from orchestune.cli.terminal.render import one_line
from orchestune.client.states import finished
from orchestune.domain.specification.metrics import Metric, feasible, objectives
from orchestune.errors import NotFound, TemporaryError

if TYPE_CHECKING:
    from orchestune import documents

_EACH = 10
"""so many trials at once still get a line each"""
_EVERY = 1.0
"""seconds between two batches of plain lines"""
_COUNTED = ("completed", "failed", "pruned")
"""states of trials that count for the budget"""


class ProgressView(Protocol):
    """How progress is shown."""

    def finished(self, number: int, state: str) -> None:
        """A trial has come to its end; told of each one from the beginning on, in that order."""

    def show(self, status: documents.Status, away: str, *, last: bool = False) -> None:
        """The experiment as it stands now; called again and again. `away`: what is said of no answer."""

    def behind(self, status: documents.Status) -> bool:
        """Whether it has a use for ends of trials that it was not told of."""

    def close(self) -> None:
        """Leave the terminal as it should be. Idempotent."""


class PaintedView:
    """One block that is painted in place."""

    def __init__(self, console: Console) -> None:
        self._block = LiveBlock(console.out, console.paint)
        self._paint = console.paint

    def finished(self, number: int, state: str) -> None:
        pass

    def show(self, status: documents.Status, away: str, *, last: bool = False) -> None:
        if last:
            self._block.close(erase=True)
            return
        columns, rows = self._block.size()
        self._block.draw(live_lines(status, columns, rows, self._paint, away))

    def behind(self, status: documents.Status) -> bool:
        return False

    def close(self) -> None:
        self._block.close()


class QuietView:
    """Nothing, but that the server does not answer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._away = False

    def finished(self, number: int, state: str) -> None:
        pass

    def show(self, status: documents.Status, away: str, *, last: bool = False) -> None:
        if away and not self._away:
            self._console.note(away)
        self._away = bool(away)

    def behind(self, status: documents.Status) -> bool:
        return False

    def close(self) -> None:
        pass


class PlainView:
    """A line for each finished trial; one for all of a second where there are many."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._client = console.client.clone(patience=2.0)
        self._fresh: list[tuple[int, int]] = []
        """trials that were not shown yet, and how many of the budget were finished with each"""
        self._best: float | None = None
        self._said = ""
        self._counted = 0
        self._told = 0
        """how many of the budget the last line told of: none of them gets another line"""
        self._next = 0.0

    def finished(self, number: int, state: str) -> None:
        self._counted += state in _COUNTED
        if self._counted > self._told or state not in _COUNTED:
            self._fresh.append((number, self._counted))

    def show(self, status: documents.Status, away: str, *, last: bool = False) -> None:
        self._remark(status, away, last)
        if away or (time.monotonic() < self._next and not last):
            return
        self._next = time.monotonic() + _EVERY
        fresh, self._fresh = self._fresh, []
        if 0 < len(fresh) <= _EACH:
            self._each(fresh, status)
        elif fresh or (last and finished(status) > self._told):
            self._all(self._newest(status))

    def behind(self, status: documents.Status) -> bool:
        return self._counted < finished(status)

    def close(self) -> None:
        self._client.close()

    def _newest(self, status: documents.Status) -> documents.Status:
        """The status, or a newer one where more trials have ended than it knows of."""
        if finished(status) >= self._counted:
            return status
        try:
            return self._client.experiment(status["id"])
        except (NotFound, TemporaryError):
            return status

    def _all(self, status: documents.Status) -> None:
        self._console.say(summary_line(status, self._console.paint))
        self._told = finished(status)
        for entry in status["best"]:
            self._improves(entry["metrics"], status)

    def _each(self, fresh: Sequence[tuple[int, int]], status: documents.Status) -> None:
        for number, done in fresh:
            trial = self._trial(status, number)
            if trial is not None:
                best = trial["state"] == "completed" and self._improves(trial["metrics"], status)
                self._told = done
                self._console.say(trial_line(trial, status, self._console.paint, done=done, best=best))

    def _improves(self, metrics: Mapping[str, documents.Measured], status: documents.Status) -> bool:
        """Whether this is the best so far, where one metric has a goal. The status may be older than the event."""
        declared = [Metric.from_json(metric) for metric in status["metrics"]]
        metric, values = declared[0], {name: found["value"] for name, found in metrics.items()}
        if len(objectives(declared)) > 1 or metric.name not in values or not feasible(declared, values):
            return False
        if not metric.better(values[metric.name], self._best):
            return False
        self._best = values[metric.name]
        return True

    def _trial(self, status: documents.Status, number: int) -> documents.Trial | None:
        try:
            return self._client.trial(status["id"], number)
        except (NotFound, TemporaryError):
            return None

    def _remark(self, status: documents.Status, away: str, last: bool) -> None:
        reason = f"{status['state']}: {status['reason']['message']}" if status["reason"] else ""
        text = away or reason
        if text and text != self._said and not last:
            self._console.say(one_line(text))
        self._said = text
