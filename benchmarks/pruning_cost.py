"""Measure the cost of early stopping in the server's busiest call.

Prints the milliseconds of processor time of a `work` call that brings one point, without a rule and with each one,
when nothing has finished yet and after 10,000 trials; and of the first call after a restart, when what the rule knows
is read from the rows again.

    python -m benchmarks.pruning_cost --quick
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import table
from orchestune.domain.specification.early_stopping import TYPES, EarlyStopping
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.registry import create
from orchestune.store.rows import Query
from orchestune.store.statements.pruning import PUT_OBSERVATION
from orchestune.store.statements.trials import INSERT_TRIAL
from tests.contract.world import CoreWorld, Document, FakeWorker

STEPS = 30
CALLS = 300


def main() -> None:
    arguments = table.arguments(__doc__).parse_args()
    print(table.machine())
    count = 2000 if arguments.quick else 10_000
    rows = [_measured(name, count) for name in (None, *TYPES)]
    head = ("rule", "ms per call at 0", f"ms per call at {count:,}", "p99 ms", "ms after a restart", "observations")
    table.show(f"A call with one point ({STEPS} steps in each finished trial)", head, rows)


def _measured(rule: str | None, count: int) -> table.Row:
    with tempfile.TemporaryDirectory() as folder:
        world = CoreWorld(Path(folder))
        early = {"type": rule} if rule else None
        experiment = world.create(budget=count + 100, parallelism=2, early_stopping=early)
        (worker, lease), _ = world.lease(2)
        fresh = _calls(worker, lease, 0)
        _fill(world, experiment, count, rule)
        world.close()
        world.open()
        first = _calls(worker, lease, 10_000, 1)[0]  # a decision step, whatever the rule
        later = _calls(worker, lease, 10_001)
        with world.core.store.reading() as session:
            observations = session.row(Query(int, "SELECT COUNT(*) FROM pruner_observations"), {}) or 0
        world.close()
    p99 = table.percentile(later, 0.99)
    return rule or "none", statistics.median(fresh), statistics.median(later), p99, first, observations


def _calls(worker: FakeWorker, lease: Document, start: int, count: int = CALLS) -> list[float]:
    """Milliseconds of calls that bring one point each, ever better: the trial continues."""
    took = []
    for step in range(start, start + count):
        beat = worker.started(lease) | {"points": [[step, "loss", -float(step), step + 1, None]]}
        began = time.thread_time()
        worker.call(beats=[beat])
        took.append(1000 * (time.thread_time() - began))
    return took


def _fill(world: CoreWorld, experiment: str, count: int, rule: str | None) -> None:
    """Rows of so many finished trials: half of them completed, half of them pruned after a few steps."""
    pruner = create(EarlyStopping(rule), [Metric("loss", "minimize")]) if rule else None
    with world.core.store.transaction() as session:
        trials, observations, seq = [], [], 10**6
        for number in range(101, 101 + count):
            completed = number % 2 == 0
            trials.append(
                {"experiment": experiment, "number": number, "state": "completed" if completed else "pruned"}
                | {"parameters": '{"x": 0.5}', "source": "random", "engine_version": None, "suggested_after": None}
                | {"parent": None, "seed": 1, "bundle": None, "revision": 1, "checkpoint": None, "created_at": 0.0}
            )
            for step in range(1, (STEPS if completed else 5) + 1):
                if pruner is None or pruner.decision_step(number, step) != step:
                    continue
                seq += 1
                value = (number * 7919 % 1000) / 1000 - step / 100
                observation = {"experiment": experiment, "trial": number, "fold": 0, "step": float(step), "seq": seq}
                observations.append(observation | {"loss": value, "best": value, "mean": value})
        session.many(INSERT_TRIAL, trials)
        session.many(PUT_OBSERVATION, observations)
        session.run(
            "UPDATE trials SET history_seq = number WHERE experiment = :experiment AND number > 100",
            {"experiment": experiment},
        )
        session.run(
            "UPDATE experiments SET history_seq = :last WHERE id = :experiment",
            {"experiment": experiment, "last": 100 + count},
        )


if __name__ == "__main__":
    main()
