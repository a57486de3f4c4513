"""Learning curves that the package lcdb ships: 20 classifiers of scikit-learn, trained with more and more of some data.

LCDB 1.0 (Mohr, Viering, Loog and van Rijn, 2022): the accuracy on data that were held back, after each training with
16, 23, 32, 45 … rows, up to all; each classifier with its defaults, on many splits of the data. A curve of one
classifier on one split stands for a configuration here, and each of its trainings for a step. Curves that their time
limit cut off are left out. The package (68 MB, 470 unpacked) is installed beside the peers when it is first asked for.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict

from benchmarks.curves import Recorded
from benchmarks.peers.environment import shipped
from orchestune.domain.specification.metrics import Metric

PACKAGE = "lcdb==0.1.0"
ACCURACY = Metric("accuracy", "maximize")
DATA = {"letter": 6, "MNIST": 554, "adult": 1590}
"""by the numbers that OpenML gives them"""


def recorded() -> dict[str, list[Recorded]]:
    """The curves of each of `DATA`; all of one are equally long."""
    names_by_number = {str(number): f"classifiers of {name}" for name, number in DATA.items()}
    curves: dict[str, dict[tuple[str, ...], dict[int, tuple[float, float]]]] = {
        name: {} for name in names_by_number.values()
    }
    with shipped("learning-curves", PACKAGE, "lcdb/database-accuracy.csv").open() as lines:
        for row in csv.DictReader(lines):
            if name := names_by_number.get(row["openmlid"]):
                split = row["learner"], row["outer_seed"], row["inner_seed"]
                step = float(row["score_valid"] or "nan"), float(row["traintime"])
                curves[name].setdefault(split, {})[int(row["size_train"])] = step
    return {name: _whole(list(curves.values())) for name, curves in curves.items()}


def _whole(curves: list[dict[int, tuple[float, float]]]) -> list[Recorded]:
    """Return the trials that were not cut off."""
    by_sizes: dict[tuple[int, ...], list[Recorded]] = defaultdict(list)
    for curve in curves:
        sizes = tuple(sorted(curve))
        values, seconds = zip(*(curve[size] for size in sizes), strict=True)
        if all(map(math.isfinite, values)):
            by_sizes[sizes].append(Recorded(values, seconds))
    return by_sizes[max(by_sizes, key=len)]
