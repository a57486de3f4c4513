"""Measure the best result of a search with early stopping against time.

Trains scikit-learn models live, on the data that it brings (see `curves`), as 15 workers would in simulated time: a
step takes a 32nd of a trial's duration, which differs from trial to trial. A free worker asks for a
configuration, and a stopped trial frees its worker for the next. Each search lasts as long as eight trials
take that are not ended.

- ours: `auto` without early stopping, with `asha`, with `asha` from step 4 on, and with `median`;
- Optuna: its default sampler (TPE) without a pruner, and with its pruners for the same rules and Hyperband.

A figure is the regret of the best complete trial after the time of 30, 60 and 120 complete ones: 0 is the best that any
search has found, 1 what random search without early stopping has in the mean after 120 trials.

    python -m benchmarks.stopped_search --quick
"""

from __future__ import annotations

import heapq
import math
import os
import random
import statistics
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol

from benchmarks import table
from benchmarks.curves import FAMILIES, STEPS, Family
from benchmarks.early_stopping import Never, Optunas, Ours
from benchmarks.search.peers.optuna_study import suggested
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.curves import loss
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.engines.registry import create

WORKERS = 15
LENGTH = 8.0
"""duration of a search; a trial that is not stopped takes 1 on average"""
SPREAD = 0.3
"""standard deviation of the logarithm of a trial's duration"""
BUDGETS = (30, 60, 120)
"""complete trials' worth of time at which the best is looked at"""
SEARCHES = (
    "random", "auto", "auto asha", "auto asha from step 4", "auto median",
    "Optuna", "Optuna asha", "Optuna hyperband", "Optuna median",
)  # fmt: skip
Completions = list[tuple[float, float]]
"""when trials were complete, and their losses"""


class Search(Protocol):
    """Suggests and judges. Trials are numbered from 1."""

    def ask(self, number: int, pending: Mapping[int, Configuration]) -> Configuration: ...
    def ends(self, number: int, step: int, value: float) -> bool: ...
    def complete(self, number: int, configuration: Configuration, value: float) -> None: ...


class OrchestuneSearch:
    """One of our engines, with a rule of early stopping or none; both receive what the server passes to them."""

    def __init__(self, family: Family, seed: int, engine: str, rule: str) -> None:
        self._metric, self._seed = family.metric, seed
        self._engine = create(engine, family.space, [family.metric], seed=seed, in_process=True)
        name, _, first = rule.partition(" from step ")
        self._asked: dict[int, Configuration] = {}
        self._judge: Never = Ours(EarlyStopping(name, min_steps=float(first or 1)), family.metric) if rule else Never()

    def ask(self, number: int, pending: Mapping[int, Configuration]) -> Configuration:
        self._asked[number] = suggestion = self._engine.ask(
            list(pending.values()), number, ask_seed(self._seed, number)
        )
        return suggestion

    def ends(self, number: int, step: int, value: float) -> bool:
        ends = self._judge.ends(number, step, value)
        if ends and isinstance(self._judge, Ours):
            last = self._judge.last[number]
            self._engine.tell([Observation(number, self._asked[number], TrialState.PRUNED, last=last)])
        return ends

    def complete(self, number: int, configuration: Configuration, value: float) -> None:
        self._judge.complete(number, value)
        state = TrialState.COMPLETED if math.isfinite(value) else TrialState.FAILED
        metrics = {self._metric.name: value} if math.isfinite(value) else {}
        self._engine.tell([Observation(number, configuration, state, metrics)])


class OptunaSearch:
    """A study as Optuna's users run it, with its default sampler."""

    def __init__(self, family: Family, seed: int, rule: str) -> None:
        from optuna.samplers import TPESampler

        self._space = family.space
        self._study = Optunas(rule, family.metric, STEPS, TPESampler(seed=seed))

    def ask(self, number: int, pending: Mapping[int, Configuration]) -> Configuration:
        return suggested(self._space, self._study.ask())

    def ends(self, number: int, step: int, value: float) -> bool:
        return self._study.ends(number, step, value)

    def complete(self, number: int, configuration: Configuration, value: float) -> None:
        self._study.complete(number, value)


def simulate(family: Family, search: Search, name: str, seed: int) -> Completions:
    """Search for `LENGTH` with `WORKERS` workers."""
    completions: Completions = []
    running: dict[int, tuple[dict[str, Value], Iterator[float]]] = {}
    events: list[tuple[float, int, int]] = []  # when, trial, step

    def begin(now: float, number: int) -> None:
        chosen = dict(search.ask(number, {trial: configuration for trial, (configuration, _) in running.items()}))
        running[number] = chosen, _curve(family, chosen)
        heapq.heappush(events, (now + _step(name, seed, number), number, 1))

    for number in range(1, WORKERS + 1):
        begin(0.0, number)
    number = WORKERS
    while True:
        now, trial, step = heapq.heappop(events)
        if now > LENGTH:
            return completions
        chosen, values = running[trial]
        value = next(values)
        if step < STEPS and not search.ends(trial, step, value):
            heapq.heappush(events, (now + _step(name, seed, trial), trial, step + 1))
            continue
        del running[trial]
        if step == STEPS:
            search.complete(trial, chosen, value)
            completions.append((now, loss(family.metric, value)))
        number += 1
        begin(now, number)


def _step(name: str, seed: int, number: int) -> float:
    return math.exp(random.Random(f"{name}/{seed}/{number}").gauss(0, SPREAD)) / STEPS


def _curve(family: Family, chosen: Configuration) -> Iterator[float]:
    """NaN for ever from where it diverges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield from family.train(chosen)
        except ValueError:
            pass
    while True:
        yield math.nan


def run(name: str, family_name: str, seed: int) -> Completions:
    """One search of `SEARCHES`."""
    family = FAMILIES[family_name]
    whose, _, rule = name.partition(" ")
    search: Search = (
        OptunaSearch(family, seed, rule) if whose == "Optuna" else OrchestuneSearch(family, seed, whose, rule)
    )
    return simulate(family, search, family_name, seed)


def main() -> None:
    parser = table.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=None, help="searches of each kind")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", default=SEARCHES, choices=SEARCHES, help="of the searches, beside random")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds or (1 if arguments.quick else 10))
    families = ["boosting on cancer"] if arguments.quick else list(FAMILIES)
    names = ["random", *(name for name in arguments.only if name != "random")]
    print(table.machine())
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        runs = {(n, f): [pool.submit(run, n, f, seed) for seed in seeds] for f in families for n in names}
        outcomes = {key: [future.result() for future in futures] for key, futures in runs.items()}
    head = ("search", *(f"after {look}" for look in BUDGETS), "complete trials")
    for family in families:
        best = min(value for name in names for completions in outcomes[name, family] for _, value in completions)
        scale = _mean_best(outcomes["random", family], LENGTH) - best
        rows = [_row(name, outcomes[name, family], best, scale) for name in names]
        table.show(f"{family}: {len(seeds)} searches each on {WORKERS} workers", head, rows)


def _row(name: str, searches: list[Completions], best: float, scale: float) -> table.Row:
    regrets = [(_mean_best(searches, LENGTH * look / BUDGETS[-1]) - best) / scale for look in BUDGETS]
    return name, *(f"{regret:.2f}" for regret in regrets), round(statistics.mean(map(len, searches)))


def _mean_best(searches: list[Completions], until: float) -> float:
    return statistics.mean(
        min((v for when, v in completions if when <= until), default=math.inf) for completions in searches
    )


if __name__ == "__main__":
    main()
