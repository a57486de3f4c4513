"""Functions of numbers alone: smooth, separable with many minima, noisy, of sixteen dimensions, failing in a region."""

from __future__ import annotations

import math
from itertools import pairwise

from benchmarks.search.problem import Problem, box, numbers
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space

_HARTMANN_SCALE = [
    [10, 3, 17, 3.5, 1.7, 8],
    [0.05, 10, 17, 0.1, 8, 14],
    [3, 3.5, 1.7, 10, 17, 8],
    [17, 8, 0.05, 10, 0.1, 14],
]
_HARTMANN_CENTRE = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]
_HARTMANN_WEIGHT = [1.0, 1.2, 3.0, 3.2]


def branin(c: Configuration) -> float:
    """Two dimensions, three minima of one depth."""
    x, y = float(c["x"]), float(c["y"])
    valley = y - 5.1 * x * x / (4 * math.pi**2) + 5 * x / math.pi - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(c: Configuration) -> float:
    """Six dimensions, four wells."""
    x = numbers(c)
    return -sum(
        weight * math.exp(-sum(a * (v - p) ** 2 for a, p, v in zip(scales, centre, x, strict=True)))
        for weight, scales, centre in zip(_HARTMANN_WEIGHT, _HARTMANN_SCALE, _HARTMANN_CENTRE, strict=True)
    )


def rosenbrock(c: Configuration) -> float:
    """A narrow curved valley."""
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(numbers(c)))


def ellipsoid(c: Configuration) -> float:
    """A bowl whose axes differ by a factor of 1,000, not in its middle."""
    x = numbers(c)
    return sum(10 ** (3 * i / (len(x) - 1)) * (v - 0.3 + 0.5 * (i % 3) / 3) ** 2 for i, v in enumerate(x))


def rastrigin(c: Configuration) -> float:
    """Many minima in each dimension by itself."""
    return sum(10 + (x - 0.7) ** 2 - 10 * math.cos(2 * math.pi * (x - 0.7)) for x in numbers(c))


def styblinski(c: Configuration) -> float:
    """Two wells in each dimension by itself."""
    return sum((x**4 - 16 * x * x + 5 * x) / 2 for x in numbers(c))


def schwefel(c: Configuration) -> float:
    """The best minimum is far from the next best, near a corner."""
    x = numbers(c)
    return 418.9828872724338 * len(x) - sum(v * math.sin(math.sqrt(abs(v))) for v in x)


def michalewicz(c: Configuration) -> float:
    """Narrow valleys in each dimension by itself, more of them in each further one."""
    return -sum(math.sin(x) * math.sin(index * x * x / math.pi) ** 20 for index, x in enumerate(numbers(c), start=1))


def levy(c: Configuration) -> float:
    """A ripple over a slope; the dimensions hang together a little."""
    w = [1 + (x - 1) / 4 for x in numbers(c)]
    middle = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    return math.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


_BEST_AT = (-7.3, 4.1, 8.6, -2.9, 6.2, -8.8, 0.7, -5.4, 9.1, -1.6, 3.3, -9.4, 7.7, -4.2, 5.5, -6.6)


def moved_levy(c: Configuration) -> float:
    """Return `levy` with its optimum anywhere: that of `levy` lies beside the middle, where some engines begin."""
    return levy({f"x{index}": x - best + 1 for index, (x, best) in enumerate(zip(numbers(c), _BEST_AT, strict=False))})


def sparse(c: Configuration) -> float:
    """Sixteen dimensions of which four matter."""
    x = numbers(c)
    return (x[2] - 0.8) ** 2 + 2 * abs(x[5] - 0.15) + (x[2] + x[9] - 1.1) ** 2 + 0.5 * math.sin(6 * x[12]) ** 2


def memory(c: Configuration) -> float | None:
    """The larger the model the better, until it no longer fits: the best lies at the edge of a region that fails."""
    width, depth, batch = float(c["width"]), float(c["depth"]), float(c["batch"])
    if math.log2(width) + depth / 4 + math.log2(batch) / 2 > 14:
        return None
    rate = math.log10(float(c["rate"]))
    return (
        (14 - math.log2(width) - depth / 4 - math.log2(batch) / 2) / 4 + (rate + 3.2) ** 2 / 2 + (depth - 9) ** 2 / 60
    )


def divergence(c: Configuration) -> float | None:
    """The longer the steps the better, until the training diverges; how long they may be depends on a choice."""
    normalized = c["norm"] == "batch"
    step = math.log10(float(c["rate"])) - math.log10(1 - float(c["momentum"]))
    room = (-0.5 if normalized else -1.5) - step
    if room < 0:
        return None
    rest = 0.3 * (float(c["momentum"]) - 0.9) ** 2 + (math.log10(float(c["decay"])) + 4) ** 2 / 20
    return room / 4 + rest + 0.02 * abs(float(c["layers"]) - 6) + (0.0 if normalized else 0.05)


_DIVERGENCE = Space.of(
    (
        Parameter("rate", "float", 1e-5, 10.0, log=True),
        Parameter("momentum", "float", 0.0, 0.99),
        Parameter("decay", "float", 1e-7, 1e-1, log=True),
        Parameter("layers", "int", 1, 12),
        Parameter("norm", "categorical", choices=("none", "batch")),
    )
)
_MEMORY = Space.of(
    (
        Parameter("width", "int", 16, 4096, log=True),
        Parameter("depth", "int", 1, 24),
        Parameter("batch", "int", 8, 512, log=True),
        Parameter("rate", "float", 1e-6, 1.0, log=True),
    )
)
_PLANE = Space.of((Parameter("x", "float", -5.0, 10.0), Parameter("y", "float", 0.0, 15.0)))
_BRANIN = 0.39788735772973816
_HARTMANN = -3.322368011391339

PROBLEMS = (
    Problem("branin", "smooth", _PLANE, branin, _BRANIN, tuned=True),
    Problem("rosenbrock5", "smooth", box(5, -2.0, 2.0), rosenbrock, 0.0, tuned=True),
    Problem("hartmann6", "smooth", box(6, 0.0, 1.0), hartmann, _HARTMANN),
    Problem("rastrigin5", "separable", box(5, -5.12, 5.12), rastrigin, 0.0, tuned=True),
    Problem("michalewicz5", "separable", box(5, 0.0, math.pi), michalewicz, -4.687658179, tuned=True),
    Problem("styblinski6", "separable", box(6, -5.0, 5.0), styblinski, -39.16616570377142 * 6),
    Problem("schwefel4", "separable", box(4, -500.0, 500.0), schwefel, 0.0),
    Problem("noisy-hartmann6", "noisy", box(6, 0.0, 1.0), hartmann, _HARTMANN, noise=0.3, tells_noise=True, tuned=True),
    Problem("noisy-levy4", "middle", box(4, -10.0, 10.0), levy, 0.0, noise=1.0),
    Problem("moved-noisy-levy4", "noisy", box(4, -10.0, 10.0), moved_levy, 0.0, noise=1.0),
    Problem("moved-levy16", "wide", box(16, -10.0, 10.0), moved_levy, 0.0),
    Problem("ellipsoid16", "wide", box(16, -1.0, 1.0), ellipsoid, 0.0, tuned=True),
    Problem("sparse16", "wide", box(16, 0.0, 1.0), sparse, 0.0),
    Problem("levy16", "middle", box(16, -10.0, 10.0), levy, 0.0),
    Problem("memory4", "failing", _MEMORY, memory, 0.0, tuned=True),
    Problem("divergence5", "failing", _DIVERGENCE, divergence, 0.0),
)
