"""Numbers beside categories, and parameters that others switch on."""

from __future__ import annotations

import math

from benchmarks.search.problem import Problem
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space


def network(c: Configuration) -> float:
    """Which rate is best depends on the optimizer and on the batch; one activation is best, by little."""
    centre = {"sgd": -1.2, "momentum": -2.0, "adam": -3.1, "rmsprop": -2.8}[str(c["optimizer"])]
    rate = math.log10(float(c["rate"])) - centre - 0.3 * (math.log2(float(c["batch"])) - 5) / 5
    level = {"sgd": 0.12, "momentum": 0.05, "adam": 0.0, "rmsprop": 0.07}[str(c["optimizer"])]
    bend = {"relu": 0.02, "gelu": 0.0, "tanh": 0.15}[str(c["activation"])]
    width = math.log2(float(c["width"])) - 8.0
    depth = float(c["layers"]) - 4 + (0.5 if c["activation"] == "tanh" else 0.0)
    return level + bend + 0.35 * rate**2 + 0.03 * width**2 + 0.025 * depth**2 + 0.8 * (float(c["dropout"]) - 0.2) ** 2


def crossed(c: Configuration) -> float:
    """The place of the best number depends on two categories together."""
    first, second = "abcde".index(str(c["first"])), "pqrs".index(str(c["second"]))
    target = ((first * 7 + second * 3) % 10) / 10 + 0.05
    height = ((first * 3 + second * 5) % 7) / 10
    x, n = float(c["x"]), float(c["n"])
    return height + 4 * (x - target) ** 2 + (n - 3 - 2 * second) ** 2 / 100 + 0.1 * abs(float(c["y"]) - x)


def forest(c: Configuration) -> float:
    """Whole numbers, most of them with a best value inside, and flags."""
    trees, leaf, deep = math.log2(float(c["trees"])), float(c["leaf"]), float(c["depth"])
    loss = 0.3 * math.exp(-trees / 3) + 0.01 * abs(leaf - 3) + 0.004 * (deep - 12) ** 2
    loss += 0.2 * (float(c["features"]) - 0.35) ** 2 + (0.0 if c["bootstrap"] else 0.03)
    loss += {"gini": 0.01, "entropy": 0.0, "log": 0.02}[str(c["criterion"])]
    return loss + (0.05 if c["bootstrap"] and leaf > 10 else 0.0) - 0.3 * math.exp(-4)


def branches(c: Configuration) -> float:
    """Three models with parameters of their own; the third is best, in a small region."""
    loss = (math.log10(float(c["rate"])) + 3) ** 2 / 10
    if c["model"] == "linear":
        return 1.0 + loss + (float(c["penalty"]) - 0.5) ** 2
    if c["model"] == "trees":
        return 0.8 + loss + abs(float(c["depth"]) - 7) / 20
    return loss + abs(float(c["layers"]) - 5) / 10 + 5 * (float(c["dropout"]) - 0.13) ** 2


def pipeline(c: Configuration) -> float:
    """Conditions on conditions: a branch that looks worse at first holds the best."""
    loss = 0.1 if c["scale"] else 0.0
    if c["model"] == "kernel":
        loss += 0.3 + 0.1 * (math.log10(float(c["c"])) - 1) ** 2
        if c["kernel"] == "rbf":
            return loss + 0.15 * (math.log10(float(c["gamma"])) + 2) ** 2
        return loss + 0.1 * abs(float(c["degree"]) - 3) + 0.1
    loss += 0.04 * (math.log2(float(c["rounds"])) - 8) ** 2 + 0.5 * (math.log10(float(c["shrinkage"])) + 1.5) ** 2
    if c["booster"] == "dart":
        return loss + 3 * (float(c["skip"]) - 0.4) ** 2
    return loss + 0.12 + 0.02 * abs(float(c["leaves"]) - 31) / 10


def training(c: Configuration) -> float:
    """An optimizer and a schedule, each with parameters of its own beside those of all."""
    rate = math.log10(float(c["rate"]))
    if c["optimizer"] == "sgd":
        loss = 0.08 + 0.1 * (rate + 1) ** 2 + 0.6 * (float(c["momentum"]) - 0.85) ** 2
        loss += 0.0 if c["nesterov"] else 0.02
    else:
        loss = 0.1 * (rate + 2.8) ** 2 + 0.1 * (math.log10(1 - float(c["beta2"])) + 2.2) ** 2
    if c["schedule"] == "cosine":
        return loss + 2 * (float(c["warmup"]) - 0.08) ** 2
    if c["schedule"] == "steps":
        return loss + 0.04 + 0.2 * abs(float(c["gamma"]) - 0.3) + 0.01 * abs(float(c["drops"]) - 3)
    return loss + 0.12


_NETWORK = Space.of(
    (
        Parameter("optimizer", "categorical", choices=("sgd", "momentum", "adam", "rmsprop")),
        Parameter("activation", "categorical", choices=("relu", "gelu", "tanh")),
        Parameter("rate", "float", 1e-6, 1.0, log=True),
        Parameter("batch", "int", 8, 512, log=True),
        Parameter("width", "int", 16, 1024, log=True),
        Parameter("layers", "int", 1, 10),
        Parameter("dropout", "float", 0.0, 0.8),
    )
)
_CROSSED_SPACE = Space.of(
    (
        Parameter("first", "categorical", choices=("a", "b", "c", "d", "e")),
        Parameter("second", "categorical", choices=("p", "q", "r", "s")),
        Parameter("x", "float", 0.0, 1.0),
        Parameter("y", "float", 0.0, 1.0),
        Parameter("n", "int", 0, 12),
    )
)
_FOREST = Space.of(
    (
        Parameter("trees", "int", 8, 4096, log=True),
        Parameter("depth", "int", 1, 32),
        Parameter("leaf", "int", 1, 20),
        Parameter("features", "float", 0.05, 1.0, step=0.05),
        Parameter("bootstrap", "bool", choices=(False, True)),
        Parameter("criterion", "categorical", choices=("gini", "entropy", "log")),
    )
)
_BRANCHES = Space.of(
    (
        Parameter("model", "categorical", choices=("linear", "trees", "net")),
        Parameter("rate", "float", 1e-6, 1.0, log=True),
        Parameter("penalty", "float", 0.0, 1.0, when=(("model", ("linear",)),)),
        Parameter("depth", "int", 1, 30, when=(("model", ("trees",)),)),
        Parameter("layers", "int", 1, 16, log=True, when=(("model", ("net",)),)),
        Parameter("dropout", "float", 0.0, 0.9, when=(("model", ("net",)),)),
    )
)
_PIPELINE = Space.of(
    (
        Parameter("scale", "bool", choices=(False, True)),
        Parameter("model", "categorical", choices=("kernel", "boosting")),
        Parameter("kernel", "categorical", choices=("rbf", "poly"), when=(("model", ("kernel",)),)),
        Parameter("c", "float", 1e-3, 1e3, log=True, when=(("model", ("kernel",)),)),
        Parameter("gamma", "float", 1e-5, 1e1, log=True, when=(("kernel", ("rbf",)),)),
        Parameter("degree", "int", 1, 6, when=(("kernel", ("poly",)),)),
        Parameter("booster", "categorical", choices=("plain", "dart"), when=(("model", ("boosting",)),)),
        Parameter("rounds", "int", 10, 2000, log=True, when=(("model", ("boosting",)),)),
        Parameter("shrinkage", "float", 1e-4, 1.0, log=True, when=(("model", ("boosting",)),)),
        Parameter("skip", "float", 0.0, 1.0, when=(("booster", ("dart",)),)),
        Parameter("leaves", "int", 2, 256, log=True, when=(("booster", ("plain",)),)),
    )
)
_TRAINING = Space.of(
    (
        Parameter("rate", "float", 1e-6, 10.0, log=True),
        Parameter("optimizer", "categorical", choices=("sgd", "adam")),
        Parameter("momentum", "float", 0.0, 0.99, when=(("optimizer", ("sgd",)),)),
        Parameter("nesterov", "bool", choices=(False, True), when=(("optimizer", ("sgd",)),)),
        Parameter("beta2", "float", 0.5, 0.9999, when=(("optimizer", ("adam",)),)),
        Parameter("schedule", "categorical", choices=("none", "cosine", "steps")),
        Parameter("warmup", "float", 0.0, 0.5, when=(("schedule", ("cosine",)),)),
        Parameter("gamma", "float", 0.01, 0.9, when=(("schedule", ("steps",)),)),
        Parameter("drops", "int", 1, 10, when=(("schedule", ("steps",)),)),
    )
)

PROBLEMS = (
    Problem("network7", "mixed", _NETWORK, network, 0.0, tuned=True),
    Problem("crossed5", "mixed", _CROSSED_SPACE, crossed, 0.0),
    Problem("forest6", "mixed", _FOREST, forest, 0.0),
    Problem("branches", "conditional", _BRANCHES, branches, 0.0, tuned=True),
    Problem("pipeline", "conditional", _PIPELINE, pipeline, 0.0),
    Problem("training", "conditional", _TRAINING, training, 0.0),
    Problem("noisy-forest6", "noisy", _FOREST, forest, 0.0, noise=0.02),
)
