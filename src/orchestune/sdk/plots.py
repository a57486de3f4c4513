"""`experiment.plot`: the figures of the web pages as Plotly figures, for notebooks."""

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
    from plotly.graph_objects import Figure  # only for annotations: it is an extra

    from orchestune import documents

_MAX_POINTS = 4000
_MAX_SLICES = 6
T = TypeVar("T")


class Plots:
    """Figures of the current data of the server. UsageError if Plotly is not installed: `orchestune[plot]`.

    If there are too many trials to draw, the best ones and every k-th of the others are drawn; the title says so.

    >>> def train(lr, layers):
    ...     for step in range(3):
    ...         orchestune.report(loss=lr * layers + 1 / (step + 1), size=layers, step=step)
    >>> experiment = orchestune.tune(
    ...     train, {"lr": "0.01..1 log", "layers": "1..8"}, {"loss": "minimize", "size": "minimize"}, budget=12)
    """

    def __init__(self, client: Client, lock: threading.Lock, experiment: str) -> None:
        self._client, self._lock, self._experiment = client, lock, experiment

    def history(self, metric: str | None = None) -> Figure:
        """Plot the value of each trial and the best so far; failed trials are at the bottom.

        >>> experiment.plot.history("size").layout.yaxis.title.text
        'size'
        """
        selected = self._metric(metric)
        return _plotly_figure(figures.history(self._columns(metric=selected["name"]), selected))

    def importance(self, metric: str | None = None) -> Figure:
        """Plot the importance of each parameter for a metric, by default the first one.

        >>> sorted(experiment.plot.importance().data[0].y)
        ['layers', 'lr']
        """
        return _plotly_figure(
            figures.importance(self._fetch(lambda: self._client.importance(self._experiment, metric)))
        )

    def parallel(self, parameters: Sequence[str] | None = None, metric: str | None = None) -> Figure:
        """Plot each trial as a line through its parameters, by default all of them, and its metric.

        >>> [axis.label for axis in experiment.plot.parallel().data[0].dimensions]
        ['lr', 'layers', 'loss']
        """
        return _plotly_figure(figures.parallel(self._columns(), self._metric(metric), self._axes(parameters)))

    def slice(self, parameters: Sequence[str] | None = None, metric: str | None = None) -> Figure:
        """Plot the metric over each parameter, by default the most important ones.

        >>> experiment.plot.slice(["lr"]).layout.xaxis.title.text
        'lr'
        """
        axes = self._axes(parameters if parameters is not None else self._important(metric, _MAX_SLICES))
        return _plotly_figure(figures.slices(self._columns(), self._metric(metric), axes))

    def contour(self, x: str | None = None, y: str | None = None, metric: str | None = None) -> Figure:
        """Plot the metric over two parameters, by default the most important ones.

        >>> experiment.plot.contour("lr", "layers").layout.yaxis.title.text
        'layers'
        """
        names = [name for name in (x, y) if name is not None]
        others = [name for name in self._important(metric, 2 + len(names)) if name not in names]
        names_shown = [x if x is not None else others.pop(0)] if x is not None or others else []
        names_shown += [y if y is not None else others.pop(0)] if y is not None or others else []
        if len(names_shown) < 2:
            raise UsageError("a contour plot needs two parameters, and the experiment has one", "use slice()")
        across, up = self._axes(names_shown)
        selected = self._metric(metric)
        mean = self._fetch(
            lambda: self._client.contour(self._experiment, names_shown[0], names_shown[1], selected["name"])
        )
        return _plotly_figure(figures.contour(mean, self._columns(), selected, across, up))

    def pareto(self, x: str | None = None, y: str | None = None) -> Figure:
        """Plot two metrics against each other, by default the first two optimized ones, with the Pareto front.

        >>> experiment.plot.pareto().layout.xaxis.title.text
        'loss (minimize)'
        """
        objectives = [metric for metric in self._status()["metrics"] if metric["optimized"]]
        if len(objectives) < 2:
            raise UsageError("a Pareto plot needs two metrics with a goal, and the experiment has one", "use history()")
        across, up = self._metric(x or objectives[0]["name"]), self._metric(y or objectives[1]["name"])
        return _plotly_figure(figures.pareto(self._columns(), across, up, line=len(objectives) == 2))

    def hypervolume(self) -> Figure:
        """Plot the hypervolume of several metrics with a goal, trial by trial.

        >>> experiment.plot.hypervolume().layout.xaxis.title.text
        'finished trials'
        """
        hypervolume = self._fetch(lambda: self._client.hypervolume(self._experiment))
        return _plotly_figure(figures.hypervolume(hypervolume, finished(self._status())))

    def curves(self, metric: str | None = None) -> Figure:
        """Plot the values that the newest trials and the best one reported while running.

        >>> experiment.plot.curves().layout.yaxis.title.text
        'loss'
        """
        curves = self._fetch(lambda: self._client.curves(self._experiment, metric))
        best = self._status()["best"]
        return _plotly_figure(figures.curves(curves, best[0]["trial"] if len(best) == 1 else None))

    def timeline(self) -> Figure:
        """Plot when attempts ran, on which worker, and how they ended.

        >>> len(experiment.plot.timeline().data) > 0
        True
        """
        spans = self._fetch(lambda: self._client.timeline(self._experiment))
        return _plotly_figure(figures.timeline(spans, datetime.fromtimestamp(clock.now(), UTC).isoformat()))

    history_async = in_thread(history)
    importance_async = in_thread(importance)
    parallel_async = in_thread(parallel)
    slice_async = in_thread(slice)
    contour_async = in_thread(contour)
    pareto_async = in_thread(pareto)
    hypervolume_async = in_thread(hypervolume)
    curves_async = in_thread(curves)
    timeline_async = in_thread(timeline)

    def _fetch(self, question: Callable[[], T]) -> T:
        with self._lock:
            return question()

    def _status(self) -> documents.Status:
        return self._fetch(lambda: self._client.experiment(self._experiment))

    def _columns(self, metric: str | None = None) -> documents.Columns:
        return self._fetch(lambda: self._client.columns(self._experiment, _MAX_POINTS, metric))

    def _metric(self, name: str | None) -> documents.Metric:
        by_name = {metric["name"]: metric for metric in self._status()["metrics"]}
        if name is None:
            return next(iter(by_name.values()))
        if name not in by_name:
            raise UsageError(f"unknown metric '{name}'", f"metrics of the experiment: {', '.join(by_name)}")
        return by_name[name]

    def _axes(self, names: Sequence[str] | None) -> list[SpaceAxis]:
        document = self._fetch(lambda: self._client.specification(self._experiment))
        by_name = {item["name"]: SpaceAxis.of(item) for item in document["specification"]["parameters"]}
        for name in names or ():
            if name not in by_name:
                raise UsageError(f"unknown parameter '{name}'", f"parameters of the experiment: {', '.join(by_name)}")
        return [by_name[name] for name in names] if names is not None else list(by_name.values())

    def _important(self, metric: str | None, limit: int) -> list[str]:
        importance = self._fetch(lambda: self._client.importance(self._experiment, metric))
        weights = sorted(importance["parameters"], key=lambda weight: -weight["importance"])
        names = [weight["name"] for weight in weights] or [axis.name for axis in self._axes(None)]
        return names[:limit]


def _plotly_figure(figure: figures.Figure) -> Figure:
    try:
        from plotly.graph_objects import Figure as PlotlyFigure  # an extra, and slow to import
    except ImportError as exc:
        raise UsageError("plots need Plotly", "install it with `pip install 'orchestune[plot]'`") from exc
    return PlotlyFigure(figure)
