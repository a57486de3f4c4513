"""What every engine is called, and the options that a user may set of it."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = ("auto", "gp", "tpe", "cma", "evolution", "swarm", "random", "sobol", "halton", "latin", "grid")
LEARNERS = ("auto", "gp", "tpe", "cma", "evolution", "swarm")
"""those that results make a difference to"""
OPTIONS: Mapping[str, Mapping[str, int]] = {
    "auto": {"startup": 1, "candidates": 1, "history": 50},
    "cma": {"startup": 1, "population": 4},
    "evolution": {"population": 4},
    "gp": {"startup": 2, "history": 20},
    "latin": {"size": 2},
    "swarm": {"particles": 2},
    "tpe": {"startup": 1, "candidates": 1, "history": 50},
}
"""whole numbers all, each with the least that it may be; the other engines have none"""
MOST: Mapping[str, int] = {
    "startup": 100_000,
    "candidates": 1000,
    "history": 5000,
    "population": 10_000,
    "particles": 10_000,
    "size": 10_000,  # the points of a hypercube are in the server's memory, one number for each parameter
}
"""the most that each option may be: all experiments share the process and the turns in which engines compute"""
