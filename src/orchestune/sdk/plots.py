"""`experiment.plot`: the figures of the pages in a notebook, as figures of Plotly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from orchestune.client.api import Client
from orchestune.client.connection import clock
from orchestune.client.states import finished
from orchestune.errors import UsageError
from orchestune.sdk import figures
from orchestune.sdk.async_methods import in_thread
from orchestune.sdk.axes import SpaceAxis

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # for annotations alone: it is an extra

    from orchestune import documents

_MOST = 4000
_SLICES = 6
T = TypeVar("T")


class Plots:
    """Each figure is made of what the server knows now. UsageError where Plotly is missing: `orchestune[plot]`.

    Where there are too many trials to be drawn, the best ones are, and every k-th of the others; the title says so.

    >>> def train(lr, layers):
    ...     for step in range(3):
    ...         orchestune.report(loss=lr * layers + 1 / (step + 1), size=layers, step=step)
    >>> experiment = orchestune.tune(
    ...     train, {"lr": "0.01..1 log", "layers": "1..8"}, {"loss": "minimize", "size": "minimize"}, budget=12)
    """

    def __init__(self, client: Client, lock: threading.Lock, experiment: str) -> None:
        self._client, self._lock, self._experiment = client, lock, experiment

    def history(self, metric: str | None = None) -> Figure:
        """The value of each trial, and the best so far; trials that failed stand at the foot.

        >>> experiment.plot.history("size").layout.yaxis.title.text
        'size'
        """
        chosen = self._metric(metric)
        return _made(figures.history(self._columns(metric=chosen["name"]), chosen))

    def importance(self, metric: str | None = None) -> Figure:
        """How much each parameter matters for a metric, the first one where none is named.

        >>> sorted(experiment.plot.importance().data[0].y)
        ['layers', 'lr']
        """
        return _made(figures.importance(self._ask(lambda: self._client.importance(self._experiment, metric))))

    def parallel(self, parameters: Sequence[str] | None = None, metric: str | None = None) -> Figure:
        """Each trial as a line through its parameters, all of them where none are named, and its metric.

        >>> [axis.label for axis in experiment.plot.parallel().data[0].dimensions]
        ['lr', 'layers', 'loss']
        """
        return _made(figures.parallel(self._columns(), self._metric(metric), self._axes(parameters)))

    def slice(self, parameters: Sequence[str] | None = None, metric: str | None = None) -> Figure:
        """The metric over each parameter; the most important ones where none are named.

        >>> experiment.plot.slice(["lr"]).layout.xaxis.title.text
        'lr'
        """
        axes = self._axes(parameters if parameters is not None else self._important(metric, _SLICES))
        return _made(figures.slices(self._columns(), self._metric(metric), axes))

    def contour(self, x: str | None = None, y: str | None = None, metric: str | None = None) -> Figure:
        """The metric over two parameters, the most important ones where none are named.

        >>> experiment.plot.contour("lr", "layers").layout.yaxis.title.text
        'layers'
        """
        names = [name for name in (x, y) if name is not None]
        others = [name for name in self._important(metric, 2 + len(names)) if name not in names]
        wanted = [x if x is not None else others.pop(0)] if x is not None or others else []
        wanted += [y if y is not None else others.pop(0)] if y is not None or others else []
        if len(wanted) < 2:
            raise UsageError("a contour takes two parameters, and the experiment has one", "draw slice() of it")
        across, up = self._axes(wanted)
        chosen = self._metric(metric)
        mean = self._ask(lambda: self._client.contour(self._experiment, wanted[0], wanted[1], chosen["name"]))
        return _made(figures.contour(mean, self._columns(), chosen, across, up))

    def pareto(self, x: str | None = None, y: str | None = None) -> Figure:
        """Two metrics against each other, the first two that are optimized where none are named, with the front.

        >>> experiment.plot.pareto().layout.xaxis.title.text
        'loss (minimize)'
        """
        aims = [metric for metric in self._status()["metrics"] if metric["optimized"]]
        if len(aims) < 2:
            raise UsageError(
                "a front takes two metrics with a goal, and the experiment has one", "draw history() of it"
            )
        across, up = self._metric(x or aims[0]["name"]), self._metric(y or aims[1]["name"])
        return _made(figures.pareto(self._columns(), across, up, line=len(aims) == 2))

    def hypervolume(self) -> Figure:
        """How much several metrics with a goal have gained together, trial by trial.

        >>> experiment.plot.hypervolume().layout.xaxis.title.text
        'finished trials'
        """
        found = self._ask(lambda: self._client.hypervolume(self._experiment))
        return _made(figures.hypervolume(found, finished(self._status())))

    def curves(self, metric: str | None = None) -> Figure:
        """What the newest trials and the best one reported while they ran.

        >>> experiment.plot.curves().layout.yaxis.title.text
        'loss'
        """
        found = self._ask(lambda: self._client.curves(self._experiment, metric))
        best = self._status()["best"]
        return _made(figures.curves(found, best[0]["trial"] if len(best) == 1 else None))

    def timeline(self) -> Figure:
        """When attempts ran, on which worker, and how they ended.

        >>> len(experiment.plot.timeline().data) > 0
        True
        """
        spans = self._ask(lambda: self._client.timeline(self._experiment))
        return _made(figures.timeline(spans, datetime.fromtimestamp(clock.now(), UTC).isoformat()))

    history_async = in_thread(history)
    importance_async = in_thread(importance)
    parallel_async = in_thread(parallel)
    slice_async = in_thread(slice)
    contour_async = in_thread(contour)
    pareto_async = in_thread(pareto)
    hypervolume_async = in_thread(hypervolume)
    curves_async = in_thread(curves)
    timeline_async = in_thread(timeline)

    def _ask(self, question: Callable[[], T]) -> T:
        with self._lock:
            return question()

    def _status(self) -> documents.Status:
        return self._ask(lambda: self._client.experiment(self._experiment))

    def _columns(self, metric: str | None = None) -> documents.Columns:
        return self._ask(lambda: self._client.columns(self._experiment, _MOST, metric))

    def _metric(self, name: str | None) -> documents.Metric:
        known = {metric["name"]: metric for metric in self._status()["metrics"]}
        if name is None:
            return next(iter(known.values()))
        if name not in known:
            raise UsageError(f"'{name}' is no metric of the experiment", f"it has {', '.join(known)}")
        return known[name]

    def _axes(self, names: Sequence[str] | None) -> list[SpaceAxis]:
        document = self._ask(lambda: self._client.specification(self._experiment))
        known = {item["name"]: SpaceAxis.of(item) for item in document["specification"]["parameters"]}
        for name in names or ():
            if name not in known:
                raise UsageError(f"'{name}' is no parameter of the experiment", f"it has {', '.join(known)}")
        return [known[name] for name in names] if names is not None else list(known.values())

    def _important(self, metric: str | None, most: int) -> list[str]:
        found = self._ask(lambda: self._client.importance(self._experiment, metric))
        weights = sorted(found["parameters"], key=lambda weight: -weight["importance"])
        names = [weight["name"] for weight in weights] or [axis.name for axis in self._axes(None)]
        return names[:most]


def _made(figure: figures.Figure) -> Figure:
    try:
        from plotly.graph_objects import Figure as Made  # an extra, and slow to import
    except ImportError as exc:
        raise UsageError("plots take Plotly", "pip install 'orchestune[plot]'") from exc
    return Made(figure)
