"""Compare measures of importance with the true variance shares of a loss: `python -m benchmarks.importance`

After 120 trials of an engine: ours, and Optuna's fANOVA (which needs scikit-learn) and PED-ANOVA, beside the true
shares: the total effects of each parameter on the loss itself, from many draws over the whole space. Off is half the
sum of the differences (0: the same shares, 1: nothing in common), then the rank correlation, and how often the first
parameter is the right one.

    python -m benchmarks.importance --engine random --problems sparse16 network7 --seeds 0 1
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from scipy.stats import spearmanr

from benchmarks import table
from benchmarks.search.problem import Problem
from benchmarks.search.suite import PROBLEMS
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Cube, Floats
from orchestune.engines.models.importance import importance
from orchestune.engines.registry import create
from orchestune.engines.samplers.optuna_axes import axis
from orchestune.engines.samplers.optuna_storage import Snapshot, frozen

LOSS = Metric("loss", "minimize")
_DRAWS = 800
NAMES = ("sparse16", "hartmann6", "styblinski6", "network7", "crossed5", "branches", "pipeline", "hpobench-vehicle",
         "hpolib-naval_propulsion")  # fmt: skip


def true_shares(problem: Problem) -> Floats:
    """The total effect of each parameter (Jansen, 1999), together 1."""
    cube, random = Cube(problem.space), np.random.default_rng(1)
    points, replacements = cube.uniform(_DRAWS, random), cube.uniform(_DRAWS, random)

    def losses(points: Floats) -> Floats:
        return np.array([problem.loss(cube.configuration(point)) for point in points], dtype=float)

    base_losses, effects = losses(points), []
    for place in range(cube.dimension):
        moved = points.copy()
        moved[:, place] = replacements[:, place]
        effects.append(float(((base_losses - losses(moved)) ** 2).mean()))
    return np.array(effects) / sum(effects)


def searched(problem: Problem, engine: str, seed: int, count: int) -> list[Observation]:
    """The results of a search, one trial after the other."""
    search_engine = create(engine, problem.space, [LOSS], seed=seed, in_process=True)
    observations: list[Observation] = []
    for number in range(1, count + 1):
        configuration = search_engine.ask([], number, ask_seed(seed, number))
        loss = problem.loss(configuration)
        assert loss is not None, "no trial fails here"
        observations.append(Observation(number, configuration, TrialState.COMPLETED, {"loss": loss}))
        search_engine.tell(observations[-1:])
    return observations


def ours(problem: Problem, history: Sequence[Observation]) -> dict[str, float]:
    """`orchestune importance`."""
    return importance(problem.space, LOSS, history)


def by_optuna(evaluator: Callable[[], optuna.importance.BaseImportanceEvaluator]) -> Callable[..., dict[str, float]]:
    """A measure of Optuna's, on the scales that its TPE is given."""

    def shares(problem: Problem, history: Sequence[Observation]) -> dict[str, float]:
        axes = {parameter.name: axis(parameter) for parameter in problem.space.parameters}
        trials = []
        for number, observation in enumerate(history):
            positions = {name: axes[name].inward(value) for name, value in observation.parameters.items()}
            active = {name: position for name, position in positions.items() if position is not None}
            kinds = {name: axes[name].distribution for name in active}
            trials.append(
                frozen(number, optuna.trial.TrialState.COMPLETE, active, kinds, [observation.metrics["loss"]])
            )
        directions = [optuna.study.StudyDirection.MINIMIZE]
        snapshot = Snapshot(directions)
        snapshot.show(trials)
        return get_param_importances(
            optuna.create_study(storage=snapshot, directions=directions), evaluator=evaluator()
        )

    return shares


MEASURES = {
    "ours": ours,
    "Optuna fANOVA": by_optuna(lambda: FanovaImportanceEvaluator(seed=0)),
    "Optuna PED-ANOVA": by_optuna(PedAnovaImportanceEvaluator),
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--problems", nargs="+", default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--trials", type=int, default=120)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    errors: dict[str, list[tuple[float, float, float]]] = {}
    for name in options.problems:
        problem = PROBLEMS[name]
        true = true_shares(problem)
        for seed in options.seeds:
            history = searched(problem, options.engine, seed, options.trials)
            for measure, shares in MEASURES.items():
                estimate_by_name = shares(problem, history)
                estimates = np.array(
                    [estimate_by_name.get(parameter.name, 0.0) for parameter in problem.space.parameters]
                )
                rank = float(np.nan_to_num(spearmanr(estimates, true)[0]))
                off = float(np.abs(estimates - true).sum() / 2)
                errors.setdefault(measure, []).append((off, rank, float(estimates.argmax() == true.argmax())))
        print(name, *(f"{measure} {values[-1][0]:.2f}" for measure, values in errors.items()), sep="  ", flush=True)
    rows: list[table.Row] = [
        [measure, *(f"{statistics.fmean(column):.2f}" for column in zip(*values, strict=True))]
        for measure, values in errors.items()
    ]
    searches = len(options.problems) * len(options.seeds)
    title = f"After {options.trials} trials of {options.engine}, {searches} searches"
    table.show(title, ["measure", "off", "rank correlation", "first is right"], rows)


if __name__ == "__main__":
    main()
