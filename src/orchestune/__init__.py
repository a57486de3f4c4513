"""Orchestune: hyperparameter optimization in parallel on any machine or cluster, with one file.

Inside a training script: `orchestune.report(accuracy=0.92, step=3)`. Importing this costs next to nothing; what is
used is loaded when it is used.
"""

__version__ = "0.1.0"
__all__ = ["Optimizer", "__version__", "report"]

_HOMES = {
    "Optimizer": "orchestune.sdk.optimizer",
    "report": "orchestune.sdk.reporting",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module  # only a name that is used is loaded

        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'orchestune' has no attribute {name!r}")
