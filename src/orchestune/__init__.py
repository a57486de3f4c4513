"""Orchestune: hyperparameter optimization in parallel on any machine or cluster, with one file.

Inside a training script: `orchestune.report(accuracy=0.92, step=3)`. Importing this costs next to nothing; what is
used is loaded when it is used.
"""

__version__ = "0.1.0"
"""the only place of the version"""

_HOMES = {
    "Experiment": "orchestune.sdk.experiments",
    "OpenTrial": "orchestune.sdk.asked_trials",
    "Optimizer": "orchestune.sdk.optimizer",
    "Params": "orchestune.sdk.parameters",
    "Trial": "orchestune.sdk.trial",
    "checkpoint_dir": "orchestune.sdk.trial_files",
    "log_artifact": "orchestune.sdk.trial_files",
    "params": "orchestune.sdk.parameters",
    "report": "orchestune.sdk.reporting",
    "should_stop": "orchestune.sdk.trial_end",
    "tune": "orchestune.sdk.tuning",
    "tune_async": "orchestune.sdk.tuning",
}
"""where each public name lives; `__init__.pyi` tells the same to type checkers and editors"""
__all__ = ["__version__", *_HOMES]
_UNIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios")
"""modules of the standard library that native Windows lacks"""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module  # only a name that is used is loaded

        try:
            value = getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as exc:
            if exc.name not in _UNIX_ONLY:
                raise
            from orchestune.system import platform  # within a trial, where it is missing, these modules are there

            raise ImportError(f"{platform.WINDOWS}; {platform.WSL}") from exc
        globals()[name] = value
        return value
    raise AttributeError(f"module 'orchestune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
