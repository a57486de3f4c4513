"""Exports the trials of an experiment to a tracker, of a running one as they proceed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from orchestune.client.api import Client
from orchestune.client.trackers.tracker import TrackedTrial, Tracker, TrackerRun, Value
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents

_KINDS = ("attempt_started", "metric_reported", "trial_requeued", "trial_finished")
"""events after which a run must be updated"""
_PAUSE_SECONDS = 1.0
"""between two updates of a run: trials may report many times per second, and each update takes two requests"""


class Export:
    """The export of one experiment."""

    def __init__(self, client: Client, status: documents.Status, tracker: Tracker) -> None:
        self._client, self._status, self._tracker = client, status, tracker
        self._runs: dict[int, _OpenRun] = {}
        self._done: set[int] = set()
        self.exported = 0
        """number of trials whose runs this export has completed"""

    def finished_trials(self) -> None:
        """Export all finished trials."""
        for trial in self._client.trials(self._status["id"]):
            self._update(trial)

    def follow(self) -> None:
        """Export all trials until the experiment has ended.

        If this is interrupted, the runs of running trials are closed without a final state.
        """
        try:
            for numbers in self._changed_trials():
                for trial in self._client.trials_of(self._status["id"], sorted(numbers - self._done)):
                    self._update(trial, is_live=True)
        finally:
            for run in self._runs.values():
                run.abandon()

    def _changed_trials(self) -> Iterator[set[int]]:
        """Yield the numbers of trials with new events; a thread listens, so that slow trackers delay no event."""
        changes: queue.SimpleQueue[int | OrchestuneError | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def listen() -> None:
            end: OrchestuneError | None = None
            try:
                with closing(self._client.clone()) as client:
                    for event in client.events(self._status["id"], kinds=_KINDS):
                        if stopped.is_set():
                            return
                        changes.put(event.json()["data"]["trial"])
            except OrchestuneError as exc:
                end = exc
            changes.put(end)

        threading.Thread(target=listen, daemon=True, name="events").start()
        try:
            is_over = False
            while not is_over:
                pending: list[int | OrchestuneError | None] = [changes.get()]
                stopped.wait(_PAUSE_SECONDS)
                while not changes.empty():
                    pending.append(changes.get())
                yield {each for each in pending if isinstance(each, int)}
                is_over = pending[-1] is None
                if isinstance(pending[-1], OrchestuneError):
                    raise pending[-1]
        finally:
            stopped.set()

    def _update(self, document: documents.Trial, is_live: bool = False) -> None:
        """Log what is new of a trial; complete its run if the trial has finished."""
        trial = self._tracked(document)
        if not document["attempts"] or not (is_live or trial.is_finished):
            return  # a trial that never ran has no run
        if trial.number not in self._runs:
            run = self._tracker.open(trial)
            if run is None:
                self._done.add(trial.number)
                return
            self._runs[trial.number] = _OpenRun(run, self._status["folds"] > 1)
        run_of_trial = self._runs[trial.number]
        run_of_trial.log(self._client.points(self._status["id"], trial.number)["items"])
        if trial.is_finished:
            self._runs.pop(trial.number).finish(trial)
            self._done.add(trial.number)
            self.exported += 1

    def _tracked(self, document: documents.Trial) -> TrackedTrial:
        reason = document["reason"]
        return TrackedTrial(
            experiment=self._status["id"],
            handle=self._status["handle"],
            number=int(document["number"]),
            state=document["state"],
            reason=reason["message"] if reason else "",
            parameters=document["parameters"],
            metrics={name: measured["value"] for name, measured in document["metrics"].items()},
        )


class _OpenRun:
    """A run, and how much of each curve it has."""

    def __init__(self, run: TrackerRun, has_folds: bool) -> None:
        self._run, self._has_folds = run, has_folds
        self._last: dict[tuple[int, int, str], tuple[int, float]] = {}
        """curve → number of values logged, and the last step"""

    def log(self, curves: list[documents.TrialCurve]) -> None:
        values: list[Value] = []
        for curve in curves:
            key = (curve["attempt_number"], curve["fold"], curve["metric"])
            count, last_step = self._last.get(key, (0, 0.0))
            points = curve["points"]
            if curve["reported"] > len(points):  # the server sends every k-th, another k each time
                points = [point for point in points if not count or point[0] > last_step]
            else:
                points = points[count:]
            if points:
                self._last[key] = (count + len(points), points[-1][0])
            name = f"fold {curve['fold']}/{curve['metric']}" if self._has_folds else curve["metric"]
            values += [Value(name, step, value) for step, value in points]
        if values:
            self._run.log(values)

    def finish(self, trial: TrackedTrial) -> None:
        self._run.finish(trial)

    def abandon(self) -> None:
        self._run.abandon()
