"""Versions of the learning engines, determined without importing their libraries."""

from __future__ import annotations

from importlib.metadata import version


def version_of(name: str) -> str:
    """Return the version of an engine: another version may answer the same history differently."""
    return {
        "auto": f"14/optuna-{version('optuna')}/scipy-{version('scipy')}",
        "gp": f"14/scipy-{version('scipy')}",
        "cma": f"6/cmaes-{version('cmaes')}",
        "evolution": f"8/numpy-{version('numpy')}",
        "swarm": f"6/numpy-{version('numpy')}",
        "tpe": f"8/optuna-{version('optuna')}",
    }[name]
