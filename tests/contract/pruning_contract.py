"""The promises of early stopping, with processes that die in between, one class for every store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestune.errors import BadInput, Conflict, Denied
from orchestune.services.commands import change_experiment
from orchestune.services.execution import report_metrics, uploads
from orchestune.services.memory.pruner_cache import PrunerCache
from orchestune.services.queries import read_experiments
from orchestune.services.signatures import report_signature
from orchestune.store.statements.pruning import NEW_OBSERVATIONS
from tests.contract.world import CoreWorld, Document, FakeWorker, decoded
from tests.contract.world_contract import WorldContract

RULE = {"type": "asha", "min_steps": 1, "reduction": 2}
METRICS = [{"name": "loss", "goal": "minimize"}]
GOOD, BAD = 0.1, 0.9


class PruningContract(WorldContract):
    """Two trials at a time report a loss; the rule keeps the better half at the steps 1, 2, 4, …"""

    def create(self, world: CoreWorld, **changes: Any) -> str:
        """An experiment with that rule."""
        return world.create(**{"budget": 6, "parallelism": 2, "early_stopping": RULE, "metrics": METRICS} | changes)

    def ordered(self, world: CoreWorld) -> tuple[str, FakeWorker, Document]:
        """An experiment whose second trial is to be pruned; its worker has not received the order yet."""
        experiment = self.create(world)
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, GOOD, step=1)])
        second.call(beats=[reports(bad, BAD, step=1)], lose_answer=True)
        return experiment, second, bad

    @pytest.mark.parametrize(
        ("first", "seconds", "why"),
        [
            (10, 0.5, ""),
            (50, 0.5, "it compares from step 50 on (`min_steps`), and the trials end at step 20"),
            (10, 0.2, "they end within 0.2 s, before a stop order reaches them"),
        ],
    )
    def test_a_rule_that_can_end_no_trial_says_so(self, world: CoreWorld, first: int, seconds: float, why: str) -> None:
        experiment = self.create(world, parallelism=1, early_stopping=RULE | {"min_steps": first})
        for number in range(5):
            assert world.status(experiment)["notes"] == [], "too little is known"
            [(worker, lease)] = world.lease()
            points = [[place, "loss", GOOD - number / 100, place + 1, None] for place in range(20)]
            worker.call(finished=[worker.finish(lease, points=points, wall=seconds)])
        notes = [f"early stopping (asha) has pruned no trial: {why}"] if why else []
        assert world.status(experiment)["notes"] == notes

    # the decision

    def test_a_worker_is_told_in_the_answer_to_the_points_that_decided_it(self, world: CoreWorld) -> None:
        experiment = self.create(world)
        (first, good), (second, bad) = world.lease(2)
        assert first.call(beats=[reports(good, GOOD, step=1)])["orders"] == []
        orders = second.call(beats=[reports(bad, BAD, step=1)])["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(bad["attempt"], "pruned")]
        assert orders[0]["reason"]["code"] == "pruned"
        assert "asha: loss 0.9 at step 1 is not among the best 1/2 of 2 trials" in orders[0]["reason"]["message"]
        assert "grace" not in orders[0]
        assert world.status(experiment)["counts"]["running"] == 2, "until it has ended"

    def test_a_pruned_trial_counts_with_its_last_value_and_never_as_the_best(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        assert end_as_ordered(worker, bad, points=[[1, "loss", 0.85, 2, None]]) == "ok"
        status = world.trial(experiment, bad["trial"])
        assert (status["state"], status["metrics"]["loss"]["value"]) == ("pruned", 0.85)
        assert status["attempts"][0]["state"] == "pruned"
        assert status["reason"]["message"].startswith("asha: ")
        status = world.run(experiment)
        assert status["counts"]["pruned"] == 1
        assert status["counts"]["completed"] == 5
        assert status["reason"]["code"] == "budget"
        assert status["best"][0]["trial"] != bad["trial"]

    def test_a_trial_that_ended_by_itself_meanwhile_completes(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        assert worker.call(finished=[worker.finish(bad, BAD)])["acks"][0]["result"] == "ok"
        assert world.trials(experiment)[bad["trial"] - 1]["state"] == "completed"

    def test_a_trial_that_failed_by_itself_meanwhile_has_failed(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        reason = {"code": "exit_code", "message": "exited with code 1"}
        worker.call(finished=[worker.finish(bad, state="failed", exit_code=1, points=[], reason=reason)])
        assert world.trials(experiment)[bad["trial"] - 1]["state"] == "failed"

    def test_the_steps_of_values_without_one_are_counted(self, world: CoreWorld) -> None:
        self.create(world)
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, GOOD)])
        first.call(beats=[reports(good, GOOD, sequence=1)])
        assert second.call(beats=[reports(bad, GOOD)])["orders"] == []
        assert "at step 2" in second.call(beats=[reports(bad, BAD, sequence=1)])["orders"][0]["reason"]["message"]

    def test_other_metrics_decide_nothing(self, world: CoreWorld) -> None:
        self.create(world, early_stopping=RULE | {"metric": "loss"})
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, GOOD, step=1)])
        assert second.call(beats=[reports(bad, BAD, step=1, name="speed")])["orders"] == []

    def test_the_grace_of_the_rule_goes_with_the_order(self, world: CoreWorld) -> None:
        self.create(world, early_stopping=RULE | {"grace": 3.5})
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, GOOD, step=1)])
        assert second.call(beats=[reports(bad, BAD, step=1)])["orders"][0]["grace"] == 3.5

    def test_a_value_that_is_not_finite_is_the_worst(self, world: CoreWorld) -> None:
        self.create(world)
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, 1e9, step=1)])
        assert "not finite" in second.call(beats=[reports(bad, "nan", step=1)])["orders"][0]["reason"]["message"]

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"type": "ash"}, r"early_stopping\.type: unknown rule 'ash' \(did you mean asha\?\)"),
            ({"type": "median", "reduction": 3}, r"early_stopping\.reduction: does not apply to the rule 'median'"),
            ({"type": "asha", "reduction": 1}, r"early_stopping\.reduction: must be more than 1 \(found 1\)"),
            (
                {"type": "asha", "metric": "los"},
                (
                    r"early_stopping\.metric: unknown metric 'los' \(declared"
                    r" metrics: loss\)"
                ),
            ),
        ],
    )
    def test_a_rule_that_cannot_be_is_refused_before_anything_is_there(
        self, world: CoreWorld, rule: Document, message: str
    ) -> None:
        with pytest.raises(BadInput, match=message):
            self.create(world, early_stopping=rule)
        assert read_experiments.statuses(world.core)["items"] == []

    # orders that get lost, workers and servers that die

    def test_an_order_is_repeated_until_the_attempt_has_ended(self, world: CoreWorld) -> None:
        _, worker, bad = self.ordered(world)
        for _ in range(3):
            assert worker.call(lose_answer=True)["orders"][0]["state"] == "pruned"
        assert end_as_ordered(worker, bad) == "ok"
        assert worker.call()["orders"] == []

    def test_an_order_comes_with_answers_to_calls_that_do_not_tell_what_is_live(self, world: CoreWorld) -> None:
        _, worker, bad = self.ordered(world)
        worker.leases.clear()
        answer = worker.report_only()
        assert [order.attempt for order in answer.orders] == [bad["attempt"]]

    def test_an_end_that_is_told_twice_counts_once(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        assert end_as_ordered(worker, bad) == "ok"
        worker.leases[bad["attempt"]] = bad
        assert end_as_ordered(worker, bad) == "ok"
        assert world.status(experiment)["counts"]["pruned"] == 1

    def test_a_worker_that_dies_with_the_order_leaves_a_pruned_trial_that_is_not_run_again(
        self, world: CoreWorld
    ) -> None:
        experiment, worker, bad = self.ordered(world)
        world.backend.gone[worker.id] = "killed by signal 9"
        world.tick()
        status = world.trial(experiment, bad["trial"])
        assert (status["state"], status["metrics"]["loss"]["value"]) == ("pruned", BAD)
        status = world.run(experiment)
        assert status["counts"]["pruned"] + status["counts"]["completed"] == 6
        assert len(world.trial(experiment, bad["trial"])["attempts"]) == 1

    def test_a_silent_worker_whose_trial_was_pruned_is_told_when_it_comes_back(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        world.tick()
        world.hear_nothing(world.core.lease_seconds + 1)
        world.tick()
        assert world.trials(experiment)[bad["trial"] - 1]["state"] == "pruned"
        world.backend.gone.clear()
        orders = worker.call()["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(bad["attempt"], "pruned")]
        worker.leases[bad["attempt"]] = bad
        assert end_as_ordered(worker, bad) == "ok"
        assert worker.call(finished=[worker.finish(bad, 0.0)])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["pruned"] == 1

    def test_a_worker_that_stops_with_the_order_leaves_a_pruned_trial(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        reason = {"code": "worker_stopped", "message": "the worker was asked to stop"}
        worker.call(finished=[worker.finish(bad, state="preempted", points=[], reason=reason)])
        trial = world.trials(experiment)[bad["trial"] - 1]
        assert (trial["state"], trial["reason"]["code"]) == ("pruned", "pruned")

    def test_a_restart_between_decision_and_order_loses_nothing(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        world.close()
        world.open()
        assert worker.call()["orders"][0]["state"] == "pruned"
        end_as_ordered(worker, bad)
        assert world.status(experiment)["counts"]["pruned"] == 1

    def test_a_restarted_server_decides_as_the_one_before(self, world: CoreWorld) -> None:
        self.create(world, parallelism=2)
        (first, good), (second, bad) = world.lease(2)
        for step in range(1, 4):
            first.call(beats=[reports(good, GOOD, step=step, sequence=step)])
            assert second.call(beats=[reports(bad, GOOD, step=step, sequence=step)])["orders"] == []
        first.call(beats=[reports(good, GOOD, step=4, sequence=4)])
        world.close()
        world.open()
        assert second.call(beats=[reports(bad, BAD, step=4, sequence=4)])["orders"][0]["state"] == "pruned"

    def test_a_restarted_server_looks_no_more_at_steps_that_a_trial_has_left_behind(self, world: CoreWorld) -> None:
        """Steps begin again if a script trains the same model twice."""
        self.create(world)
        (first, good), (second, bad) = world.lease(2)
        for sequence, step in enumerate((1, 2, 4, 1)):
            first.call(beats=[reports(good, GOOD, step=step, sequence=sequence)])
            assert second.call(beats=[reports(bad, 0.05, step=step, sequence=sequence)])["orders"] == []
        for step in (2, 3):
            assert second.call(beats=[reports(bad, BAD, step=step, sequence=step + 2)])["orders"] == []
            world.close()
            world.open()
        assert second.call(beats=[reports(bad, BAD, step=4, sequence=6)])["orders"] == []

    def test_points_that_come_again_after_a_restart_are_taken_once(self, world: CoreWorld) -> None:
        experiment = self.create(world, early_stopping={"type": "median"})
        (first, good), _ = world.lease(2)
        values = [[place, "loss", value, place + 1, None] for place, value in enumerate((4.0, 2.0, 0.0))]
        report = reports(good, 4.0)
        first.call(beats=[report | {"points": values[:2]}])
        world.close()
        world.open()
        first.call(beats=[report | {"points": values[:2]}])
        first.call(beats=[report | {"points": values}])
        assert self.observations(world, experiment)[-1] == (good["trial"], 3.0, 0.0, 0.0, 2.0)

    @pytest.mark.parametrize("by_http", [False, True], ids=["its worker", "HTTP"])
    def test_points_of_an_attempt_that_reach_two_servers_in_turn_are_one_curve(
        self, world: CoreWorld, by_http: bool
    ) -> None:
        """No step is said, so that each has to know how many there were."""
        experiment = self.create(world, early_stopping={"type": "median"}, parallelism=1)
        [(worker, lease)] = world.lease()
        servers = [world.core, replace(world.core, pruners=PrunerCache())]
        for place, value in enumerate((4.0, 2.0, 6.0, 0.0, 3.0)):
            worker.core = world.core = servers[place % 2]
            if by_http:
                http(world, lease, {"loss": value})
            else:
                worker.call(beats=[reports(lease, value, sequence=place)])
        expected = [(lease["trial"], 1.0, 4.0, 4.0, 4.0), (lease["trial"], 2.0, 2.0, 2.0, 3.0),
                 (lease["trial"], 3.0, 6.0, 2.0, 4.0), (lease["trial"], 4.0, 0.0, 0.0, 3.0),
                 (lease["trial"], 5.0, 3.0, 0.0, 3.0)]  # fmt: skip
        assert self.observations(world, experiment) == expected

    def test_values_that_are_not_finite_count_after_a_restart_too(self, world: CoreWorld) -> None:
        experiment = self.create(world, early_stopping={"type": "median"})
        (first, good), (second, other) = world.lease(2)
        values: tuple[float | str, ...] = ("nan", 1.0, "nan")
        for worker, lease in ((first, good), (second, other)):
            for sequence, value in enumerate(values):
                worker.call(beats=[reports(lease, value, sequence=sequence)])
        first.call(beats=[reports(good, 0.5, sequence=3)])
        world.close()
        world.open()
        second.call(beats=[reports(other, 0.5, sequence=3)])
        one, two = self.observations(world, experiment)[-2:]
        assert one[1:] == two[1:] == (4.0, 0.5, 0.5, one[4])

    def test_what_was_undone_is_forgotten(self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        experiment = self.create(world)
        (first, good), (second, bad) = world.lease(2)
        first.call(beats=[reports(good, GOOD, step=1)])
        with monkeypatch.context() as patch:
            patch.setattr("orchestune.services.execution.locked_experiment.Ledger.close", fail)
            with pytest.raises(RuntimeError):
                second.call(beats=[reports(bad, 0.05, step=1)])
        assert len(self.observations(world, experiment)) == 1
        assert second.call(beats=[reports(bad, BAD, step=1)])["orders"][0]["state"] == "pruned"
        assert len(self.observations(world, experiment)) == 2

    def test_pausing_does_not_take_back_an_order(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        change_experiment.pause(world.core, experiment, True, "ada")
        assert worker.call()["orders"][0]["state"] == "pruned"
        end_as_ordered(worker, bad)
        assert world.status(experiment)["counts"]["pruned"] == 1

    def test_stopping_cancels_what_was_ordered_to_end(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        change_experiment.stop(world.core, experiment, "ada")
        assert worker.call()["orders"][0]["state"] == "cancelled"
        assert end_as_ordered(worker, bad) == "superseded"
        assert world.status(experiment)["counts"]["pruned"] == 0

    def test_no_place_is_free_before_the_process_has_ended(self, world: CoreWorld) -> None:
        _, worker, bad = self.ordered(world)
        for other in list(world.workers.values()):
            assert other.call(want=8)["leases"] == []
        end_as_ordered(worker, bad)
        world.tick()
        assert len([lease for other in list(world.workers.values()) for lease in other.call(want=8)["leases"]]) == 1

    # attempts that resume from a checkpoint

    def test_a_resumed_attempt_keeps_the_curve_of_the_one_before(self, world: CoreWorld) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "best"}]
        experiment = self.create(world, budget=1, metrics=metrics, checkpoint_every=1.0)
        worker, lease = world.lease()[0]
        for step, value in enumerate((0.9, 0.2, 0.1), start=1):
            worker.call(beats=[reports(lease, value, step=step, sequence=step)])
        publish(world, worker, lease, step=2)
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        worker, again = world.lease()[0]
        assert again["checkpoint"]["step"] == 2
        for place, value in enumerate((0.3, 0.4)):
            worker.call(beats=[reports(again, value, sequence=place)])
        assert self.observations(world, experiment)[-1][:4] == (1, 4.0, 0.4, 0.2), (
            "steps go on, the lost value is forgotten"
        )
        worker.call(finished=[worker.finish(again, points=[])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.2

    def test_points_of_an_attempt_that_seems_lost_are_kept_for_its_late_end(self, world: CoreWorld) -> None:
        experiment = self.create(world, budget=1, metrics=[METRICS[0] | {"take": "best"}])
        worker, lease = world.lease()[0]
        world.tick()
        world.hear_nothing(20)
        for controller in world.controllers[:2]:
            controller.tick()
        worker.call(beats=[reports(lease, 0.25, step=1)])
        worker.call(finished=[worker.finish(lease, points=[[1, "loss", 0.5, 2, None]])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.25

    # by HTTP

    def test_a_report_by_http_is_answered_at_once(self, world: CoreWorld) -> None:
        self.create(world)
        (_, good), (worker, bad) = world.lease(2)
        assert http(world, good, {"loss": GOOD, "step": 1}) == {"stop": False, "reason": None}
        answer = http(world, bad, {"loss": BAD, "step": 1})
        assert answer["stop"] is True
        assert answer["reason"]["code"] == "pruned"
        assert worker.call()["orders"][0]["state"] == "pruned"

    def test_a_trial_may_ask_whether_to_stop_and_is_answered_also_when_it_is_over(self, world: CoreWorld) -> None:
        experiment, _worker, bad = self.ordered(world)
        signature = report_signature(world.core, bad["attempt"])
        answer = decoded(report_metrics.should_stop(world.core, bad["attempt"], signature))
        assert (answer["stop"], answer["reason"]["code"]) == (True, "pruned")
        with pytest.raises(Denied):
            report_metrics.should_stop(world.core, bad["attempt"], "0" * 40)
        change_experiment.stop(world.core, experiment, "ada")
        answer = decoded(report_metrics.should_stop(world.core, bad["attempt"], signature))
        assert (answer["stop"], answer["reason"]["code"]) == (True, "stopped")
        with pytest.raises(Conflict):
            http(world, bad, {"loss": 0.5})

    # the engine

    def test_the_engine_is_told_where_a_pruned_trial_ended(self, world: CoreWorld) -> None:
        experiment, worker, bad = self.ordered(world)
        end_as_ordered(worker, bad)
        observations = world.observations(experiment)
        assert [(item.number, str(item.state), item.last) for item in observations] == [
            (bad["trial"], "pruned", (1.0, BAD))
        ]

    def test_pruner_observations_go_with_their_experiment(self, world: CoreWorld) -> None:
        experiment, *_ = self.ordered(world)
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        assert self.observations(world, experiment) == []

    def observations(self, world: CoreWorld, experiment: str) -> list[tuple[Any, ...]]:
        """(trial, step, loss, best, mean) in the order of their writing."""
        with world.core.store.reading() as session:
            rows = session.rows(NEW_OBSERVATIONS, {"experiment": experiment, "after": 0})
        return [(row.trial, row.step, row.loss, row.best, row.mean) for row in rows]


def reports(
    lease: Document, value: float | str, *, step: float | None = None, sequence: int = 0, name: str = "loss"
) -> Document:
    """The beat with one value."""
    point = [sequence, name, value, step, None]
    return {"attempt": lease["attempt"], "token": lease["token"], "started": True, "age": 0.1, "points": [point]}


def end_as_ordered(worker: FakeWorker, lease: Document, points: list[Any] | None = None) -> str:
    """The process was ended as the order said: the result of the acknowledgement."""
    reason = {"code": "pruned", "message": "asha: as it was ordered"}
    report = worker.finish(lease, state="pruned", exit_code=None, signal=15, points=points or [], reason=reason)
    result: str = worker.call(finished=[report])["acks"][0]["result"]
    return result


def http(world: CoreWorld, lease: Document, values: Document) -> Document:
    """A report of the user's command."""
    attempt = lease["attempt"]
    answer: Document = decoded(
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), values)
    )
    return answer


def publish(world: CoreWorld, worker: FakeWorker, lease: Document, step: float) -> None:
    """Publish a checkpoint."""
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
    uploads.append(world.core, worker.id, digest, 0, b"hello")
    checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": step}
    assert worker.checkpoint(checkpoint) == {"accepted": True}


def fail(*_: object) -> None:
    """Raise an error in the place of a function, as a full disk would."""
    raise RuntimeError("no")
