"""Figures of Plotly as plain documents, made of the same data as those of the pages. Nothing here imports Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestune.sdk.axes import Axis

if TYPE_CHECKING:
    from orchestune import documents

Figure = dict[str, Any]
"""`data` and `layout`, as `plotly.graph_objects.Figure` takes them"""

STATES = {
    "completed": "#0072B2", "succeeded": "#0072B2", "running": "#56B4E9", "leased": "#56B4E9", "failed": "#D55E00",
    "pruned": "#CC79A7", "lost": "#E69F00", "preempted": "#F0E442", "cancelled": "#999999",
}  # fmt: skip
"""colours of Okabe and Ito, which colour-blind people tell apart"""
_BEST, _QUIET = "#009E73", "#999999"
_SCALE = "Viridis"


def history(found: documents.Columns, metric: documents.Metric, first: bool) -> Figure:
    """Every trial's value by its number, and the best one so far where this is the `first` metric."""
    values = found["metrics"].get(metric["name"], [])
    data: list[Figure] = []
    for state in ("completed", "pruned"):
        chosen = [i for i, value in enumerate(values) if value is not None and found["state"][i] == state]
        if chosen:
            data.append(
                _points([found["number"][i] for i in chosen], [values[i] for i in chosen], state, STATES[state])
            )
    if first and found["best"]["number"]:
        numbers, best = [*found["best"]["number"]], [*found["best"]["value"]]
        last = max(found["number"], default=numbers[-1])
        data.append({"type": "scatter", "mode": "lines", "name": "best so far", "x": [*numbers, max(last, numbers[-1])],
                     "y": [*best, best[-1]], "line": {"color": _BEST, "shape": "hv", "width": 2}})  # fmt: skip
    return _figure(data, f"History{_sample(found)}", "trial", metric["name"])


def importance(found: documents.Importance) -> Figure:
    """How much each parameter matters, the most important one on top."""
    weights = sorted(found["parameters"], key=lambda weight: weight["importance"])
    bars = {"type": "bar", "orientation": "h", "x": [weight["importance"] for weight in weights],
            "y": [weight["name"] for weight in weights], "marker": {"color": STATES["completed"]}}  # fmt: skip
    figure = _figure([bars], f"Importance for {found['metric']}", "share of the variance", "")
    figure["layout"]["yaxis"]["type"] = "category"
    return figure


def parallel(found: documents.Columns, metric: documents.Metric, axes: Sequence[Axis]) -> Figure:
    """Each completed trial as a line through its values; brushed along any axis."""
    values = found["metrics"].get(metric["name"], [])
    chosen = [i for i, value in enumerate(values) if value is not None]
    shown = [values[i] for i in chosen]
    dimensions = [axis.dimension([found["parameters"][axis.name][i] for i in chosen]) for axis in axes]
    dimensions.append({"label": metric["name"], "values": shown})
    line = {"color": shown, "colorscale": _SCALE, "reversescale": metric["goal"] == "minimize", "showscale": True}
    figure = _figure([{"type": "parcoords", "line": line, "dimensions": dimensions}], "", "", "")
    figure["layout"] = {"title": {"text": f"Parallel coordinates{_sample(found)}"}}
    return figure


def slices(found: documents.Columns, metric: documents.Metric, axes: Sequence[Axis]) -> Figure:
    """The metric over each parameter, side by side; colours tell early trials from late ones."""
    values = found["metrics"].get(metric["name"], [])
    figure = _figure([], f"Slices{_sample(found)}", "", metric["name"])
    gap = 0.02 if len(axes) > 1 else 0.0
    width = (1 - gap * (len(axes) - 1)) / max(len(axes), 1)
    for index, axis in enumerate(axes):
        column = found["parameters"][axis.name]
        chosen = [i for i, value in enumerate(values) if value is not None and column[i] is not None]
        name = "" if index == 0 else str(index + 1)
        points = _points([column[i] for i in chosen], [values[i] for i in chosen], axis.name, "")
        points["marker"] = {"color": [found["number"][i] for i in chosen], "colorscale": _SCALE, "size": 6,
                            "showscale": index == 0, "colorbar": {"title": {"text": "trial"}}}  # fmt: skip
        figure["data"].append(points | {"xaxis": f"x{name}", "yaxis": "y", "showlegend": False,
                                        "text": [f"trial {found['number'][i]}" for i in chosen]})  # fmt: skip
        left = index * (width + gap)
        figure["layout"][f"xaxis{name}"] = {"title": {"text": axis.name}, "type": axis.kind,
                                            "domain": [left, min(left + width, 1.0)]}  # fmt: skip
    return figure


def contour(mean: documents.Contour, found: documents.Columns, metric: documents.Metric, x: Axis, y: Axis) -> Figure:
    """The metric over two parameters: the mean of the trials around each place, and the trials themselves."""
    values = found["metrics"].get(metric["name"], [])
    across, up = found["parameters"][x.name], found["parameters"][y.name]
    chosen = [i for i, value in enumerate(values) if value is not None and across[i] is not None and up[i] is not None]
    columns = {"x": [across[i] for i in chosen], "y": [up[i] for i in chosen]}
    lines = {"type": "contour", "x": mean["across"], "y": mean["up"], "z": mean["values"], "connectgaps": False,
             "colorscale": _SCALE, "reversescale": metric["goal"] == "minimize",
             "colorbar": {"title": {"text": metric["name"]}}}  # fmt: skip
    points = _points(columns["x"], columns["y"], "trials", _QUIET)
    points |= {"text": [f"trial {found['number'][i]}: {values[i]:g}" for i in chosen], "showlegend": False}
    title = f"{x.name} and {y.name}, the mean of {mean['trials']:,} trials"
    figure = _figure([lines, points], title, x.name, y.name)
    figure["layout"]["xaxis"]["type"], figure["layout"]["yaxis"]["type"] = x.kind, y.kind
    return figure


def pareto(found: documents.Columns, x: documents.Metric, y: documents.Metric) -> Figure:
    """Two metrics against each other; no trial is better in all of them than one of the front."""
    across, up = found["metrics"].get(x["name"], []), found["metrics"].get(y["name"], [])
    front = set(found["front"])
    data = []
    for name, colour, wanted in (("other trials", _QUIET, False), ("Pareto front", _BEST, True)):
        chosen = [
            i
            for i, number in enumerate(found["number"])
            if across[i] is not None and up[i] is not None and (number in front) is wanted
        ]
        chosen.sort(key=lambda i: (across[i] or 0.0, up[i] or 0.0))
        points = _points([across[i] for i in chosen], [up[i] for i in chosen], name, colour)
        points["text"] = [f"trial {found['number'][i]}" for i in chosen]
        data.append(points)
    return _figure(data, f"Pareto front{_sample(found)}", x["name"], y["name"])


def hypervolume(found: documents.Hypervolume) -> Figure:
    """How much of the space between several metrics was covered, trial by trial."""
    line = {"type": "scatter", "mode": "lines+markers", "name": "hypervolume", "x": found["finished"],
            "y": found["value"], "text": [f"trial {number}" for number in found["number"]],
            "line": {"color": _BEST, "shape": "hv", "width": 2}}  # fmt: skip
    title = f"Hypervolume of {' and '.join(found['metrics'])}"
    return _figure([line], title, "finished trials", "hypervolume")


def curves(found: documents.Curves, best: int | None) -> Figure:
    """What trials reported while they ran; those that were pruned are dotted, the best one is drawn above all."""
    data = []
    named = set[str]()
    for item in sorted(found["items"], key=lambda item: item["trial"] == best):
        name = "best" if item["trial"] == best else item["state"]
        width, dash = (3 if name == "best" else 1), ("dot" if item["state"] == "pruned" else "solid")
        colour = _BEST if name == "best" else STATES.get(item["state"], _QUIET)
        data.append({
            "type": "scatter", "mode": "lines+markers" if len(item["points"]) < 2 else "lines",
            "x": [point[0] for point in item["points"]], "y": [point[1] for point in item["points"]],
            "name": name, "legendgroup": name, "showlegend": name not in named, "text": f"trial {item['trial']}",
            "line": {"color": colour, "dash": dash, "width": width}, "opacity": 1.0 if name == "best" else 0.6,
        })  # fmt: skip
        named.add(name)
    return _figure(data, f"{len(found['items'])} curves", "step", found["metric"])


def timeline(found: documents.Timeline, now: str) -> Figure:
    """When and where attempts ran, a row for each worker; what still runs reaches to `now`."""
    data = []
    for state in sorted({item["state"] for item in found["items"]}):
        items = [item for item in found["items"] if item["state"] == state]
        data.append({
            "type": "bar", "orientation": "h", "name": state, "marker": {"color": STATES.get(state, _QUIET)},
            "base": [item["leased_at"] for item in items], "y": [item["worker"] or "" for item in items],
            "x": [_milliseconds(item["leased_at"], item["finished_at"] or now) for item in items],
            "text": [f"trial {item['trial']}" for item in items], "textposition": "none",
        })  # fmt: skip
    title = f"The newest {len(found['items'])} attempts" if found["more"] else "Attempts"
    figure = _figure(data, title, "", "worker")
    figure["layout"] |= {"barmode": "overlay", "xaxis": {"type": "date"}}
    figure["layout"]["yaxis"]["type"] = "category"
    return figure


def _milliseconds(begin: str, end: str) -> float:
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 0.001) * 1000


def _points(x: Sequence[Any], y: Sequence[Any], name: str, colour: str) -> Figure:
    marker = {"size": 6, **({"color": colour} if colour else {})}
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "marker": marker}


def _sample(found: documents.Columns) -> str:
    """Says where not all of them are drawn."""
    return f": {found['shown']:,} of {found['total']:,} trials" if found["shown"] < found["total"] else ""


def _figure(data: list[Figure], title: str, x: str, y: str) -> Figure:
    axes: Mapping[str, Any] = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    return {"data": data, "layout": {"title": {"text": title}, "template": "plotly_white", **axes}}
