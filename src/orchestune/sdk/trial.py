"""A trial as Python sees it: what was tried and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestune.client.attempts import decisive, seconds
from orchestune.errors import UsageError
from orchestune.sdk.parameters import Params

if TYPE_CHECKING:
    import pandas as pd  # for the annotation alone: most users of this have no use for it

    from orchestune import documents


@dataclass(frozen=True)
class Trial:
    """One configuration and its outcome.

    `state` is `queued`, `running`, `completed`, `failed`, `pruned` or `cancelled`; `source` is what suggested it, such
    as `gp`, `tpe` or `user`; `error` is why it failed, with the last lines of its output: a traceback stands there.
    `seconds` is for how long its attempts ran, all tries together, those side by side (folds) counted once.

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
    """From the server's document."""
    measured = document["metrics"]
    return Trial(
        document["number"],
        document["state"],
        Params(document["parameters"]),
        {name: value["value"] for name, value in measured.items()},
        {name: value["stddev"] for name, value in measured.items() if value["stddev"] is not None},
        document["source"],
        _error(document),
        seconds(document),
    )


def frame(trials: Iterable[Trial], folds: int = 1) -> pd.DataFrame:
    """A row per trial; columns `state`, `source`, `params.NAME`, `metrics.NAME`, `seconds`, `error`, by number.

    Beside them, as an export has them: `metrics.NAME.stddev` where one was told, and `folds` where there are several. A
    warm start takes values without these for exact ones.

    UsageError where pandas is not installed.
    """
    try:
        import pandas as pd  # heavy, and only wanted here
    except ImportError as exc:
        raise UsageError("trials() makes a pandas DataFrame, and pandas is not installed",
                         "pip install pandas; results() is a list and needs nothing") from exc  # fmt: skip
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "source": trial.source,
            **{f"params.{name}": value for name, value in trial.parameters.items()},
            **_measured(trial),
            "seconds": trial.seconds,
            "error": trial.error,
            **({"folds": folds} if folds > 1 else {}),
        }
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=None if rows else ["number"]).set_index("number")


def _measured(trial: Trial) -> dict[str, float]:
    """Columns of its metrics, each with what was told of its noise."""
    found: dict[str, float] = {}
    for name, value in trial.metrics.items():
        found[f"metrics.{name}"] = value
        if name in trial.stddev:
            found[f"metrics.{name}.stddev"] = trial.stddev[name]
    return found


def _error(document: documents.Trial) -> str | None:
    if document["state"] != "failed":
        return None
    reason = document["reason"]
    attempt = decisive(document)
    cause = (attempt["reason"] if attempt else None) or reason
    tail = (attempt.get("tail") if attempt else None) or ""
    return "\n".join(part for part in (cause["message"] if cause else "failed", tail.rstrip()) if part)
