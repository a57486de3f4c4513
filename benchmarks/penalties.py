"""Measure searches whose scripts report a number for failures: `python -m benchmarks.penalties [--quick]`.

Regret (smaller is better, 0 the optimum) in the median of seeds, after 45 trials one by one, of a bowl of four numbers
of which a share is cut off; the best lies within. `plateau` cuts off the height in the place of the width: there many
trials share the worst loss, and none of them is a penalty.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from statistics import median

import orchestune

_BEST = {"x0": (0.3, 1.0), "x1": (0.6, 3.0), "x2": (0.45, 2.0), "x3": (0.7, 1.0)}
"""where the bottom lies, and how steep the bowl is there"""
CUT = {
    "10 %": lambda point: point["x0"] > 0.9,
    "30 %": lambda point: point["x0"] > 0.7,
    "62 %": lambda point: point["x0"] > 0.5 or point["x1"] < 0.25,
}
REPORTED: Mapping[str, float | None] = {"fails": None, "4": 4.0, "10": 10.0, "1e9": 1e9}
_HEIGHT = 0.3


def bowl(point: Mapping[str, float]) -> float:
    return sum(steep * (point[name] - at) ** 2 for name, (at, steep) in _BEST.items())


def regret(engine: str, cut: str, penalty: float | None, seed: int, budget: int) -> float:
    """Of the best that was measured."""
    search = orchestune.Optimizer(dict.fromkeys(_BEST, "0.0..1.0"), {"loss": "minimize"}, engine=engine, seed=seed)
    best = math.inf
    for _ in range(budget):
        suggestion = search.ask()
        point = {name: float(value) for name, value in suggestion.parameters.items()}
        if cut == "plateau":
            loss: float | None = min(bowl(point), _HEIGHT)
        else:
            loss = penalty if CUT[cut](point) else bowl(point)
        search.tell(suggestion, None if loss is None else {"loss": loss})
        if cut == "plateau" or not CUT[cut](point):
            best = min(best, bowl(point))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, 20 trials")
    parser.add_argument("--engines", nargs="+", default=["auto", "gp", "tpe"])
    options = parser.parse_args()
    seeds, budget = (1, 20) if options.quick else (6, 45)
    print("| engine | cut off |", " | ".join(REPORTED), "|")
    print("|---|---|" + "---|" * len(REPORTED))
    for engine in options.engines:
        for cut in (*CUT, "plateau"):
            row = [
                f"{median(regret(engine, cut, penalty, seed, budget) for seed in range(seeds)):.2g}"
                for penalty in (REPORTED.values() if cut != "plateau" else (None,))
            ]
            print(f"| `{engine}` | {cut} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
