"""Trials with their parameters and results, for Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestune.client.attempts import decisive, seconds
from orchestune.errors import UsageError
from orchestune.sdk.parameters import Params

if TYPE_CHECKING:
    import pandas as pd  # only for annotations: most users do not need pandas

    from orchestune import documents


@dataclass(frozen=True)
class Trial:
    """One configuration and its outcome.

    `state` is `queued`, `running`, `completed`, `failed`, `pruned` or `cancelled`; `source` is the sampler that
    suggested it, such as `gp` or `tpe`, or `user`; `error` is the reason of a failure with the
    log tail, including a traceback. `seconds` is the total run time of its attempts; parallel attempts (folds) are
    counted once.

    >>> import orchestune
    >>> experiment = orchestune.tune(lambda x: -x, {"x": [1, 2]}, {"y": "maximize"}, budget=2)
    >>> trial = experiment.best()
    >>> trial.state, trial.parameters, trial.metrics
    ('completed', {'x': 1}, {'y': -1.0})
    >>> trial.parameters.x
    1
    >>> trial.error is None and trial.seconds > 0
    True
    """

    number: int
    state: str
    parameters: Params
    metrics: Mapping[str, float]
    stddev: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    error: str | None = None
    seconds: float | None = None


def trial_of(document: documents.Trial) -> Trial:
    """Convert the server's document of a trial."""
    metrics = document["metrics"]
    return Trial(
        document["number"],
        document["state"],
        Params(document["parameters"]),
        {name: value["value"] for name, value in metrics.items()},
        {name: value["stddev"] for name, value in metrics.items() if value["stddev"] is not None},
        document["source"],
        _error(document),
        seconds(document),
    )


def frame(trials: Iterable[Trial], folds: int = 1) -> pd.DataFrame:
    """Return a DataFrame with a row per trial, by number.

    Columns are `state`, `source`, `params.NAME`, `metrics.NAME`, `seconds` and `error`.

    As in an export, also `metrics.NAME.stddev` if it was reported, and `folds` if there are several. Without these
    columns, a warm start treats values as exact.

    Raises UsageError if pandas is not installed.
    """
    try:
        import pandas as pd  # slow to import, and only needed here
    except ImportError as exc:
        raise UsageError("trials() returns a pandas DataFrame, and pandas is not installed",
                         "install it with `pip install pandas`, or use the list of results()") from exc  # fmt: skip
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "source": trial.source,
            **{f"params.{name}": value for name, value in trial.parameters.items()},
            **_metric_columns(trial),
            "seconds": trial.seconds,
            "error": trial.error,
            **({"folds": folds} if folds > 1 else {}),
        }
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=None if rows else ["number"]).set_index("number")


def _metric_columns(trial: Trial) -> dict[str, float]:
    """Return the columns of a trial's metrics and their standard deviations."""
    columns: dict[str, float] = {}
    for name, value in trial.metrics.items():
        columns[f"metrics.{name}"] = value
        if name in trial.stddev:
            columns[f"metrics.{name}.stddev"] = trial.stddev[name]
    return columns


def _error(document: documents.Trial) -> str | None:
    if document["state"] != "failed":
        return None
    reason = document["reason"]
    attempt = decisive(document)
    cause = (attempt["reason"] if attempt else None) or reason
    tail = (attempt.get("tail") if attempt else None) or ""
    return "\n".join(part for part in (cause["message"] if cause else "failed", tail.rstrip()) if part)
