"""Figures of Plotly as plain documents, made of the same data as those of the pages. Nothing here imports Plotly."""

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
"""`data` and `layout`, as `plotly.graph_objects.Figure` takes them"""

STATES = {
    "completed": "#0072b2", "succeeded": "#0072b2", "running": "#009e73", "leased": "#009e73", "failed": "#b3400a",
    "pruned": "#7a5b00", "lost": "#8a5fbf", "preempted": "#8a5fbf", "cancelled": "#5d6773",
}  # fmt: skip
"""colours of the pages in light, which colour-blind people tell apart"""
_SIGNS = {"pruned": "circle-open", "failed": "x-thin-open"}
_BEST, _FRONT, _QUIET = "#111827", "#d55e00", "#5d6773"
_SCALE = [[0, "#c8d2de"], [0.5, "#0072b2"], [1, "#b24600"]]
"""from the worst to the best"""


def history(found: documents.Columns, metric: documents.Metric) -> Figure:
    """Every trial's value by its number, and the best one so far; those that failed stand at the foot."""
    values = found["metrics"].get(metric["name"], [])
    data = _by_state(found, found["number"], values)
    low, high = min(filter(_there, values), default=0.0), max(filter(_there, values), default=0.0)
    foot = low - ((high - low) or 1.0) / 20
    failed = [i for i, value in enumerate(values) if value is None and found["state"][i] == "failed"]
    if failed:
        crosses = _points([found["number"][i] for i in failed], [foot] * len(failed), "failed")
        tips = [f"trial {found['number'][i]}, no {metric['name']}" for i in failed]
        data.append(crosses | {"text": tips, "hoverinfo": "text"})
    if found["best"]["number"]:
        # an earlier trial may have finished later
        numbers, best = [*accumulate(found["best"]["number"], max)], [*found["best"]["value"]]
        last = max(found["number"], default=numbers[-1])
        data.append({"type": "scatter", "mode": "lines", "name": "best so far", "x": [*numbers, max(last, numbers[-1])],
                     "y": [*best, best[-1]], "line": {"color": _BEST, "shape": "hv", "width": 2}})  # fmt: skip
    return _figure(data, f"History{_sample(found)}", "trial", metric["name"])


def importance(found: documents.Importance) -> Figure:
    """How much each parameter matters, the most important one on top."""
    weights = sorted(found["parameters"], key=lambda weight: weight["importance"])
    bars = {"type": "bar", "orientation": "h", "x": [weight["importance"] for weight in weights],
            "y": [weight["name"] for weight in weights], "marker": {"color": STATES["completed"]}}  # fmt: skip
    known = f"from {found['trials']:,} completed trials"
    title = f"What matters for {found['metric']} cannot be told {known}"
    if weights:
        title = f"Importance for {found['metric']}, {known}"
    figure = _figure([bars], title, "share of the variance", "")
    figure["layout"]["xaxis"]["tickformat"] = ".0%"
    figure["layout"]["yaxis"]["type"] = "category"
    return figure


def parallel(found: documents.Columns, metric: documents.Metric, axes: Sequence[SpaceAxis]) -> Figure:
    """Each trial with a value as a line through its configuration; brushed along any axis. Colours go by rank."""
    values = found["metrics"].get(metric["name"], [])
    chosen = [i for i, value in enumerate(values) if value is not None]
    shown = [values[i] for i in chosen]
    dimensions = [axis.dimension([found["parameters"][axis.name][i] for i in chosen]) for axis in axes]
    dimensions.append({"label": metric["name"], "values": shown})
    order = sorted(range(len(shown)), key=lambda i: shown[i] or 0.0, reverse=metric["goal"] == "minimize")
    ranks = {place: rank for rank, place in enumerate(order)}
    line = {"color": [ranks[i] for i in range(len(shown))], "colorscale": _SCALE, "showscale": False}
    figure = _figure([{"type": "parcoords", "line": line, "dimensions": dimensions}], "", "", "")
    figure["layout"] = {"title": {"text": f"Parallel coordinates{_sample(found)}"}}
    return figure


def slices(found: documents.Columns, metric: documents.Metric, axes: Sequence[SpaceAxis]) -> Figure:
    """The metric over each parameter, side by side."""
    values = found["metrics"].get(metric["name"], [])
    figure = _figure([], f"Slices{_sample(found)}", "", metric["name"])
    gap = 0.02 if len(axes) > 1 else 0.0
    width = (1 - gap * (len(axes) - 1)) / max(len(axes), 1)
    for index, axis in enumerate(axes):
        name = "" if index == 0 else str(index + 1)
        for points in _by_state(found, axis.shown(found["parameters"][axis.name]), values):
            figure["data"].append(points | {"xaxis": f"x{name}", "yaxis": "y", "showlegend": index == 0,
                                            "legendgroup": points["name"]})  # fmt: skip
        left = index * (width + gap)
        figure["layout"][f"xaxis{name}"] = axis.layout() | {"domain": [left, min(left + width, 1.0)]}
    return figure


def contour(
    mean: documents.Contour, found: documents.Columns, metric: documents.Metric, x: SpaceAxis, y: SpaceAxis
) -> Figure:
    """The metric over two parameters: the mean of the trials around each place, and the trials themselves."""
    values = found["metrics"].get(metric["name"], [])
    across, up = x.shown(found["parameters"][x.name]), y.shown(found["parameters"][y.name])
    completed = [values[i] if state == "completed" else None for i, state in enumerate(found["state"])]
    chosen = [i for i, value in enumerate(completed) if None not in (value, across[i], up[i])]
    kind = "heatmap" if "category" in (x.kind, y.kind) else "contour"  # nothing lies between two words
    lines = {"type": kind, "x": x.shown(mean["across"]), "y": y.shown(mean["up"]), "z": mean["values"],
             "connectgaps": False, "colorscale": _SCALE, "reversescale": metric["goal"] == "minimize", "opacity": 0.6,
             "colorbar": {"title": {"text": metric["name"]}}}  # fmt: skip
    points = _points([across[i] for i in chosen], [up[i] for i in chosen], "trials", _BEST)
    points |= {"text": [f"trial {found['number'][i]}: {values[i]:g}" for i in chosen], "showlegend": False}
    title = f"{x.name} and {y.name}, the mean of {mean['trials']:,} trials"
    figure = _figure([lines, points], title, x.name, y.name)
    figure["layout"] |= {"xaxis": x.layout(), "yaxis": y.layout()}
    return figure


def pareto(found: documents.Columns, x: documents.Metric, y: documents.Metric, line: bool) -> Figure:
    """Two metrics against each other; no trial is better in all of them than one of the front.

    `line`: these two are all that are optimized, so that the front is a line.
    """
    across, up = found["metrics"].get(x["name"], []), found["metrics"].get(y["name"], [])
    front = set(found["front"])
    data = []
    for name, colour, wanted in (("other trials", STATES["completed"], False), ("Pareto front", _FRONT, True)):
        chosen = [
            i
            for i, number in enumerate(found["number"])
            if across[i] is not None and up[i] is not None and (number in front) is wanted
        ]
        chosen.sort(key=lambda i: (across[i] or 0.0, up[i] or 0.0))
        points = _points([across[i] for i in chosen], [up[i] for i in chosen], name, colour)
        points["text"] = [f"trial {found['number'][i]}" for i in chosen]
        points["mode"] = "lines+markers" if wanted and line else "markers"
        data.append(points)
    told = [f"{metric['name']} ({metric['goal']})" for metric in (x, y)]
    return _figure(data, f"Pareto front{_sample(found)}", *told)


def hypervolume(found: documents.Hypervolume, finished: int) -> Figure:
    """How much of the space between several metrics was covered, trial by trial, by all that have `finished`."""
    line = {"type": "scatter", "mode": "lines", "name": "hypervolume",
            "x": [*found["finished"], max([finished, *found["finished"]])] if found["finished"] else [],
            "y": [*found["value"], *found["value"][-1:]],
            "text": [f"trial {number}" for number in [*found["number"], *found["number"][-1:]]],
            "line": {"color": _BEST, "shape": "hv", "width": 2}}  # fmt: skip
    title = f"Hypervolume of {' and '.join(found['metrics'])}"
    figure = _figure([line], title, "finished trials", "hypervolume")
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure


def curves(found: documents.Curves, best: int | None) -> Figure:
    """What trials reported while they ran; those that were pruned are dashed, the best one is drawn above all."""
    data = []
    named = set[str]()
    items = [item for item in found["items"] if len(item["points"]) > 1]
    for item in sorted(items, key=lambda item: item["trial"] == best):
        name = "best" if item["trial"] == best else item["state"]
        width, dash = (3 if name == "best" else 1), ("dash" if item["state"] == "pruned" else "solid")
        colour = _BEST if name == "best" else STATES.get(item["state"], _QUIET)
        data.append({
            "type": "scatter", "mode": "lines",
            "x": [point[0] for point in item["points"]], "y": [point[1] for point in item["points"]],
            "name": name, "legendgroup": name, "showlegend": name not in named, "text": f"trial {item['trial']}",
            "line": {"color": colour, "dash": dash, "width": width}, "opacity": 1.0 if name == "best" else 0.6,
        })  # fmt: skip
        named.add(name)
    thinned = any(item["reported"] > len(item["points"]) for item in items)
    step = "step (every k-th is drawn)" if thinned else "step"
    return _figure(data, f"{len(items)} curves", step, found["metric"])


def timeline(found: documents.Timeline, now: str) -> Figure:
    """When and where attempts ran, a row for each worker; what still runs reaches to `now`."""
    data = []
    for state in sorted({item["state"] for item in found["items"]}):
        items = [item for item in found["items"] if item["state"] == state]
        data.append({
            "type": "bar", "orientation": "h", "name": state, "marker": {
                "color": STATES.get(state, _QUIET), "opacity": 0.4 if state in ("lost", "preempted") else 0.8},
            "base": [item["leased_at"] for item in items], "y": [item["worker"] or "" for item in items],
            "x": [_milliseconds(item["leased_at"], item["finished_at"] or now) for item in items],
            "text": [f"trial {item['trial']}" for item in items], "textposition": "none",
        })  # fmt: skip
    title = f"The newest {len(found['items'])} attempts" if found["more"] else "Attempts"
    figure = _figure(data, title, "", "worker")
    figure["layout"] |= {"barmode": "overlay", "xaxis": {"type": "date"}}
    workers = sorted({item["worker"] or "" for item in found["items"]}, key=_counted, reverse=True)
    figure["layout"]["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": workers}
    return figure


def _counted(worker: str) -> list[tuple[str, int]]:
    """A key after which `w2` stands before `w10`."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"([^\d]*)(\d*)", worker)]


def _milliseconds(begin: str, end: str) -> float:
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 0.001) * 1000


def _by_state(found: documents.Columns, x: Sequence[Any], y: Sequence[float | None]) -> list[Figure]:
    """The trials that have both, drawn by how they ended."""
    data = []
    for state in ("completed", "pruned"):
        chosen = [i for i, each in enumerate(found["state"]) if each == state and None not in (x[i], y[i])]
        points = _points([x[i] for i in chosen], [y[i] for i in chosen], state)
        if chosen:
            data.append(points | {"text": [f"trial {found['number'][i]}" for i in chosen]})
    return data


def _there(value: float | None) -> TypeGuard[float]:
    return value is not None


def _points(x: Sequence[Any], y: Sequence[Any], name: str, colour: str = "") -> Figure:
    """`name`: a state, where no colour is given."""
    ink = colour or STATES[name]
    marker = {"size": 6, "color": ink, "symbol": _SIGNS.get(name, "circle"), "line": {"color": ink, "width": 1.4}}
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "marker": marker}


def _sample(found: documents.Columns) -> str:
    """Says where not all of them are drawn."""
    return f": {found['shown']:,} of {found['total']:,} trials" if found["shown"] < found["total"] else ""


def _figure(data: list[Figure], title: str, x: str, y: str) -> Figure:
    axes = {name: {"title": {"text": text}, "exponentformat": "e"} for name, text in (("xaxis", x), ("yaxis", y))}
    return {"data": data, "layout": {"title": {"text": title}, "template": "plotly_white", **axes}}
