"""An experiment driven from Python."""

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
from orchestune.sdk.asked_trials import OpenTrial, PruningLooks, asked_by_task, nothing_more, offer_again, take, turn
from orchestune.sdk.async_methods import in_thread
from orchestune.sdk.creating import BRIDGE, connected, create, create_open
from orchestune.sdk.display import LiveDisplay, as_html, live_display
from orchestune.sdk.plots import Plots
from orchestune.sdk.trial import Trial, frame, trial_of

if TYPE_CHECKING:
    import pandas as pd  # for the annotation alone

    from orchestune import documents

_LOOK = 0.25
"""seconds between two looks at an experiment that somebody waits for"""
_OFFERED = 0.05
"""seconds between two looks for a trial"""
_COMES = 2.0
"""seconds within which a trial that runs is on offer"""


class Experiment:
    """An experiment on its server. Safe to use from several threads.

    It belongs to the server, not to this process: it goes on when this process ends, and `load` finds it again by its
    `handle` or its `id`; `name` is what people call it.

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
        self._offered: Path | None = None
        self._taken = weakref.WeakSet[OpenTrial]()
        weakref.finalize(self, client.close)

    @classmethod
    def create(cls, *, folder: str | os.PathLike[str] = ".", cluster: str | None = None, **keys: Any) -> Experiment:
        """Start an experiment of the code in `folder`; the keys are those of an experiment file, with Python values.

        Without `run` this process, and any other one of this machine that loads it, runs the trials: `loop` and `ask`.
        Keys of what a command gets and leaves (`env`, `keep`, `checkpoint` and the like) are refused then.
        `cluster` is where it runs: `local`, `docker` or a connected one; None is the default one. Returns once the
        server has it. BadInput tells every mistake by its key; what it raises else is what `orchestune run` says.

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
        """The same without blocking the event loop, which listing and sending the code may take seconds for.

        >>> import asyncio
        >>> other = asyncio.run(orchestune.Experiment.create_async(
        ...     run="sh train.sh", parameters={"x": [1, 2]}, metrics={"loss": "minimize"}, budget=2))
        >>> other.wait().best().parameters
        {'x': 1}
        """
        return await asyncio.to_thread(lambda: cls.create(folder=folder, cluster=cluster, **keys))

    @classmethod
    def load(cls, handle: str, *, cluster: str | None = None) -> Experiment:
        """The experiment with this handle, id or prefix of either. NotFound, Ambiguous, Unreachable.

        >>> orchestune.Experiment.load(experiment.handle).best() == experiment.best()
        True
        """
        if not isinstance(handle, str) or not handle or "/" in handle:  # type: ignore[redundant-expr]  # of notebooks
            hint = "a handle is such as sgd-7f3a; one trial of it is Experiment.load('sgd-7f3a').trial(3)"
            raise UsageError(f"{handle!r} is no handle of an experiment", hint)
        if cluster is None and not named_server(os.environ):
            cluster = ExperimentIndex(state_folder()).cluster_of(handle)
        with connected(place(os.environ, cluster)) as client:
            return cls(client, client.experiment(handle))

    @classmethod
    async def load_async(cls, handle: str, *, cluster: str | None = None) -> Experiment:
        """The same without blocking the event loop.

        >>> import asyncio
        >>> same = asyncio.run(orchestune.Experiment.load_async(experiment.handle))
        >>> same.best() == experiment.best()
        True
        """
        return await asyncio.to_thread(lambda: cls.load(handle, cluster=cluster))

    def status(self) -> documents.Status:
        """Everything that the server says of it now, as in `orchestune status --json`.

        >>> experiment.status()["counts"]["completed"]
        4
        """
        with self._lock:
            return self._client.experiment(self.id)

    @property
    def state(self) -> str:
        """`pending`, `running`, `paused`, `stopping`, `completed`, `failed` or `stopped`; asked each time.

        >>> experiment.state
        'completed'
        """
        return self.status()["state"]

    def wait(self, timeout: float | None = None) -> Experiment:
        """Until it is over, or paused by a guard; itself. In a notebook the cell shows its progress meanwhile.

        TimeoutError after `timeout` seconds; the experiment goes on.

        >>> experiment.wait(timeout=60).state
        'completed'
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        status = self.status()
        update = live_display(LiveDisplay(status))
        while not over(status):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.handle} is {status['state']} after {timeout:g} s")
            time.sleep(_LOOK)
            status = self.status()
            update(LiveDisplay(status))
        return self

    async def wait_async(self, timeout: float | None = None) -> Experiment:
        """The same without blocking the event loop.

        >>> import asyncio
        >>> asyncio.run(experiment.wait_async(timeout=60)).state
        'completed'
        """
        status = await self.status_async()
        with _told(lambda: f"{self.handle} is {status['state']} after {timeout:g} s"):
            async with asyncio.timeout(timeout):
                update = live_display(LiveDisplay(status))
                while not over(status):
                    await asyncio.sleep(_LOOK)
                    status = await self.status_async()
                    update(LiveDisplay(status))
        return self

    def results(self) -> list[Trial]:
        """Every trial so far, by number; `error` of a failed one ends with the last lines of its output.

        >>> [trial.number for trial in experiment.results()]
        [1, 2, 3, 4]
        """
        with self._lock:
            return [trial_of(document) for document in self._client.trials(self.id, tails=True)]

    def trial(self, number: int) -> Trial:
        """One trial; `error` of a failed one ends with the last lines of its output. NotFound.

        >>> list(experiment.trial(2).parameters)
        ['x']
        """
        with self._lock:
            return trial_of(self._client.trial(self.id, number))

    @property
    def plot(self) -> Plots:
        """Figures of Plotly, such as `experiment.plot.history()`; they are those of the pages.

        >>> experiment = orchestune.tune(lambda x: x, {"x": [1, 2]}, {"y": "maximize"}, budget=2)
        >>> experiment.plot.history().layout.yaxis.title.text
        'y'
        """
        return Plots(self._client, self._lock, self.id)

    def trials(self) -> pd.DataFrame:
        """Every trial so far as a pandas DataFrame: `state`, `params.NAME`, `metrics.NAME`, `seconds`, `error`.

        Where it was told how noisy a metric is, `metrics.NAME.stddev` is beside it: with folds how far apart these lie,
        as many as `folds` says.

        >>> list(experiment.trials().columns)
        ['state', 'source', 'params.x', 'metrics.loss', 'seconds', 'error']
        """
        return frame(self.results(), self.status()["folds"])

    def best(self) -> Trial | None:
        """The best completed trial, None before there is one; with several metrics the first of `front`.

        >>> experiment.best().metrics["loss"] < 1
        True
        """
        return next(iter(self._front(1)), None)

    def front(self) -> list[Trial]:
        """The trials that no other one dominates, of equal ones the first; with one metric at most one.

        >>> experiment.front() == [experiment.best()]
        True
        """
        return self._front(None)

    def _front(self, most: int | None) -> list[Trial]:
        """The first of them: a front may be long."""
        with self._lock:
            numbers = [item["trial"] for item in self._client.best(self.id)][:most]
            return [trial_of(document) for document in self._client.trials_of(self.id, numbers)]

    def ask(self, timeout: float | None = None) -> OpenTrial | None:
        """The next trial for this process to run, where the experiment was created without `run`; None once it is over.

        None with a warning where a guard paused it. Waits while as many trials are open as `parallelism` says; one that
        a cell of a notebook left open, since it failed or was interrupted, is given back, with a warning. Tell its
        outcome with `trial.tell({"loss": 0.1})`, or run it `with trial:`. TimeoutError; UsageError where a command runs
        the trials.

        >>> experiment = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> while trial := experiment.ask():
        ...     trial.tell({"y": 10 * trial.parameters.x})
        >>> experiment.best().metrics
        {'y': 20.0}
        """
        folder, looks, began = self._offers(), PruningLooks(_OFFERED, _LOOK), time.monotonic()
        while True:
            found = self._take(folder)
            if found is not None:
                return found
            if looks.due():
                status = self.status()
                if over(status):
                    shutil.rmtree(folder, ignore_errors=True)
                    nothing_more(status)
                    return None
                if _kept_waiting(status, began):
                    offer_again(self._held())
            if timeout is not None and time.monotonic() > began + timeout:
                raise TimeoutError(f"{self.handle} has offered no trial for {timeout:g} s")
            time.sleep(_OFFERED)

    async def ask_async(self, timeout: float | None = None) -> OpenTrial | None:
        """The same without blocking the event loop. A task that is cancelled meanwhile keeps no trial from others.

        >>> import asyncio
        >>> experiment = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> async def work():
        ...     while trial := await experiment.ask_async():
        ...         trial.tell({"y": trial.parameters.x})
        >>> asyncio.run(work())
        >>> experiment.best().metrics
        {'y': 2.0}
        """
        folder, looks, began = await asyncio.to_thread(self._offers), PruningLooks(_OFFERED, _LOOK), time.monotonic()
        with _told(lambda: f"{self.handle} has offered no trial for {timeout:g} s"):
            async with asyncio.timeout(timeout):
                while (found := await asyncio.to_thread(self._take, folder)) is None:
                    if looks.due():
                        status = await self.status_async()
                        if over(status):
                            shutil.rmtree(folder, ignore_errors=True)
                            nothing_more(status)
                            return None
                        if _kept_waiting(status, began):
                            offer_again(await asyncio.to_thread(self._held))
                    await asyncio.sleep(_OFFERED)
        return asked_by_task(found)

    def loop(self) -> Iterator[OpenTrial]:
        """Trials for this process to run, one after the other, until the experiment is over.

        A trial without an outcome at the end of its turn counts by what it reported. Run it `with trial:` so that an
        exception is a failed trial, and the loop goes on. Who leaves the loop, or ends, gives its trial back.

        >>> experiment = orchestune.Experiment.create(parameters={"x": "0.0..1.0"}, metrics={"y": "maximize"}, budget=3)
        >>> for trial in experiment.loop():
        ...     with trial:
        ...         trial.report(y=trial.parameters.x ** 2)
        >>> len(experiment.results())
        3
        """
        while (trial := self.ask()) is not None:
            with turn(trial):
                yield trial

    async def loop_async(self) -> AsyncIterator[OpenTrial]:
        """The same without blocking the event loop: several tasks that loop run as many trials at a time.

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
            with turn(trial):
                yield trial

    def _offers(self) -> Path:
        """Where the trials of this experiment are on offer."""
        if self._offered is None:
            with self._lock:
                run = self._client.specification(self.id)["specification"]["run"]
            if not isinstance(run, list) or run[1:3] != ["-m", BRIDGE]:
                hint = "create it without `run` to run its trials in this process"
                raise UsageError(f"the trials of {self.handle} are run by its command", hint)
            self._offered = Path(run[3])
        return self._offered

    def _take(self, folder: Path) -> OpenTrial | None:
        found = take(folder)
        if found is not None:
            with self._lock:
                self._taken.add(found)
        return found

    def _held(self) -> list[OpenTrial]:
        """Those that were taken and that somebody still holds."""
        with self._lock:
            return list(self._taken)

    def stop(self) -> Experiment:
        """End it; what is finished stays.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> other.stop().wait().state
        'stopped'
        """
        with self._lock:
            self._client.stop(self.id)
        return self

    def pause(self) -> Experiment:
        """Start no more trials; those that run go on to their end.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2)
        >>> other.pause().status()["desired"]
        'paused'
        """
        with self._lock:
            self._client.pause(self.id)
        return self

    def resume(self) -> Experiment:
        """Go on.

        >>> other = orchestune.Experiment.create(parameters={"x": [1, 2]}, metrics={"y": "maximize"}, budget=2).pause()
        >>> other.resume().status()["desired"]
        'running'
        >>> other.stop().wait().state
        'stopped'
        """
        with self._lock:
            self._client.resume(self.id)
        return self

    def extend(self, *, budget: int | None = None, parallelism: int | None = None) -> Experiment:
        """Another budget or parallelism, also for one that is over, which then goes on with all that it learned.

        Conflict where the budget is below what has begun.

        >>> other = orchestune.tune(lambda x: x, {"x": "0.0..1.0"}, {"y": "maximize"}, budget=1)
        >>> len(other.extend(budget=3, parallelism=2).wait().results())
        3
        """
        changes = {"budget": budget, "parallelism": parallelism}
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            raise UsageError("extend needs budget, parallelism or both", "experiment.extend(budget=80)")
        with self._lock:
            self._client.change(self.id, **changes)
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


def _kept_waiting(status: documents.Status, began: float) -> bool:
    """Whether who began to ask then waits for trials that are open, and not for one that is about to be on offer."""
    return status["counts"]["running"] >= status["parallelism"] and time.monotonic() > began + _COMES


@contextmanager
def _told(message: Callable[[], str]) -> Iterator[None]:
    """What a timeout of the block says: that of asyncio says nothing."""
    try:
        yield
    except TimeoutError as exc:
        raise (exc if exc.args else TimeoutError(message())) from exc.__cause__
