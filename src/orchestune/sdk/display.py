"""How an experiment shows itself in a notebook, and that it keeps itself up to date there while somebody waits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestune.client.states import finished

if TYPE_CHECKING:
    from orchestune import documents


_ROWS = 12


def as_html(status: documents.Status) -> str:
    """A bar of the budget, what is running, and the best so far."""
    counts, budget, done = status["counts"], status["budget"], finished(status)
    parts = [f"{done} of {budget} trials", *(f"{counts[name]} {name}" for name in _SHOWN if counts[name])]  # type: ignore[literal-required]
    reason = f" — {escape(status['reason']['message'])}" if status["reason"] else ""
    bar = f'<progress value="{done}" max="{budget}" style="width:24em"></progress>'
    head = f"<b>{escape(status['handle'])}</b> {escape(status['state'])}{reason}<br>{bar} {', '.join(parts)}"
    return f"<div>{head}{_best(status)}</div>"


_SHOWN = ("running", "queued", "failed", "pruned")


def as_text(status: documents.Status) -> str:
    """The same on one line."""
    return f"<Experiment {status['handle']}: {status['state']}, {finished(status)} of {status['budget']} trials>"


class LiveDisplay:
    """A status as a notebook shows it."""

    def __init__(self, status: documents.Status) -> None:
        self._status = status

    def _repr_html_(self) -> str:
        return as_html(self._status)

    def __repr__(self) -> str:
        return as_text(self._status)


def live_display(shown: Any) -> Callable[[Any], None]:
    """In a notebook: show `shown` now and return what shows another state in its place. Elsewhere: does nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return lambda other: None
    display = import_module("IPython.display").display  # loaded already, in a notebook
    handle = display(shown, display_id=True)
    return handle.update  # type: ignore[no-any-return]


def _best(status: documents.Status) -> str:
    if not status["best"]:
        return ""
    best = status["best"][0]
    values = {**{name: found["value"] for name, found in best["metrics"].items()}, **best["parameters"]}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(f'{value:.6g}' if isinstance(value, float) else str(value))}</td></tr>"
        for name, value in list(values.items())[:_ROWS]
    )
    return f"<table><caption>best: trial {best['trial']}</caption>{rows}</table>"
