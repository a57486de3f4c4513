"""Measure the time that each rule of early stopping saves, and the quality that it costs.

Records real learning curves (see `curves`; `--tables`: takes those of a package, see `training_sizes`), then simulates
searches: 15 workers go through 200 of the configurations in random order; a step takes as long as it took. For each
rule, ours and Optuna's, both with their defaults:

- time: until all 200 are through, as a share of the time without early stopping;
- to its best: time until the best trial that it found was complete, as a share of the time that the search without
  early stopping took to have one that good;
- best pruned: how many trials that would have been among the best 1 % of all that were recorded were ended early;
- loses: by how much the best that it found is worse than the best of the same search without early stopping, as a share
  of the distance between the best and the median of all (0 %: nothing lost).

    python -m benchmarks.early_stopping --quick
    python -m benchmarks.early_stopping --tables
    python -m benchmarks.early_stopping --quick --seeds 60 --budget 24 --workers 4 --steps 10
"""

from __future__ import annotations

import heapq
import math
import os
import random
import statistics
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from benchmarks import table, training_sizes
from benchmarks.curves import FAMILIES, Recorded, record
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import LearningCurve, loss
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners import registry

if TYPE_CHECKING:
    import optuna

WORKERS = 15
BUDGET = 200
SIZES = {"sgd on digits": 400, "network on digits": 150, "boosting on cancer": 600}
RULES = ("asha", "hyperband", "median", "percentile", "wilcoxon")
QUICK = {"sgd on digits": 60, "network on digits": 20, "boosting on cancer": 60}


class Judge(Protocol):
    """A rule under test. Trials are numbered from 1 in the order of their starts."""

    def start(self) -> int: ...
    def ends(self, trial: int, step: int, value: float) -> bool: ...
    def complete(self, trial: int, value: float) -> None: ...


class Never:
    """Without early stopping."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> int:
        self.count += 1
        return self.count

    def ends(self, trial: int, step: int, value: float) -> bool:
        return False

    def complete(self, trial: int, value: float) -> None:
        """Nothing to learn."""


class Ours(Never):
    """A rule with its defaults, fed as the server does it."""

    def __init__(self, rule: EarlyStopping, metric: Metric) -> None:
        super().__init__()
        self._pruner, self._metric = registry.create(rule, [metric]), metric
        self._curves: dict[int, LearningCurve] = {}
        self.last: dict[int, tuple[float, float]] = {}
        """of each trial: the last step at which it was compared, and its loss there"""

    def ends(self, trial: int, step: int, value: float) -> bool:
        curve = self._curves.setdefault(trial, LearningCurve(self._metric))
        curve.add(value, step)
        decision = self._pruner.decision_step(trial, step)
        if decision is None or decision <= self.last.get(trial, (0, 0))[0]:
            return False
        observation = curve.observation(trial, decision)
        self.last[trial] = decision, observation.loss
        self._pruner.tell(observation)
        ends = self._pruner.judge(observation) is not None
        if ends:
            self._pruner.finish(trial, TrialState.PRUNED)
        return ends

    def complete(self, trial: int, value: float) -> None:
        self._pruner.finish(trial, TrialState.COMPLETED)


class Optunas:
    """A study with one of Optuna's rules (or none: an empty name), fed as its users do it."""

    def __init__(self, name: str, metric: Metric, steps: int, sampler: optuna.samplers.BaseSampler) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
            "": optuna.pruners.NopPruner,
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=steps),
            "median": optuna.pruners.MedianPruner,
            "percentile": lambda: optuna.pruners.PercentilePruner(25.0),
            "wilcoxon": optuna.pruners.WilcoxonPruner,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(direction=metric.goal, pruner=pruners[name](), sampler=sampler)
        self._trials: dict[int, optuna.Trial] = {}

    def start(self) -> int:
        return self.ask().number + 1

    def ask(self) -> optuna.Trial:
        """A new trial, which may be given parameters."""
        trial = self._study.ask()
        self._trials[trial.number + 1] = trial
        return trial

    def ends(self, trial: int, step: int, value: float) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._trials[trial].report(value, step)
            ends = self._trials[trial].should_prune()
        if ends:
            self._study.tell(self._trials[trial], state=self._optuna.trial.TrialState.PRUNED)
        return ends

    def complete(self, trial: int, value: float) -> None:
        finite = math.isfinite(value)
        state = None if finite else self._optuna.trial.TrialState.FAIL
        self._study.tell(self._trials[trial], value if finite else None, state=state)


class Outcome(NamedTuple):
    """Of one simulated search."""

    seconds: float
    completed: list[tuple[float, float]]
    """when, and the loss"""
    best_count: int
    best_pruned: int


def simulate(
    judge: Judge, metric: Metric, curves: Sequence[Recorded], seed: int, budget: int = BUDGET, workers: int = WORKERS
) -> Outcome:
    """Go through `budget` of the configurations with so many workers."""
    order = random.Random(seed).sample(range(len(curves)), min(budget, len(curves)))
    finals = sorted(range(len(curves)), key=lambda index: loss(metric, curves[index].values[-1]))
    best = set(finals[: max(len(curves) // 100, 1)])
    outcome = Outcome(0.0, [], len(best.intersection(order)), 0)
    events: list[tuple[float, int, int, int]] = []  # when, trial, configuration, step

    def begin(now: float) -> None:
        if order:
            index = order.pop()
            heapq.heappush(events, (now + curves[index].seconds[0], judge.start(), index, 1))

    for _ in range(workers):
        begin(0.0)
    now, pruned = 0.0, 0
    while events:
        now, trial, index, step = heapq.heappop(events)
        value, last = curves[index].values[step - 1], step == len(curves[index].values)
        if not last and judge.ends(trial, step, value):
            pruned += index in best
            begin(now)
        elif not last:
            heapq.heappush(events, (now + curves[index].seconds[step], trial, index, step + 1))
        else:
            judge.complete(trial, value)
            outcome.completed.append((now, loss(metric, value)))
            begin(now)
    return outcome._replace(seconds=now, best_pruned=pruned)


def run(rule: str, family: str, curves: Sequence[Recorded], seed: int, budget: int, workers: int) -> Outcome:
    metric = _metric(family)
    whose, _, name = rule.partition(" ")
    judge: Judge = Never()
    if whose == "ours":
        name, _, first = name.partition(" from step ")
        name, _, reduction = name.partition(" reduction ")
        judge = Ours(EarlyStopping(name, min_steps=float(first or 1), reduction=float(reduction or 0) or None), metric)
    elif whose == "Optuna":
        from optuna.samplers import RandomSampler

        judge = Optunas(name, metric, len(curves[0].values), RandomSampler(seed=0))
    return simulate(judge, metric, curves, seed, budget, workers)


def main() -> None:
    parser = table.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=None, help="orders of the configurations")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--budget", type=int, default=BUDGET, help="trials of a search")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--steps", type=int, default=None, help="steps of a trial, the first of those recorded")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--curves", type=Path, help="keep the recorded curves in this file, and use them again")
    source.add_argument("--tables", action="store_true", help="the curves of a package that it installs (68 MB)")
    arguments = parser.parse_args()
    seeds = arguments.seeds or (1 if arguments.quick else 10)
    print(table.machine())
    if arguments.tables:
        recorded = training_sizes.recorded()
    else:
        recorded = record(QUICK if arguments.quick else SIZES, arguments.jobs, arguments.curves)
    if arguments.steps is not None:
        recorded = {
            family: [Recorded(curve.values[: arguments.steps], curve.seconds[: arguments.steps]) for curve in curves]
            for family, curves in recorded.items()
        }
    rules = ["none", *(f"{whose} {name}" for name in RULES for whose in ("ours", "Optuna"))]
    rules[3:3] = [
        "ours asha reduction 2",
        *(f"ours asha reduction 2 from step {first}" for first in ((4, 8) if arguments.tables else (4,))),
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        runs = {
            (rule, family): [
                pool.submit(run, rule, family, curves, seed, arguments.budget, arguments.workers)
                for seed in range(_searches(rule, seeds))
            ]
            for rule in rules
            for family, curves in recorded.items()
        }
        outcomes = {key: [future.result() for future in futures] for key, futures in runs.items()}
    head = ("rule", "time", "pruned", "to its best", "best pruned", "loses")
    for family, curves in recorded.items():
        losses = sorted(loss(_metric(family), curve.values[-1]) for curve in curves)
        scale = losses[len(losses) // 2] - losses[0]
        rows = [_row(rule, outcomes[rule, family], outcomes["none", family], scale) for rule in rules]
        table.show(
            f"{family}: {len(curves)} configurations, {len(curves[0].values)} steps, {seeds} searches each", head, rows
        )


def _row(rule: str, outcomes: Sequence[Outcome], without: Sequence[Outcome], scale: float) -> table.Row:
    pairs = list(zip(outcomes, without, strict=False))
    time = sum(one.seconds for one, _ in pairs) / sum(other.seconds for _, other in pairs)
    reached = [(_when(one, _best(one)), _when(other, _best(one))) for one, other in pairs]
    to_its_best = sum(one for one, _ in reached) / sum(other for _, other in reached)
    pruned = sum(one.best_pruned for one in outcomes) / max(sum(one.best_count for one in outcomes), 1)
    lost = statistics.mean((_best(one) - _best(other)) / scale for one, other in pairs)
    best_count = sum(one.best_count for one in outcomes)
    completed = statistics.mean(len(one.completed) / len(other.completed) for one, other in pairs)
    return (
        rule,
        f"{time:.0%}",
        f"{1 - completed:.0%}",
        f"{to_its_best:.0%}",
        f"{pruned:.0%} of {best_count}",
        f"{lost:.2%}",
    )


def _metric(family: str) -> Metric:
    return FAMILIES[family].metric if family in FAMILIES else training_sizes.ACCURACY


def _searches(rule: str, seeds: int) -> int:
    """Two rules take from seconds to a minute for a single search."""
    return max(seeds // {"ours wilcoxon": 2, "Optuna wilcoxon": 10}.get(rule, 1), 1)


def _best(outcome: Outcome) -> float:
    return min(value for _, value in outcome.completed)


def _when(outcome: Outcome, reached: float) -> float:
    """When a trial this good was complete."""
    return min(when for when, value in outcome.completed if value <= reached)


if __name__ == "__main__":
    main()
