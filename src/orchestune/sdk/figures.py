"""Plotly figures as plain documents, with the data of the web pages. Does not import Plotly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeGuard

from orchestune.sdk.axes import SpaceAxis

if TYPE_CHECKING:
    from orchestune import documents

Figure = dict[str, Any]
"""`data` and `layout`, the arguments of `plotly.graph_objects.Figure`"""

STATES = {
    "completed": "#0072b2", "succeeded": "#0072b2", "running": "#009e73", "leased": "#009e73", "failed": "#b3400a",
    "pruned": "#7a5b00", "lost": "#8a5fbf", "preempted": "#8a5fbf", "cancelled": "#5d6773",
}  # fmt: skip
"""colours of the light theme of the web pages, distinguishable for colour-blind people"""
_SYMBOLS = {"pruned": "circle-open", "failed": "x-thin-open"}
_BEST, _FRONT, _GREY = "#111827", "#d55e00", "#5d6773"
_SCALE = [[0, "#c8d2de"], [0.5, "#0072b2"], [1, "#b24600"]]
"""from worst to best"""


def history(columns: documents.Columns, metric: documents.Metric) -> Figure:
    """Draw every trial's value by number, and the best so far; failed trials are at the bottom."""
    values = columns["metrics"].get(metric["name"], [])
    data = _by_state(columns, columns["number"], values)
    low, high = min(filter(_is_present, values), default=0.0), max(filter(_is_present, values), default=0.0)
    bottom = low - ((high - low) or 1.0) / 20
    failed = [i for i, value in enumerate(values) if value is None and columns["state"][i] == "failed"]
    if failed:
        crosses = _points([columns["number"][i] for i in failed], [bottom] * len(failed), "failed")
        tips = [f"trial {columns['number'][i]}, no {metric['name']}" for i in failed]
        data.append(crosses | {"text": tips, "hoverinfo": "text"})
    if columns["best"]["number"]:
        # an earlier trial may finish later
        numbers, best = [*accumulate(columns["best"]["number"], max)], [*columns["best"]["value"]]
        last = max(columns["number"], default=numbers[-1])
        data.append({"type": "scatter", "mode": "lines", "name": "best so far", "x": [*numbers, max(last, numbers[-1])],
                     "y": [*best, best[-1]], "line": {"color": _BEST, "shape": "hv", "width": 2}})  # fmt: skip
    return _figure(data, f"History{_sample(columns)}", "trial", metric["name"])


def importance(document: documents.Importance) -> Figure:
    """Draw the importance of each parameter, the most important one on top."""
    weights = sorted(document["parameters"], key=lambda weight: weight["importance"])
    bars = {"type": "bar", "orientation": "h", "x": [weight["importance"] for weight in weights],
            "y": [weight["name"] for weight in weights], "marker": {"color": STATES["completed"]}}  # fmt: skip
    source = f"from {document['trials']:,} completed trials"
    title = f"Importance for {document['metric']} is unknown {source}"
    if weights:
        title = f"Importance for {document['metric']}, {source}"
    figure = _figure([bars], title, "share of the variance", "")
    figure["layout"]["xaxis"]["tickformat"] = ".0%"
    figure["layout"]["yaxis"]["type"] = "category"
    return figure


def parallel(columns: documents.Columns, metric: documents.Metric, axes: Sequence[SpaceAxis]) -> Figure:
    """Draw each trial with a value as a line through its configuration, coloured by rank; any axis can be brushed."""
    values = columns["metrics"].get(metric["name"], [])
    indices = [i for i, value in enumerate(values) if value is not None]
    metric_values = [values[i] for i in indices]
    dimensions = [axis.dimension([columns["parameters"][axis.name][i] for i in indices]) for axis in axes]
    dimensions.append({"label": metric["name"], "values": metric_values})
    order = sorted(
        range(len(metric_values)), key=lambda i: metric_values[i] or 0.0, reverse=metric["goal"] == "minimize"
    )
    ranks = {index: rank for rank, index in enumerate(order)}
    line = {"color": [ranks[i] for i in range(len(metric_values))], "colorscale": _SCALE, "showscale": False}
    figure = _figure([{"type": "parcoords", "line": line, "dimensions": dimensions}], "", "", "")
    figure["layout"] = {"title": {"text": f"Parallel coordinates{_sample(columns)}"}}
    return figure


def slices(columns: documents.Columns, metric: documents.Metric, axes: Sequence[SpaceAxis]) -> Figure:
    """Draw the metric over each parameter, side by side."""
    values = columns["metrics"].get(metric["name"], [])
    figure = _figure([], f"Slices{_sample(columns)}", "", metric["name"])
    gap = 0.02 if len(axes) > 1 else 0.0
    width = (1 - gap * (len(axes) - 1)) / max(len(axes), 1)
    for index, axis in enumerate(axes):
        name = "" if index == 0 else str(index + 1)
        for points in _by_state(columns, axis.coordinates(columns["parameters"][axis.name]), values):
            figure["data"].append(points | {"xaxis": f"x{name}", "yaxis": "y", "showlegend": index == 0,
                                            "legendgroup": points["name"]})  # fmt: skip
        start = index * (width + gap)
        figure["layout"][f"xaxis{name}"] = axis.layout() | {"domain": [start, min(start + width, 1.0)]}
    return figure


def contour(
    mean: documents.Contour, columns: documents.Columns, metric: documents.Metric, x: SpaceAxis, y: SpaceAxis
) -> Figure:
    """Draw the metric over two parameters: the local mean of the trials, and the trials."""
    values = columns["metrics"].get(metric["name"], [])
    across, up = x.coordinates(columns["parameters"][x.name]), y.coordinates(columns["parameters"][y.name])
    completed = [values[i] if state == "completed" else None for i, state in enumerate(columns["state"])]
    indices = [i for i, value in enumerate(completed) if None not in (value, across[i], up[i])]
    trace_type = "heatmap" if "category" in (x.kind, y.kind) else "contour"  # there is nothing between two categories
    lines = {"type": trace_type, "x": x.coordinates(mean["across"]), "y": y.coordinates(mean["up"]),
        "z": mean["values"],
             "connectgaps": False, "colorscale": _SCALE, "reversescale": metric["goal"] == "minimize", "opacity": 0.6,
             "colorbar": {"title": {"text": metric["name"]}}}  # fmt: skip
    points = _points([across[i] for i in indices], [up[i] for i in indices], "trials", _BEST)
    points |= {"text": [f"trial {columns['number'][i]}: {values[i]:g}" for i in indices], "showlegend": False}
    title = f"{x.name} and {y.name}, the mean of {mean['trials']:,} trials"
    figure = _figure([lines, points], title, x.name, y.name)
    figure["layout"] |= {"xaxis": x.layout(), "yaxis": y.layout()}
    return figure


def pareto(columns: documents.Columns, x: documents.Metric, y: documents.Metric, line: bool) -> Figure:
    """Draw two metrics against each other, with the Pareto front.

    `line`: these are the only optimized metrics, so the front is a line.
    """
    across, up = columns["metrics"].get(x["name"], []), columns["metrics"].get(y["name"], [])
    front = set(columns["front"])
    data = []
    for name, colour, in_front in (("other trials", STATES["completed"], False), ("Pareto front", _FRONT, True)):
        indices = [
            i
            for i, number in enumerate(columns["number"])
            if across[i] is not None and up[i] is not None and (number in front) is in_front
        ]
        indices.sort(key=lambda i: (across[i] or 0.0, up[i] or 0.0))
        points = _points([across[i] for i in indices], [up[i] for i in indices], name, colour)
        points["text"] = [f"trial {columns['number'][i]}" for i in indices]
        points["mode"] = "lines+markers" if in_front and line else "markers"
        data.append(points)
    axis_titles = [f"{metric['name']} ({metric['goal']})" for metric in (x, y)]
    return _figure(data, f"Pareto front{_sample(columns)}", *axis_titles)


def hypervolume(document: documents.Hypervolume, finished: int) -> Figure:
    """Draw the hypervolume of several metrics over the finished trials."""
    line = {"type": "scatter", "mode": "lines", "name": "hypervolume",
            "x": [*document["finished"], max([finished, *document["finished"]])] if document["finished"] else [],
            "y": [*document["value"], *document["value"][-1:]],
            "text": [f"trial {number}" for number in [*document["number"], *document["number"][-1:]]],
            "line": {"color": _BEST, "shape": "hv", "width": 2}}  # fmt: skip
    title = f"Hypervolume of {' and '.join(document['metrics'])}"
    figure = _figure([line], title, "finished trials", "hypervolume")
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure


def curves(document: documents.Curves, best: int | None) -> Figure:
    """Draw the values that trials reported while running; pruned trials are dashed, the best one is on top."""
    data = []
    legend_names = set[str]()
    items = [item for item in document["items"] if len(item["points"]) > 1]
    for item in sorted(items, key=lambda item: item["trial"] == best):
        name = "best" if item["trial"] == best else item["state"]
        width, dash = (3 if name == "best" else 1), ("dash" if item["state"] == "pruned" else "solid")
        colour = _BEST if name == "best" else STATES.get(item["state"], _GREY)
        data.append({
            "type": "scatter", "mode": "lines",
            "x": [point[0] for point in item["points"]], "y": [point[1] for point in item["points"]],
            "name": name, "legendgroup": name, "showlegend": name not in legend_names, "text": f"trial {item['trial']}",
            "line": {"color": colour, "dash": dash, "width": width}, "opacity": 1.0 if name == "best" else 0.6,
        })  # fmt: skip
        legend_names.add(name)
    thinned = any(item["reported"] > len(item["points"]) for item in items)
    step = "step (every k-th is drawn)" if thinned else "step"
    return _figure(data, f"{len(items)} curves", step, document["metric"])


def timeline(document: documents.Timeline, now: str) -> Figure:
    """Draw when and where attempts ran, a row per worker; running attempts extend to `now`."""
    data = []
    for state in sorted({item["state"] for item in document["items"]}):
        items = [item for item in document["items"] if item["state"] == state]
        data.append({
            "type": "bar", "orientation": "h", "name": state, "marker": {
                "color": STATES.get(state, _GREY), "opacity": 0.4 if state in ("lost", "preempted") else 0.8},
            "base": [item["leased_at"] for item in items], "y": [item["worker"] or "" for item in items],
            "x": [_milliseconds(item["leased_at"], item["finished_at"] or now) for item in items],
            "text": [f"trial {item['trial']}" for item in items], "textposition": "none",
        })  # fmt: skip
    title = f"The newest {len(document['items'])} attempts" if document["more"] else "Attempts"
    figure = _figure(data, title, "", "worker")
    figure["layout"] |= {"barmode": "overlay", "xaxis": {"type": "date"}}
    workers = sorted({item["worker"] or "" for item in document["items"]}, key=_natural_order, reverse=True)
    figure["layout"]["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": workers}
    return figure


def _natural_order(worker: str) -> list[tuple[str, int]]:
    """Return a sort key that puts `w2` before `w10`."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"([^\d]*)(\d*)", worker)]


def _milliseconds(begin: str, end: str) -> float:
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 0.001) * 1000


def _by_state(columns: documents.Columns, x: Sequence[Any], y: Sequence[float | None]) -> list[Figure]:
    """Draw the trials that have both coordinates, by state."""
    data = []
    for state in ("completed", "pruned"):
        indices = [
            i for i, trial_state in enumerate(columns["state"]) if trial_state == state and None not in (x[i], y[i])
        ]
        points = _points([x[i] for i in indices], [y[i] for i in indices], state)
        if indices:
            data.append(points | {"text": [f"trial {columns['number'][i]}" for i in indices]})
    return data


def _is_present(value: float | None) -> TypeGuard[float]:
    return value is not None


def _points(x: Sequence[Any], y: Sequence[Any], name: str, colour: str = "") -> Figure:
    """Draw points; without `colour`, `name` is a state."""
    ink = colour or STATES[name]
    marker = {"size": 6, "color": ink, "symbol": _SYMBOLS.get(name, "circle"), "line": {"color": ink, "width": 1.4}}
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "marker": marker}


def _sample(columns: documents.Columns) -> str:
    """Return the part of a title that says that not all trials are drawn."""
    return f": {columns['shown']:,} of {columns['total']:,} trials" if columns["shown"] < columns["total"] else ""


def _figure(data: list[Figure], title: str, x: str, y: str) -> Figure:
    axes = {name: {"title": {"text": text}, "exponentformat": "e"} for name, text in (("xaxis", x), ("yaxis", y))}
    return {"data": data, "layout": {"title": {"text": title}, "template": "plotly_white", **axes}}
