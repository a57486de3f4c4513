"""Names of the engines, and the options that a user may set for each."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = ("auto", "gp", "tpe", "cma", "evolution", "swarm", "random", "sobol", "halton", "latin", "grid")
LEARNERS = ("auto", "gp", "tpe", "cma", "evolution", "swarm")
"""engines whose suggestions depend on results"""
OPTIONS: Mapping[str, Mapping[str, int]] = {
    "auto": {"startup": 1, "candidates": 1, "history": 50},
    "cma": {"startup": 1, "population": 4},
    "evolution": {"population": 4},
    "gp": {"startup": 2, "history": 20},
    "latin": {"size": 2},
    "swarm": {"particles": 2},
    "tpe": {"startup": 1, "candidates": 1, "history": 50},
}
"""minimum of each option, all of them whole numbers; the other engines have none"""
OPTION_MAXIMUMS: Mapping[str, int] = {
    "startup": 100_000,
    "candidates": 1000,
    "history": 5000,
    "population": 10_000,
    "particles": 10_000,
    "size": 10_000,
}
"""maximum of each option: all experiments share the process, and their engines take turns computing"""
MAX_HYPERCUBE_NUMBERS = 1_000_000
"""maximum of `size` times the parameters: a hypercube is in the server's memory"""
MAX_HALTON_PARAMETERS = 200
"""a sequence takes memory of the server that grows with their square, and is uneven long before"""
