"""Experiments controlled from Python."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.client.address import named_server, place
from orchestune.client.api import Client
from orchestune.client.local.experiment_index import ExperimentIndex
from orchestune.client.local.home import state_folder
from orchestune.client.states import over
from orchestune.errors import UsageError
from orchestune.sdk.asked_trials import (
    OpenTrial,
    PollSchedule,
    assign_to_task,
    claim,
    iteration,
    release_abandoned,
    warn_if_paused,
)
from orchestune.sdk.async_methods import in_thread
from orchestune.sdk.creating import BRIDGE, connected, create, create_open, inherited_again, is_offer_folder
from orchestune.sdk.display import LiveDisplay, as_html, live_display
from orchestune.sdk.plots import Plots
from orchestune.sdk.trial import Trial, frame, trial_of

if TYPE_CHECKING:
    import pandas as pd  # only for annotations

    from orchestune import documents

_POLL_SECONDS = 0.25
"""seconds between two requests while waiting for an experiment"""
_FIRST_POLL_SECONDS = 0.05
"""seconds without an offer until the first request while waiting for a trial"""
_OFFER_DELAY_SECONDS = 2.0
"""seconds within which a running trial is offered"""


class Experiment:
    """An experiment on a server. Thread-safe.

    It is owned by the server, not by this process: it keeps running when this process exits, and `load` returns it by
    its `handle` or `id`; `name` is for display.

    >>> import orchestune
    >>> from pathlib import Path
    >>> size = Path("train.sh").write_text('echo "loss=$ORCHESTUNE_PARAM_X"')
    >>> experiment = orchestune.Experiment.create(
    ...     run="sh train.sh", parameters={"x": "0.0..1.0"}, metrics={"loss": "minimize"}, budget=4, parallelism=2)
    >>> experiment.wait().state
    'completed'
    >>> experiment.best().metrics["loss"] == min(trial.metrics["loss"] for trial in experiment.results())
    True
    """

    def __init__(self, client: Client, status: documents.Status) -> None:
        self._client, self._lock = client, threading.Lock()
        self.id, self.handle, self.name = status["id"], status["handle"], status["name"]
        self._offer_folder: Path | None = None
        self._claimed = weakref.WeakSet[OpenTrial]()
        weakref.finalize(self, client.close)

    @classmethod
    def create(cls, *, folder: str | os.PathLike[str] = ".", cluster: str | None = None, **keys: Any) -> Experiment:
        """Start an experiment with the code in `folder`; the keys are those of an experiment file, with Python values.

        Without `run`, this process and others on this machine that load it run the trials, with `loop` and `ask`. Keys
        for commands (`env`, `keep`, `checkpoint` and others) are rejected then. `cluster` is `local`, `docker` or a
        connected cluster; None is the default cluster. Returns once the server has created it. Raises BadInput with
        all problems by key, and the errors of `orchestune run`.

        >>> other = orchestune.Experiment.create(
        ...     run="sh train.sh", parameters={"x": [1, 2]}, metrics={"loss": "maximize"}, budget=2)
        >>> other.wait().best().parameters
        {'x': 2}
        """
        if "run" not in keys:
            return cls(*create_open(keys, cluster))
        return cls(*create(keys, Path(os.path.realpath(folder)), cluster))

    @classmethod
    async def create_async(
        cls, *, folder: str | os.PathLike[str] = ".", cluster: str | None = None, **keys: Any
    ) -> Experiment:
        """`create` without blocking the event loop: listing and uploading the code may take seconds.

        >>> import asyncio
        >>> other = asyncio.run(orchestune.Experiment.create_async(
        ...     run="sh train.sh", parameters={"x": [1, 2]}, metrics={"loss": "minimize"}, budget=2))
        >>> other.wait().best().parameters
        {'x': 1}
        """
        return await asyncio.to_thread(lambda: cls.create(folder=folder, cluster=cluster, **keys))

    @classmethod
    def load(cls, handle: str, *, cluster: str | None = None) -> Experiment:
        """Load an experiment by handle, id, or a prefix. Raises NotFound, Ambiguous or Unreachable.

        >>> orchestune.Experiment.load(experiment.handle).best() == experiment.best()
        True
        """
        if not isinstance(handle, str) or not handle or "/" in handle:  # type: ignore[redundant-expr]  # of notebooks
            hint = "use a handle such as sgd-7f3a; a trial is Experiment.load('sgd-7f3a').trial(3)"
            raise UsageError(f"{handle!r} is not the handle of an experiment", hint)
        if cluster is None and not named_server(os.environ):
            cluster = ExperimentIndex(state_folder()).cluster_of(handle)
        with connected(place(os.environ, cluster)) as client:
            return cls(client, client.experiment(handle))

    @classmethod
    async def load_async(cls, handle: str, *, cluster: str | None = None) -> Experiment:
        """`load` without blocking the event loop.

        >>> import asyncio
        >>> same = asyncio.run(orchestune.Experiment.load_async(experiment.handle))
        >>> same.best() == experiment.best()
        True
        """
        return await asyncio.to_thread(lambda: cls.load(handle, cluster=cluster))

    def status(self) -> documents.Status:
        """Return the server's current document of the experiment, as in `orchestune status --json`.

        >>> experiment.status()["counts"]["completed"]
        4
        """
        with self._lock:
            return self._client.experiment(self.id)

    @property
    def state(self) -> str:
        """`pending`, `running`, `paused`, `stopping`, `completed`, `failed` or `stopped`; fetched on each access.

        >>> experiment.state
        'completed'
        """
        return self.status()["state"]

    def wait(self, timeout: float | None = None) -> Experiment:
        """Wait until the experiment is over or paused by a guard; returns itself. A notebook cell shows its progress.

        Raises TimeoutError after `timeout` seconds; the experiment keeps running.

        >>> experiment.wait(timeout=60).state
        'completed'
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        status = self.status()
        update = live_display(LiveDisplay(status))
        while not over(status):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.handle} is {status['state']} after {timeout:g} s")
            time.sleep(_POLL_SECONDS)
            status = self.status()
            update(LiveDisplay(status))
        return self

    async def wait_async(self, timeout: float | None = None) -> Experiment:
        """`wait` without blocking the event loop.

        >>> import asyncio
        >>> asyncio.run(experiment.wait_async(timeout=60)).state
        'completed'
        """
        status = await self.status_async()
        with _timeout_message(lambda: f"{self.handle} is {status['state']} after {timeout:g} s"):
            async with asyncio.timeout(timeout):
                update = live_display(LiveDisplay(status))
                while not over(status):
                    await asyncio.sleep(_POLL_SECONDS)
                    status = await self.status_async()
                    update(LiveDisplay(status))
        return self

    def results(self) -> list[Trial]:
        """Return every trial so far, by number; `error` of a failed trial ends with its log tail.

        >>> [trial.number for trial in experiment.results()]
        [1, 2, 3, 4]
        """
        with self._lock:
            return [trial_of(document) for document in self._client.trials(self.id, tails=True)]

    def trial(self, number: int) -> Trial:
        """Return one trial; `error` of a failed trial ends with its log tail. Raises NotFound.

        >>> list(experiment.trial(2).parameters)
        ['x']
        """
        with self._lock:
            return trial_of(self._client.trial(self.id, number))

    @property
    def plot(self) -> Plots:
        """Plotly figures, such as `experiment.plot.history()`: those of the web pages.

        >>> experiment = orchestune.tune(lambda x: x, {"x": [1, 2]}, {"y": "maximize"}, budget=2)
        >>> experiment.plot.history().layout.yaxis.title.text
        'y'
        """
        return Plots(self._client, self._lock, self.id)

    def trials(self) -> pd.DataFrame:
        """Return every trial so far as a pandas DataFrame: `state`, `params.NAME`, `metrics.NAME`, `seconds`, `error`.

        A metric with a reported standard deviation also has `metrics.NAME.stddev`; with folds, it is that of their
        values, and the column `folds` is their number.

        >>> list(experiment.trials().columns)
        ['state', 'source', 'params.x', 'metrics.loss', 'seconds', 'error']
        """
        return frame(self.results(), self.status()["folds"])

    def best(self) -> Trial | None:
        """Return the best completed trial, or None; with several metrics, it is the first of `front`.

        >>> experiment.best().metrics["loss"] < 1
        True
        """
        return next(iter(self._front(1)), None)

    def front(self) -> list[Trial]:
        """Return the trials that no other trial dominates, of equal ones the first; with one metric, at most one.

        >>> experiment.front() == [experiment.best()]
        True
        """
        return self._front(None)

    def _front(self, most: int | None) -> list[Trial]:
        """Return the first `most` trials of the front, which may be long."""
        with self._lock:
            numbers = [item["trial"] for item in self._client.best(self.id)][:most]
            return [trial_of(document) for document in self._client.trials_of(self.id, numbers)]

    def ask(self, timeout: float | None = None) -> OpenTrial | None:
        """Return the next trial to run in this process, or None once the experiment is over.

        For experiments created without `run`. Returns None with a warning if a guard has paused it. Waits while
        `parallelism` trials are open; a trial left open by a failed or interrupted notebook cell is released with a
        warning. Report the outcome with `trial.tell({"loss": 0.1})`, or run the trial in `with trial:`. Raises
        TimeoutError, and UsageError if the trials run a command.

        >>> experiment = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> while trial := experiment.ask():
        ...     trial.tell({"y": 10 * trial.parameters.x})
        >>> experiment.best().metrics
        {'y': 20.0}
        """
        folder, schedule, began = self._offers(), PollSchedule(_FIRST_POLL_SECONDS, _POLL_SECONDS), time.monotonic()
        while True:
            trial = self._claim(folder)
            if trial is not None:
                return trial
            if schedule.due():
                status = self.status()
                if over(status):
                    shutil.rmtree(folder, ignore_errors=True)
                    warn_if_paused(status)
                    return None
                if _is_blocked(status, began):
                    release_abandoned(self._open_trials())
            if timeout is not None and time.monotonic() > began + timeout:
                raise TimeoutError(f"{self.handle} has offered no trial for {timeout:g} s")
            time.sleep(schedule.pause)

    async def ask_async(self, timeout: float | None = None) -> OpenTrial | None:
        """`ask` without blocking the event loop. A cancelled task does not hold a trial.

        >>> import asyncio
        >>> experiment = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> async def work():
        ...     while trial := await experiment.ask_async():
        ...         trial.tell({"y": trial.parameters.x})
        >>> asyncio.run(work())
        >>> experiment.best().metrics
        {'y': 2.0}
        """
        folder, schedule, began = (
            await asyncio.to_thread(self._offers),
            PollSchedule(_FIRST_POLL_SECONDS, _POLL_SECONDS),
            time.monotonic(),
        )
        with _timeout_message(lambda: f"{self.handle} has offered no trial for {timeout:g} s"):
            async with asyncio.timeout(timeout):
                while (trial := await asyncio.to_thread(self._claim, folder)) is None:
                    if schedule.due():
                        status = await self.status_async()
                        if over(status):
                            shutil.rmtree(folder, ignore_errors=True)
                            warn_if_paused(status)
                            return None
                        if _is_blocked(status, began):
                            release_abandoned(await asyncio.to_thread(self._open_trials))
                    await asyncio.sleep(schedule.pause)
        return assign_to_task(trial)

    def loop(self) -> Iterator[OpenTrial]:
        """Yield trials to run in this process, one after another, until the experiment is over.

        A trial without an outcome at the end of its iteration is finished with its reported metrics. Use `with trial:`
        so that an exception fails the trial and the loop continues. Leaving the loop releases its trial.

        >>> experiment = orchestune.Experiment.create(parameters={"x": "0.0..1.0"}, metrics={"y": "maximize"}, budget=3)
        >>> for trial in experiment.loop():
        ...     with trial:
        ...         trial.report(y=trial.parameters.x ** 2)
        >>> len(experiment.results())
        3
        """
        while (trial := self.ask()) is not None:
            with iteration(trial):
                yield trial

    async def loop_async(self) -> AsyncIterator[OpenTrial]:
        """`loop` without blocking the event loop: several looping tasks run that many trials at a time.

        >>> import asyncio
        >>> experiment = orchestune.Experiment.create(
        ...     parameters={"x": "0.0..1.0"}, metrics={"y": "maximize"}, budget=4, parallelism=2)
        >>> async def work():
        ...     async for trial in experiment.loop_async():
        ...         with trial:
        ...             await asyncio.sleep(0.1)
        ...             trial.report(y=trial.parameters.x)
        >>> async def several():
        ...     await asyncio.gather(work(), work())
        >>> asyncio.run(several())
        >>> len(experiment.results())
        4
        """
        while (trial := await self.ask_async()) is not None:
            with iteration(trial):
                yield trial

    def _offers(self) -> Path:
        """Return the folder with the offers of this experiment's trials."""
        if self._offer_folder is None:
            with self._lock:
                run = self._client.specification(self.id)["specification"]["run"]
            if not isinstance(run, list) or run[1:3] != ["-m", BRIDGE] or len(run) < 4:
                hint = "create it without `run` to run its trials in this process"
                raise UsageError(f"the trials of {self.handle} run a command", hint)
            # The author of the experiment, who may be another user, chose the path. At the end the folder is deleted.
            if not is_offer_folder(folder := Path(run[3])):
                text = f"cannot run the trials of {self.handle}: {folder} is not a folder for offers of this user"
                raise UsageError(text, "run them on the machine, and with the ORCHESTUNE_HOME, that created it")
            self._offer_folder = folder
        return self._offer_folder

    def _claim(self, folder: Path) -> OpenTrial | None:
        trial = claim(folder)
        if trial is not None:
            with self._lock:
                self._claimed.add(trial)
        return trial

    def _open_trials(self) -> list[OpenTrial]:
        """Return the claimed trials that are still referenced."""
        with self._lock:
            return list(self._claimed)

    def stop(self) -> Experiment:
        """Stop the experiment; finished trials are kept.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> other.stop().wait().state
        'stopped'
        """
        with self._lock:
            self._client.stop(self.id)
        return self

    def pause(self) -> Experiment:
        """Start no more trials; running trials continue.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> other.pause().status()["desired"]
        'paused'
        """
        with self._lock:
            self._client.pause(self.id)
        return self

    def resume(self) -> Experiment:
        """Resume the experiment.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2).pause()
        >>> other.resume().status()["desired"]
        'running'
        >>> other.stop().wait().state
        'stopped'
        """
        with self._lock:
            self._client.resume(self.id, inherited_again(self._client, self.id))
        return self

    def extend(self, *, budget: int | None = None, parallelism: int | None = None) -> Experiment:
        """Change the budget or parallelism, also of a finished experiment, which then continues with all its results.

        Raises Conflict if the budget is below the number of started trials.

        >>> other = orchestune.tune(lambda x: x, {"x": "0.0..1.0"}, {"y": "maximize"}, budget=1)
        >>> len(other.extend(budget=3, parallelism=2).wait().results())
        3
        """
        changes = {"budget": budget, "parallelism": parallelism}
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            raise UsageError(
                "extend() needs budget, parallelism or both", "call for example experiment.extend(budget=80)"
            )
        with self._lock:
            environment = inherited_again(self._client, self.id) if budget is not None else {}
            self._client.change(self.id, **changes, **({"environment": environment} if environment else {}))
        return self

    status_async = in_thread(status)
    results_async = in_thread(results)
    trial_async = in_thread(trial)
    trials_async = in_thread(trials)
    best_async = in_thread(best)
    front_async = in_thread(front)
    stop_async = in_thread(stop)
    pause_async = in_thread(pause)
    resume_async = in_thread(resume)
    extend_async = in_thread(extend)

    def __repr__(self) -> str:
        return f"<Experiment {self.handle}>"

    def _repr_html_(self) -> str:
        return as_html(self.status())


def _is_blocked(status: documents.Status, began: float) -> bool:
    """Return True if a caller waiting since `began` is blocked by open trials.

    Otherwise a trial is about to be offered.
    """
    return status["counts"]["running"] >= status["parallelism"] and time.monotonic() > began + _OFFER_DELAY_SECONDS


@contextmanager
def _timeout_message(message: Callable[[], str]) -> Iterator[None]:
    """Set the message of a TimeoutError in the block: asyncio's has none."""
    try:
        yield
    except TimeoutError as exc:
        raise (exc if exc.args else TimeoutError(message())) from exc.__cause__
