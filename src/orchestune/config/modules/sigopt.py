"""In the place of SigOpt's client: a script that asks it gets the parameters of its trial, and its metrics are taken.

It goes with the code of such a project, or `orchestune init --from` writes it beside it. It needs nothing but Python,
so it works wherever the script runs.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any, NoReturn


class _Params(MutableMapping):  # type: ignore[type-arg]  # Python 3.8 has no arguments there
    """The trial's parameters, which are fixed, and whatever the script sets besides."""

    _fixed: dict[str, Any]
    _own: dict[str, Any]

    def __init__(self) -> None:
        vars(self).update(_fixed={}, _own={})
        path = os.environ.get("ORCHESTUNE_PARAMS")
        if path:
            with open(path, encoding="utf-8") as file:
                self._fixed.update(json.load(file))

    def __getitem__(self, name: str) -> Any:
        return self._fixed[name] if name in self._fixed else self._own[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._fixed:
            raise ValueError(f"value of {name!r} cannot be changed")
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._own, **self._fixed})

    def __len__(self) -> int:
        return len({**self._own, **self._fixed})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no parameter with name {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def setdefaults(self, *defaults: Any, **named: Any) -> _Params:
        """Values of parameters that the trial does not set."""
        for name, value in dict(*defaults, **named).items():
            self.setdefault(name, value)
        return self

    def __repr__(self) -> str:
        return repr(dict(self))


params = _Params()
_checkpoints = [0]


def get_parameter(name: str, default: Any = None) -> Any:
    """Return the value of a parameter."""
    return params.get(name, default)


def _report(document: dict[str, Any]) -> None:
    path = os.environ.get("ORCHESTUNE_METRICS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(json.dumps(document) + "\n")


def log_metric(name: str, value: float, stddev: float | None = None) -> None:
    """Report a metric of the trial."""
    document = {"name": name, "value": float(value)}
    if stddev is not None:
        document["stddev"] = float(stddev)
    _report(document)


def log_metrics(*metrics: Any, **named: float) -> None:
    """Report several metrics."""
    for name, value in dict(*metrics, **named).items():
        log_metric(name, value)


def log_checkpoint(values: dict[str, float]) -> None:
    """Report metrics on the way."""
    _checkpoints[0] += 1
    _report({"step": _checkpoints[0], **{name: float(value) for name, value in values.items()}})


def log_failure() -> None:
    """Mark the trial as failed, even if the script exits with 0."""
    atexit.register(_fail)


def _fail() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _ignored(*_: Any, **__: Any) -> None:
    """Has no counterpart."""


log_dataset = log_image = log_metadata = log_model = set_project = _ignored


class _Run:
    """A run within the script: the trial itself."""

    params = params
    get_parameter = staticmethod(get_parameter)
    log_metric, log_metrics = staticmethod(log_metric), staticmethod(log_metrics)
    log_checkpoint, log_failure = staticmethod(log_checkpoint), staticmethod(log_failure)
    log_dataset = log_image = log_metadata = log_model = end = staticmethod(_ignored)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def create_run(*_: Any, **__: Any) -> _Run:
    """Return the trial of this process."""
    return _Run()


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"sigopt.{name}: that service is gone; Orchestune drives the search, from experiment.yml")
