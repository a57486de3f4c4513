"""Views of the progress: repainted in place, plain lines, or silent."""

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

_MAX_LINES_PER_BATCH = 10
"""more trials at once are summarized in one line"""
_BATCH_SECONDS = 1.0
"""seconds between two batches of plain lines"""
_BUDGET_STATES = ("completed", "failed", "pruned")
"""states of trials that use up budget"""


class ProgressView(Protocol):
    """How progress is shown."""

    def finished(self, number: int, state: str) -> None:
        """Report the end of a trial; called for each one from the start of the experiment, in order."""

    def show(self, status: documents.Status, unreachable: str, *, last: bool = False) -> None:
        """Show the current status; called repeatedly. `unreachable`: message if the server does not answer."""

    def behind(self, status: documents.Status) -> bool:
        """Return True if the view needs trial events that it has not received yet."""

    def close(self) -> None:
        """Restore the terminal. Idempotent."""


class PaintedView:
    """One block that is repainted in place."""

    def __init__(self, console: Console) -> None:
        self._block = LiveBlock(console.out, console.paint)
        self._paint = console.paint

    def finished(self, number: int, state: str) -> None:
        pass

    def show(self, status: documents.Status, unreachable: str, *, last: bool = False) -> None:
        if last:
            self._block.close(erase=True)
            return
        columns, rows = self._block.size()
        self._block.draw(live_lines(status, columns, rows, self._paint, unreachable))

    def behind(self, status: documents.Status) -> bool:
        return False

    def close(self) -> None:
        self._block.close()


class QuietView:
    """Prints nothing, except that the server does not answer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._away = False

    def finished(self, number: int, state: str) -> None:
        pass

    def show(self, status: documents.Status, unreachable: str, *, last: bool = False) -> None:
        if unreachable and not self._away:
            self._console.note(unreachable)
        self._away = bool(unreachable)

    def behind(self, status: documents.Status) -> bool:
        return False

    def close(self) -> None:
        pass


class PlainView:
    """Prints a line per finished trial, or one per second if there are many."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._client = console.client.clone(retry_seconds=2.0)
        self._unreported: list[tuple[int, int]] = []
        """trials that were not printed yet, each with the number of finished trials including it"""
        self._best: float | None = None
        self._last_remark = ""
        self._counted = 0
        self._reported = 0
        """number of finished trials covered by the last line"""
        self._next = 0.0

    def finished(self, number: int, state: str) -> None:
        self._counted += state in _BUDGET_STATES
        if self._counted > self._reported or state not in _BUDGET_STATES:
            self._unreported.append((number, self._counted))

    def show(self, status: documents.Status, unreachable: str, *, last: bool = False) -> None:
        self._print_remark(status, unreachable, last)
        if unreachable or (not last and (not self._unreported or time.monotonic() < self._next)):
            return  # the first result is printed at once: only what follows a line within a second is collected
        self._next = time.monotonic() + _BATCH_SECONDS
        pending, self._unreported = self._unreported, []
        if 0 < len(pending) <= _MAX_LINES_PER_BATCH:
            self._print_trials(pending, status)
        elif pending or (last and finished(status) > self._reported):
            self._print_summary(self._refreshed(status))

    def behind(self, status: documents.Status) -> bool:
        return self._counted < finished(status)

    def close(self) -> None:
        self._client.close()

    def _refreshed(self, status: documents.Status) -> documents.Status:
        """Return the status, or a newer one if more trials have ended than it counts."""
        if finished(status) >= self._counted:
            return status
        try:
            return self._client.experiment(status["id"])
        except (NotFound, TemporaryError):
            return status

    def _print_summary(self, status: documents.Status) -> None:
        self._console.say(summary_line(status, self._console.paint))
        self._reported = finished(status)
        for entry in status["best"]:
            self._update_best(entry["metrics"], status)

    def _print_trials(self, pending: Sequence[tuple[int, int]], status: documents.Status) -> None:
        for number, done in pending:
            trial = self._trial(status, number)
            if trial is not None:
                best = trial["state"] == "completed" and self._update_best(trial["metrics"], status)
                self._reported = done
                self._console.say(trial_line(trial, status, self._console.paint, done=done, best=best))

    def _update_best(self, metrics: Mapping[str, documents.Measured], status: documents.Status) -> bool:
        """Return True if these values are the best so far (single objective). The status may lag behind the event."""
        declared = [Metric.from_json(metric) for metric in status["metrics"]]
        metric, values = declared[0], {name: measurement["value"] for name, measurement in metrics.items()}
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

    def _print_remark(self, status: documents.Status, unreachable: str, last: bool) -> None:
        reason = f"{status['state']}: {status['reason']['message']}" if status["reason"] else ""
        text = unreachable or reason
        if text and text != self._last_remark and not last:
            self._console.say(one_line(text))
        self._last_remark = text
