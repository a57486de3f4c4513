"""Figures of Plotly as panels that any library can draw: axes, and layers of points, steps, bars, spans or cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

Document = dict[str, Any]
WIDTH = 1240
_SCALE = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")


def panels(figures: Sequence[Document]) -> list[Document]:
    """One for each pair of axes, in the order of the figures."""
    return [panel for figure in figures for panel in _of(figure)]


def _of(figure: Document) -> Iterator[Document]:
    title, traces = figure["layout"]["title"]["text"], figure["data"]
    if traces[0]["type"] == "parcoords":
        color = _shades(traces[0]["line"]["color"])
        dimensions = traces[0]["dimensions"]
        yield {"kind": "parallel", "title": title, "width": WIDTH, "dimensions": dimensions, "color": color}
        return
    axes = sorted({trace.get("xaxis", "x") for trace in traces})
    for name in axes:
        panel_traces = [trace for trace in traces if trace.get("xaxis", "x") == name]
        layers = [_layer(trace) for trace in panel_traces]
        x = _axis(figure["layout"].get(name.replace("x", "xaxis"), {}), [v for each in panel_traces for v in each["x"]])
        y = _axis(figure["layout"]["yaxis"], [v for each in panel_traces for v in each["y"]])
        if layers[0]["kind"] == "spans":
            x["type"] = "date"
        width = WIDTH // len(axes)
        yield {"kind": "plane", "title": f"{title} {x['name']}", "width": width, "x": x, "y": y, "layers": layers}


def _axis(layout: Document, values: Sequence[Any]) -> Document:
    words = [value for value in dict.fromkeys(values) if isinstance(value, str)]
    kind = layout.get("type", "linear")
    axis = {"name": layout.get("title", {}).get("text", ""), "type": kind}
    return {**axis, "categories": words} if kind == "category" else axis


def _layer(trace: Document) -> Document:
    x, y = trace["x"], trace["y"]
    color = (trace.get("marker") or trace.get("line") or {}).get("color")
    if trace["type"] == "contour":
        return {"kind": "cells", "x": x, "y": y, "columns": x, "rows": y, "z": trace["z"],
                "color": [_shades(row) for row in trace["z"]]}  # fmt: skip
    if "base" in trace:
        begun = [1000 * datetime.fromisoformat(text).timestamp() for text in trace["base"]]
        until = [begin + lasted for begin, lasted in zip(begun, x, strict=True)]
        return {"kind": "spans", "x": begun, "until": until, "y": y, "color": color}
    kind = {"bar": "bars"}.get(trace["type"], "steps" if trace.get("mode") == "lines" else "points")
    return {"kind": kind, "x": x, "y": y, "color": _shades(color) if isinstance(color, list) else color}


def _shades(values: Sequence[float | None]) -> list[str]:
    """A colour for each value."""
    numbers = [value for value in values if value is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    most = len(_SCALE) - 1
    parts = [0.0 if value is None else (value - low) / ((high - low) or 1) for value in values]
    return [_SCALE[round(part * most)] for part in parts]
