"""The versions of the engines that learn, without the libraries they come from."""

from __future__ import annotations

from importlib.metadata import version


def version_of(name: str) -> str:
    """What the same history, told to another version, may be answered differently by."""
    return {
        "auto": f"14/optuna-{version('optuna')}/scipy-{version('scipy')}",
        "gp": f"14/scipy-{version('scipy')}",
        "cma": f"6/cmaes-{version('cmaes')}",
        "evolution": f"8/numpy-{version('numpy')}",
        "swarm": f"6/numpy-{version('numpy')}",
        "tpe": f"8/optuna-{version('optuna')}",
    }[name]
