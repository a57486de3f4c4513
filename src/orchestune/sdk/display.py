"""Display of an experiment in a notebook, updated while a call waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestune.client.states import finished

if TYPE_CHECKING:
    from orchestune import documents


_MAX_ROWS = 12


def as_html(status: documents.Status) -> str:
    """Render a progress bar of the budget, the trial counts, and the best trial.

    Numbers are escaped too: scripts in a notebook can run code, and the server need not be trusted.
    """
    counts, budget, done = status["counts"], status["budget"], finished(status)
    parts = [f"{done} of {budget} trials", *(f"{counts[name]} {name}" for name in _STATES_SHOWN if counts[name])]  # type: ignore[literal-required]
    reason = f" — {escape(status['reason']['message'])}" if status["reason"] else ""
    bar = f'<progress value="{escape(str(done))}" max="{escape(str(budget))}" style="width:24em"></progress>'
    head = f"<b>{escape(status['handle'])}</b> {escape(status['state'])}{reason}<br>{bar} {escape(', '.join(parts))}"
    return f"<div>{head}{_best(status)}</div>"


_STATES_SHOWN = ("running", "queued", "failed", "pruned")


def as_text(status: documents.Status) -> str:
    """Format the status on one line."""
    return f"<Experiment {status['handle']}: {status['state']}, {finished(status)} of {status['budget']} trials>"


class LiveDisplay:
    """A status with its notebook representation."""

    def __init__(self, status: documents.Status) -> None:
        self._status = status

    def _repr_html_(self) -> str:
        return as_html(self._status)

    def __repr__(self) -> str:
        return as_text(self._status)


def live_display(view: Any) -> Callable[[Any], None]:
    """Display `view` in a notebook cell, and return a function that replaces it by another view.

    Does nothing elsewhere.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return lambda other: None
    display = import_module("IPython.display").display  # already loaded in a notebook
    handle = display(view, display_id=True)
    return handle.update  # type: ignore[no-any-return]


def _best(status: documents.Status) -> str:
    if not status["best"]:
        return ""
    best = status["best"][0]
    values = {**{name: metric["value"] for name, metric in best["metrics"].items()}, **best["parameters"]}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(f'{value:.6g}' if isinstance(value, float) else str(value))}</td></tr>"
        for name, value in list(values.items())[:_MAX_ROWS]
    )
    return f"<table><caption>best: trial {escape(str(best['trial']))}</caption>{rows}</table>"
