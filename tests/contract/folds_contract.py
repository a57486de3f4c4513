"""The promises of folds, one class for every store."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from orchestune.errors import Conflict
from orchestune.services.commands import rerun_trial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import uploads
from orchestune.services.queries import read_logs, read_trials
from orchestune.store.statements.pruning import PUT_OBSERVATION
from tests.contract.world import CoreWorld, FakeWorker
from tests.contract.world_contract import WorldContract

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
FAILED: dict[str, Any] = {
    "state": "failed",
    "exit_code": 1,
    "points": [],
    "reason": {"code": "exit_code", "message": "exited with code 1"},
}


def folds(count: int, prune_after: int | None = None) -> dict[str, Any]:
    """The part of a specification."""
    return {"folds": {"count": count, "prune_after": prune_after}}


def measure(leases: list[tuple[FakeWorker, dict[str, Any]]], *values: float) -> list[dict[str, Any]]:
    """Let these leases end with these losses, one after the other; what their workers were ordered then."""
    orders = []
    for (worker, lease), value in zip(leases, values, strict=True):
        answer = worker.call(finished=[worker.finish(lease, value)])
        assert answer["acks"][0]["result"] == "ok"
        orders += answer["orders"]
    return orders


class FoldsContract(WorldContract):
    """One task each; a trial is what its folds are together."""

    def test_a_trial_is_the_mean_of_its_folds_and_the_budget_counts_trials(self, world: CoreWorld) -> None:
        experiment = world.create(budget=7, parallelism=4, **folds(3))
        status = world.run(experiment)
        assert (status["state"], status["counts"]["completed"]) == ("completed", 7)
        for trial in world.trials(experiment):
            assert [attempt["fold"] for attempt in trial["attempts"]] == [0, 1, 2]
            assert trial["metrics"]["loss"] == {"value": pytest.approx(trial["parameters"]["x"]), "stddev": 0.0}

    def test_a_pruned_trial_was_ended_where_its_last_fold_was_at_the_last_step(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=2, early_stopping={"type": "median"}, **folds(2))
        (worker, lease), *_ = world.lease(2)
        observation = {"experiment": experiment, "trial": 1, "step": 3.0, "best": 0.0, "mean": 0.0}
        with world.core.store.transaction() as session:
            session.many(
                PUT_OBSERVATION, [observation | {"fold": fold, "seq": 2 - fold, "loss": fold / 2} for fold in (1, 0)]
            )
        worker.call(finished=[worker.finish(lease, state="pruned", points=[])])
        assert [observation.last for observation in world.observations(experiment)] == [(3.0, 0.5)]

    def test_each_fold_is_told_which_one_it_is_and_its_value_is_kept(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=3, **folds(3))
        leases = world.lease(3)
        assert [(lease["trial"], lease["fold"], lease["folds"]) for _, lease in leases] == [
            (1, 0, 3), (1, 1, 3), (1, 2, 3),
        ]  # fmt: skip
        assert len({lease["seed"] for _, lease in leases}) == 1
        measure(leases, 0.1, 0.2, 0.6)
        trial = world.trial(experiment, 1)
        assert trial["state"] == "completed"
        spread = statistics.stdev([0.1, 0.2, 0.6])
        assert trial["metrics"]["loss"] == {"value": pytest.approx(0.3), "stddev": pytest.approx(spread)}
        assert [task["metrics"]["loss"]["value"] for task in trial["folds"]] == [0.1, 0.2, 0.6]

    def test_what_is_printed_names_its_fold(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=2, **folds(2))
        alone = world.create(budget=1, parallelism=1)
        for worker, lease in world.lease(3):
            worker.call(beats=[worker.started(lease) | {"logs": [[0, f"{lease['fold']} of {lease['folds']}\n", 0]]}])
        printed = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert sorted((item["fold"], item["text"]) for item in printed) == [(0, "0 of 2\n"), (1, "1 of 2\n")]
        (only,) = read_logs.logs(world.core, alone, 0, 100)["items"]
        assert (only["fold"], only["text"]) == (None, "0 of 1\n")

    def test_a_fold_that_diverges_to_a_huge_value_ends_with_it(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=3, **folds(3, 2))
        measure(world.lease(3), 1e200, 0.5, -1.7e308)
        assert world.status(experiment)["state"] == "completed"
        trial = world.trial(experiment, 1)
        assert trial["metrics"]["loss"]["value"] == pytest.approx(-1.7e308 / 3)

    def test_folds_of_a_trial_that_has_begun_go_before_new_trials(self, world: CoreWorld) -> None:
        world.create(budget=4, parallelism=2, engine="tpe", **folds(3))
        leased_folds = []
        for _ in range(6):
            leases = world.lease(2)
            leased_folds += [(lease["trial"], lease["fold"]) for _, lease in leases]
            measure(leases, 0.5, 0.5)
        assert leased_folds == [(trial, fold) for trial in (1, 2, 3, 4) for fold in (0, 1, 2)]

    def test_all_places_are_used_while_the_last_fold_of_a_trial_runs(self, world: CoreWorld) -> None:
        experiment = world.create(budget=4, parallelism=2, engine="tpe", **folds(3))
        first, second = world.lease(2)
        measure([first], 0.5)
        third = world.lease(1)[0]
        measure([second], 0.5)
        other = world.lease(1)[0]
        assert (third[1]["trial"], other[1]["trial"]) == (1, 2)
        assert world.status(experiment)["counts"]["running"] == 2

    def test_more_folds_than_trials_may_run_at_the_same_time(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=5, **folds(3))
        assert world.status(experiment)["parallelism"] == 5
        assert [(lease["trial"], lease["fold"]) for _, lease in world.lease(5)] == [
            (1, 0), (1, 1), (1, 2), (2, 0), (2, 1),
        ]  # fmt: skip

    def test_a_failed_fold_is_tried_again_and_then_fails_the_trial_and_cancels_the_others(
        self, world: CoreWorld
    ) -> None:
        experiment = world.create(budget=3, parallelism=2, retries=1, **folds(4))
        (worker, lease), (other, sibling) = world.lease(2)
        worker.call(finished=[worker.finish(lease, **FAILED)])
        assert world.trials(experiment)[0]["state"] == "running"
        world.clock.pass_time(10)
        again, retried = world.lease(1)[0]
        assert (retried["trial"], retried["fold"], retried["number"]) == (1, 0, 2)
        orders = again.call(finished=[again.finish(retried, **FAILED)])["orders"] + other.call()["orders"]
        trial = world.trial(experiment, 1)
        assert (trial["state"], trial["reason"]["code"]) == ("failed", "exit_code")
        assert [task["state"] for task in trial["folds"]] == ["failed", "cancelled", "cancelled", "cancelled"]
        [order] = orders
        assert (order["attempt"], order["state"]) == (sibling["attempt"], "cancelled")
        assert "another fold failed: exited with code 1" in order["reason"]["message"]
        assert other.call(finished=[other.finish(sibling)])["acks"][0]["result"] == "superseded"
        counts = world.run(experiment)["counts"]
        assert (counts["completed"], counts["failed"]) == (2, 1)

    def test_a_worker_hears_at_once_that_its_fold_is_no_longer_wanted(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=3, parallelism=2, **folds(2))
        (worker, lease), _ = world.lease(2)
        all_topics: set[str] = set()
        monkeypatch.setattr(world.core.signals, "notify", lambda *topics: all_topics.update(topics))
        worker.call(finished=[worker.finish(lease, **FAILED)])
        assert world.trials(experiment)[0]["state"] == "failed"
        assert f"work:{experiment}" in all_topics

    def test_a_lost_fold_is_offered_again_and_the_others_go_on(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=2, **folds(2))
        (worker, lease), (other, sibling) = world.lease(2)
        measure([(other, sibling)], 0.2)
        world.backend.gone[worker.id] = "killed by signal 9"
        world.tick(2)
        assert world.trials(experiment)[0]["state"] == "running"
        newer = world.lease(1)[0]
        assert (newer[1]["fold"], newer[1]["token"]) == (lease["fold"], 2)
        measure([newer], 0.4)
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == pytest.approx(0.3)

    def test_a_late_result_of_a_fold_is_good_until_a_newer_attempt_is_leased(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1, **folds(2))
        worker, lease = world.lease()[0]
        world.tick()
        world.hear_nothing(20)
        for controller in world.controllers[:2]:
            controller.tick()
        assert world.trials(experiment)[0]["state"] == "queued"
        measure([(worker, lease)], 0.5)
        assert world.trials(experiment)[0]["state"] == "running"
        assert world.run(experiment)["counts"]["completed"] == 1
        assert [attempt["fold"] for attempt in world.trials(experiment)[0]["attempts"]] == [0, 1]

    def test_a_trial_whose_mean_cannot_become_the_best_is_pruned_after_a_few_folds(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=3, **folds(3, prune_after=2))
        measure(world.lease(3), 0.3, 0.2, 0.1)  # the best so far: 0.2
        hopeless = world.lease(3)
        measure(hopeless[:1], 0.9)
        assert world.trials(experiment)[1]["state"] == "running", "one fold is not enough to say so"
        orders = measure(hopeless[1:2], 0.8)
        trial = world.trial(experiment, 2)
        assert (trial["state"], trial["reason"]["code"]) == ("pruned", "pruned")
        assert "after 2 of 3 folds" in trial["reason"]["message"]
        assert trial["metrics"]["loss"]["value"] == pytest.approx(0.85)
        worker, third = hopeless[2]
        orders += worker.call()["orders"]
        assert [order["attempt"] for order in orders] == [third["attempt"]]
        promising = world.lease(3)
        measure(promising[:2], 0.25, 0.19)  # with 0.1 in the third fold its mean is better than 0.2
        assert world.trials(experiment)[2]["state"] == "running"
        measure(promising[2:], 0.1)
        status = world.run(experiment)
        assert (status["counts"]["completed"], status["counts"]["pruned"]) == (2, 1)
        assert status["best"][0]["trial"] == 3

    def test_of_several_metrics_a_trial_is_pruned_only_where_it_cannot_come_onto_the_front(
        self, world: CoreWorld
    ) -> None:
        metrics = [{"name": "loss", "goal": "minimize"}, {"name": "accuracy", "goal": "maximize"}]
        experiment = world.create(budget=4, parallelism=3, metrics=metrics, **folds(3, prune_after=2))

        def both(leases: list[tuple[FakeWorker, dict[str, Any]]], loss: float, accuracy: float) -> None:
            for worker, lease in leases:
                points = [[0, "loss", loss, None, None], [1, "accuracy", accuracy, None, None]]
                worker.call(finished=[worker.finish(lease, points=points)])

        both(world.lease(3), 0.2, 0.5)
        accurate = world.lease(3)
        both(accurate[:2], 0.9, 0.9)
        assert world.trials(experiment)[1]["state"] == "running", "it may be the most accurate one"
        both(accurate[2:], 0.9, 0.9)
        third = world.lease(3)
        both(third[:2], 0.9, 0.4)  # with 0.9 in the third fold it is more accurate than the first trial
        assert world.trials(experiment)[2]["state"] == "running"
        both(third[2:], 0.9, 0.4)
        both(world.lease(3)[:2], 0.9, 0.1)
        hopeless = world.trials(experiment)[3]
        assert hopeless["state"] == "pruned"
        assert "loss 0.666667, accuracy 0.366667 at best; the best trial has loss 0.2, accuracy 0.5" in str(hopeless)
        assert [entry["trial"] for entry in world.status(experiment)["best"]] == [1, 2]

    def test_each_fold_has_its_own_checkpoint(self, world: CoreWorld) -> None:
        world.create(budget=1, parallelism=2, checkpoint_every=1.0, **folds(2))
        (worker, lease), (other, sibling) = world.lease(2)
        uploads.append(world.core, worker.id, HELLO, 0, b"hello")
        checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": HELLO, "step": 7}
        assert worker.checkpoint(checkpoint) == {"accepted": True}
        for holder, held in ((worker, lease), (other, sibling)):
            holder.call(finished=[holder.finish(held, state="preempted", points=[])])
        again = {leased["fold"]: leased["checkpoint"] for _, leased in world.lease(2)}
        assert again == {lease["fold"]: {"digest": HELLO, "step": 7}, sibling["fold"]: None}

    def test_files_of_folds_do_not_replace_each_other(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=2, **folds(2))
        for worker, lease in world.lease(2):
            uploads.append(world.core, worker.id, HELLO, 0, b"hello")
            files = [{"path": "best.pt", "digest": HELLO, "size": 5}]
            artifacts = {"attempt": lease["attempt"], "token": lease["token"], "files": files}
            worker.keep_artifacts(artifacts)
        artifact_list = read_trials.artifacts(world.core, experiment, 1)
        assert [file["path"] for file in artifact_list] == ["fold-0/best.pt", "fold-1/best.pt"]

    def test_a_rerun_has_the_same_folds_and_continues_none(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=2, **folds(2))
        world.run(experiment)
        again = rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(), "ada")
        assert world.run(again["id"])["counts"]["completed"] == 1
        assert len(world.trials(again["id"])[0]["attempts"]) == 2
        with pytest.raises(Conflict, match="2 folds"):
            rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(from_checkpoint=True), "ada")
