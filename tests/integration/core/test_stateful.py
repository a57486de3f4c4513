"""In any order of operations the budget is exact, no lease is in excess, nothing is lost or counted twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.lifecycle.transitions import ATTEMPT, FOLD, TRIAL
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.store.tables import attempts, experiments, folds, trials
from tests.contract.world import CoreWorld, FakeWorker

pytestmark = pytest.mark.timeout(900)  # a busy machine takes minutes
PICK = st.integers(min_value=0, max_value=10_000)


class Chaos(RuleBasedStateMachine):
    """Workers that finish, fail, freeze, die and come back, answers that get lost, a server that restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = CoreWorld(self.folder)
        self.experiment = ""
        self.budget = 0
        self.last: dict[str, dict[Any, str]] = {}
        self.steps: dict[str, int] = {}

    @initialize(
        budget=st.integers(3, 12),
        parallelism=st.integers(1, 4),
        retries=st.integers(0, 1),
        folds=st.integers(1, 3),
        prunes=st.booleans(),
        early=st.sampled_from([None, "asha", "median"]),
    )
    def create(self, budget: int, parallelism: int, retries: int, folds: int, prunes: bool, early: str | None) -> None:
        self.budget = budget
        self.parallelism = parallelism
        self.folds = folds
        self.experiment = self.world.create(
            budget=budget,
            parallelism=parallelism,
            retries=retries,
            early_stopping={"type": early, "reduction": 1.5 if early == "asha" else None} if early else None,
            folds={"count": folds, "prune_after": 1 if prunes and folds > 1 else None},
        )
        self.world.tick()

    def worker(self, pick: int) -> FakeWorker | None:
        workers = list(self.world.workers.values())
        return workers[pick % len(workers)] if workers else None

    @rule(pick=PICK, want=st.integers(0, 4), lose=st.booleans())
    def ask(self, pick: int, want: int, lose: bool) -> None:
        if worker := self.worker(pick):
            worker.call(want=want, lose_answer=lose)

    @rule(pick=PICK, which=PICK, fail=st.booleans(), lose=st.booleans(), want=st.integers(0, 2))
    def finish(self, pick: int, which: int, fail: bool, lose: bool, want: int) -> None:
        worker = self.worker(pick)
        if worker is None or not worker.leases:
            return
        lease = list(worker.leases.values())[which % len(worker.leases)]
        failed: dict[str, Any] = {
            "state": "failed",
            "exit_code": 1,
            "points": [],
            "reason": {"code": "exit_code", "message": "exited with code 1"},
        }
        report = worker.finish(lease, **(failed if fail else {}))
        worker.call(want=want, finished=[report], lose_answer=lose)
        if lose:
            worker.call(finished=[report])

    @rule(pick=PICK)
    def start(self, pick: int) -> None:
        worker = self.worker(pick)
        if worker is not None and worker.leases:
            worker.call(beats=[worker.started(lease) for lease in worker.leases.values()])

    @rule(pick=PICK, steps=st.integers(1, 3), lose=st.booleans(), again=st.booleans())
    def report(self, pick: int, steps: int, lose: bool, again: bool) -> None:
        """Trials advance by some steps; the message or its answer may come twice or get lost."""
        worker = self.worker(pick)
        if worker is None:
            return
        beats = []
        for number, lease in enumerate(worker.leases.values()):
            first = self.steps.get(lease["attempt"], 0)
            self.steps[lease["attempt"]] = first + steps
            points = [
                [step, "loss", number + lease["trial"] / 100, step + 1, None] for step in range(first, first + steps)
            ]
            beats.append(worker.started(lease) | {"points": points})
        worker.call(beats=beats, lose_answer=lose)
        if again:
            worker.call(beats=beats)

    @rule(pick=PICK, lose=st.booleans())
    def obey(self, pick: int, lose: bool) -> None:
        """End what was ordered to end as pruned, as the order said."""
        worker = self.worker(pick)
        if worker is None:
            return
        held = dict(worker.leases)
        orders = [order for order in worker.call()["orders"] if order["state"] == "pruned" and order["attempt"] in held]
        worker.leases |= {order["attempt"]: held[order["attempt"]] for order in orders}
        reports = [
            worker.finish(held[order["attempt"]], state="pruned", points=[], reason=order["reason"]) for order in orders
        ]
        worker.call(finished=reports, lose_answer=lose)

    @rule(pick=PICK)
    def die(self, pick: int) -> None:
        if worker := self.worker(pick):
            self.world.backend.gone[worker.id] = "killed by signal 9"
            self.world.tick()

    @rule()
    def everybody_is_silent(self) -> None:
        self.world.tick()
        self.world.hear_nothing(self.world.core.lease_seconds + 1)
        self.world.tick()

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule()
    def restart(self) -> None:
        self.world.close()
        self.world.open()

    @rule(now=st.booleans())
    def pause(self, now: bool) -> None:
        change_experiment.pause(self.world.core, self.experiment, now, "ada")

    @rule()
    def resume(self) -> None:
        change_experiment.resume(self.world.core, self.experiment, "ada")

    @rule(more=st.integers(1, 3))
    def extend(self, more: int) -> None:
        if self.budget < 20:
            self.budget += more
            change_experiment.change_experiment(self.world.core, self.experiment, Changes(budget=self.budget), "ada")

    def rows(self, query: Any) -> list[Any]:
        with self.world.core.store.reading() as session:
            return [tuple(row) for row in session.connection.execute(query)]

    @invariant()
    def counters_are_true_and_limits_hold(self) -> None:
        if not self.experiment:
            return
        state_counts = self.rows(select(trials.c.state, func.count()).group_by(trials.c.state))
        holding = select(func.count()).select_from(attempts).where(attempts.c.state.in_(("leased", "running")))
        live = self.rows(holding)[0][0]
        active = self.rows(select(func.count()).select_from(folds).where(folds.c.state == "active"))[0][0]
        counts = self.world.status(self.experiment)["counts"]
        assert {state: n for state, n in counts.items() if n} == dict(state_counts)
        assert live == active <= self.parallelism
        pending = self.rows(select(func.count()).select_from(folds).where(folds.c.state == "pending"))[0][0]
        assert [(pending, live)] == self.rows(select(experiments.c.pending_folds, experiments.c.live_attempts))
        finished = counts["completed"] + counts["failed"] + counts["pruned"]
        assert finished + counts["queued"] + counts["running"] <= self.budget

    @invariant()
    def only_changes_of_the_table_happen(self) -> None:
        """Between two looks a row may have taken several steps, so reachability in the table is what is checked."""
        task_rows = self.rows(select(folds.c.trial, folds.c.fold, folds.c.state))
        now: dict[str, dict[Any, str]] = {
            "attempt": dict(self.rows(select(attempts.c.id, attempts.c.state))),
            "fold": {(trial, fold): state for trial, fold, state in task_rows},
            "trial": dict(self.rows(select(trials.c.number, trials.c.state))),
        }
        for machine, table in (("attempt", ATTEMPT), ("fold", FOLD), ("trial", TRIAL)):
            for identity, before in self.last.get(machine, {}).items():
                assert now[machine][identity] in reachable(table, before), (machine, identity, before)
        self.last = now

    def teardown(self) -> None:
        if self.experiment:
            for _ in range(30):
                change_experiment.resume(self.world.core, self.experiment, "ada")
                status = self.world.run(self.experiment)
                if status["state"] != "paused":
                    break
            counts = status["counts"]
            assert status["state"] in ("completed", "failed"), status
            assert counts["completed"] + counts["failed"] + counts["pruned"] == self.budget
            done = select(folds.c.trial).where(folds.c.state == "done")
            assert len(self.rows(done)) >= counts["completed"] * self.folds
            assert counts["queued"] == counts["running"] == counts["cancelled"] == 0
            numbers = [trial["number"] for trial in self.world.trials(self.experiment)]
            assert numbers == list(range(1, self.budget + 1))
        self.world.close()
        shutil.rmtree(self.folder)


def reachable(table: Any, state: str) -> set[str]:
    """Every state that follows `state` in any number of steps, itself included."""
    states, fresh = {state}, {state}
    while fresh:
        fresh = {str(after) for (before, _), after in table.items() if str(before) in fresh} - states
        states |= fresh
    return states


def test_every_trial_state_that_is_over_stays() -> None:
    for state in TrialState:
        if state.over:
            assert reachable(TRIAL, str(state)) == {str(state)}


TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
