"""Versions of the learning engines, determined without importing their libraries."""

from __future__ import annotations

from importlib.metadata import version


def version_of(name: str) -> str:
    """Return the version of an engine: another version may answer the same history differently."""
    return {
        "auto": f"15/optuna-{version('optuna')}/scipy-{version('scipy')}",
        "gp": f"15/scipy-{version('scipy')}",
        "cma": f"7/cmaes-{version('cmaes')}",
        "evolution": f"9/numpy-{version('numpy')}",
        "swarm": f"7/numpy-{version('numpy')}",
        "tpe": f"9/optuna-{version('optuna')}",
    }[name]
