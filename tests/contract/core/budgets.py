"""Number of trials, and their configurations."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestune.errors import BadInput, Conflict
from orchestune.services import idempotency
from orchestune.services.access.authenticate import authenticate
from orchestune.services.commands import change_experiment, create_experiment, queue_trial, rerun_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution.worker_call import WorkerNotNeeded
from orchestune.services.queries import read_experiments
from orchestune.services.signatures import worker_token
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class BudgetsContract(WorldContract):
    """Budget and parallelism, where configurations come from, who may ask."""

    def test_a_budget_is_spent_exactly(self, world: CoreWorld) -> None:
        experiment = world.create(budget=37, parallelism=5)
        status = world.run(experiment)
        assert status["state"] == "completed"
        assert status["reason"]["code"] == "budget"
        assert status["counts"] == {
            "queued": 0, "running": 0, "completed": 37, "failed": 0, "pruned": 0, "cancelled": 0,
        }  # fmt: skip
        assert [trial["number"] for trial in world.trials(experiment)] == list(range(1, 38))

    def test_a_budget_is_lowered_to_what_has_begun_or_was_asked_for(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1000, parallelism=2)
        [(worker, lease), _] = world.lease(2)
        worker.call(finished=[worker.finish(lease)])
        queued_number = queue_trial.queue_trial(world.core, experiment, {"x": 0.5}, "ada")["number"]
        world.tick()
        assert world.status(experiment)["counts"]["queued"] > 10
        with pytest.raises(Conflict, match="3 trials were started already") as caught:
            change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        assert caught.value.hint == "set the budget to 3 or more"
        assert world.status(experiment)["counts"]["cancelled"] == 0
        change_experiment.change_experiment(world.core, experiment, Changes(budget=4), "ada")
        waiting = [trial["number"] for trial in world.trials(experiment) if trial["state"] == "queued"]
        assert waiting == [3, queued_number], "the suggestion that was made first"
        status = world.run(experiment)
        assert (status["state"], status["counts"]["completed"], status["reason"]["code"]) == ("completed", 4, "budget")
        why = {str(trial["reason"]["message"]) for trial in world.trials(experiment) if trial["state"] == "cancelled"}
        assert why == {"the budget was lowered by ada"}
        change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "ada")
        assert world.run(experiment)["counts"]["completed"] == 6

    def test_no_more_leases_are_out_than_parallelism_allows(self, world: CoreWorld) -> None:
        experiment = world.create(budget=30, parallelism=3)
        world.lease(3)
        for worker in list(world.workers.values()):
            assert worker.call(want=8)["leases"] == []
        assert world.status(experiment)["counts"]["running"] == 3

    def test_failed_trials_count_and_the_best_is_the_best_of_the_completed(self, world: CoreWorld) -> None:
        experiment = world.create(budget=4, parallelism=1)
        for value in (0.5, None, 0.2, 0.9):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 3"}
            failed: dict[str, Any] = {"state": "failed", "exit_code": 3, "points": [], "reason": reason}
            report = worker.finish(lease, value) if value is not None else worker.finish(lease, **failed)
            worker.call(finished=[report])
        status = world.status(experiment)
        assert status["counts"]["completed"] == 3
        assert status["counts"]["failed"] == 1
        assert status["best"][0]["trial"] == 3
        assert status["best"][0]["metrics"]["loss"]["value"] == 0.2
        assert world.trial(experiment, 2)["reason"]["message"] == "exited with code 3"

    def test_an_option_that_the_engine_lacks_is_refused_before_anything_is_there(self, world: CoreWorld) -> None:
        with pytest.raises(BadInput, match=r"engine\.startups: unknown option of the engine 'auto'"):
            world.create(engine="auto", engine_options={"startups": 3})
        assert read_experiments.statuses(world.core)["items"] == []

    def test_only_a_trial_that_keeps_every_limit_becomes_the_best(self, world: CoreWorld) -> None:
        metrics = [
            {"name": "loss", "goal": "minimize"},
            {"name": "cost", "goal": "minimize", "constraint": "<= 20", "optimized": False},
        ]
        experiment = world.create(budget=4, parallelism=1, metrics=metrics)
        assert world.status(experiment)["metrics"][1]["constraint"] == "<= 20"
        for loss, cost in ((0.1, 21.0), (0.5, 20.0), (0.2, 50.0), (0.4, 3.0)):
            ((worker, lease),) = world.lease()
            points = [[0, "loss", loss, None, None], [0, "cost", cost, None, None]]
            worker.call(finished=[worker.finish(lease, points=points)])
            best = world.status(experiment)["best"]
            assert [item["trial"] for item in best] == {0.1: [], 0.5: [2], 0.2: [2], 0.4: [4]}[loss]
        assert list(best[0]["metrics"]) == ["loss", "cost"], "as they were declared"

    def test_a_warm_start_is_history_for_the_engine_and_counts_for_nothing_else(self, world: CoreWorld) -> None:
        results = [{"parameters": {"x": (index + 0.5) / 30}, "metrics": {"loss": {"value": abs(index - 8) / 30 - 9}}}
                 for index in range(30)]  # fmt: skip
        strange = [{"parameters": {"x": 7.0}, "metrics": {"loss": {"value": -99.0}}}]
        warm = {"source": "30 results of old-1234", "results": [*results, *strange]}
        experiment = world.create(budget=6, parallelism=1, engine="auto", warm_start=warm)
        assert world.status(experiment)["warm_start"] == {"source": "30 results of old-1234", "results": 30}
        status = world.run(experiment)
        trials = world.trials(experiment)
        assert status["counts"]["completed"] == 6
        assert status["best"][0]["metrics"]["loss"]["value"] == min(
            trial["metrics"]["loss"]["value"] for trial in trials
        )
        assert {trial["source"] for trial in trials} == {"gp", "tpe"}
        assert [trial["suggested_after"] for trial in trials] == [30, 31, 32, 33, 34, 35]
        assert abs(trials[0]["parameters"]["x"] - 8.5 / 30) < 0.2, "it went where the results were good"
        assert len(world.observations(experiment)) == 6

    def test_a_warm_start_of_which_nothing_can_be_used_is_refused(self, world: CoreWorld) -> None:
        warm = {"source": "old.csv", "results": [{"parameters": {"x": 7.0}, "metrics": {"loss": {"value": 1.0}}}]}
        with pytest.raises(BadInput, match=r"warm_start: has no usable result .*outside this space"):
            world.create(engine="auto", warm_start=warm)
        assert read_experiments.statuses(world.core)["items"] == []

    def test_a_users_configuration_is_tried_and_a_wrong_one_is_refused(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.25}, "ada")
        with pytest.raises(BadInput, match="out of range"):
            queue_trial.queue_trial(world.core, experiment, {"x": 25}, "ada")
        assert world.run(experiment)["counts"]["completed"] == 3
        first = world.trials(experiment)[0]
        assert first["source"] == "user"
        assert first["parameters"] == {"x": 0.25}

    def test_rerun_repeats_configuration_and_seed(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2)
        world.run(experiment)
        again = rerun_trial.rerun_trial(world.core, experiment, 2, Rerun(), "ada")
        status = world.run(again["id"])
        assert status["budget"] == 1
        assert status["origin"].endswith("/2")
        (old, new) = (world.trial(e, n) for e, n in ((experiment, 2), (again["id"], 1)))
        assert (old["parameters"], old["seed"]) == (new["parameters"], new["seed"])
        with pytest.raises(Conflict, match="no checkpoint") as refused:
            rerun_trial.rerun_trial(world.core, experiment, 2, Rerun(from_checkpoint=True), "ada")
        assert refused.value.hint == "only trials with `checkpoint:` can be continued"

    def test_a_rerun_may_have_another_command(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        run = ["train", "{x}", "--epochs", "80"]
        again = rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(run=run), "ada")["id"]
        specification = read_experiments.specification(world.core, again)["specification"]
        assert specification["run"] == run
        assert read_experiments.specification(world.core, experiment)["specification"]["run"] != run
        assert world.run(again)["counts"]["completed"] == 1

    def test_a_rerun_that_was_stopped_and_goes_on_is_of_the_same_trial(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, engine="random")
        world.run(experiment)
        again = rerun_trial.rerun_trial(world.core, experiment, 2, Rerun(), "ada")["id"]
        change_experiment.stop(world.core, again, "ada")
        change_experiment.resume(world.core, again, "ada")
        assert world.run(again)["counts"]["completed"] == 1
        old, new = world.trial(experiment, 2), world.trial(again, 2)
        for key in ("parameters", "seed"):
            assert old[key] == new[key]
        assert (new["source"], new["state"]) == ("rerun", "completed")

    def test_a_trial_that_ended_before_its_first_checkpoint_is_told_so(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, checkpoint_every=300.0)
        world.run(experiment)
        with pytest.raises(Conflict, match="no checkpoint") as refused:
            rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(from_checkpoint=True), "ada")
        assert "before the first upload after 300 s (`checkpoint.every`)" in refused.value.hint

    def test_the_same_request_makes_one_experiment(self, world: CoreWorld) -> None:
        first = create_experiment.create_experiment(world.core, replace(world.request(), idempotency_key="k"), "ada")
        second = create_experiment.create_experiment(world.core, replace(world.request(), idempotency_key="k"), "ada")
        assert first["id"] == second["id"]
        assert len(read_experiments.statuses(world.core)["items"]) == 1

    def test_the_same_seed_gives_the_same_configurations_whatever_restarts(self, world: CoreWorld) -> None:
        settings = {"budget": 14, "parallelism": 1, "engine": "tpe", "seed": 5}
        straight = world.create(**settings)
        world.run(straight)
        restarted = world.create(**settings)
        for _ in range(10):
            worker, lease = world.lease()[0]
            world.close()
            world.open()
            worker.call(finished=[worker.finish(lease)])
        world.run(restarted)
        first, second = ([t["parameters"] for t in world.trials(e)] for e in (straight, restarted))
        assert first == second

    def test_tokens_reach_what_they_are_for(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        [(worker, _)] = world.lease()
        token = worker_token(world.core, worker.id, experiment)
        caller = authenticate(world.core, token)
        assert caller is not None
        assert (caller.role, caller.worker, caller.experiment) == ("worker", worker.id, experiment)
        assert authenticate(world.core, token[:-1] + ("0" if token[-1] != "0" else "1")) is None
        assert authenticate(world.core, "") is None
        owner = authenticate(world.core, "secret-token")
        assert owner is not None
        assert owner.name == "ada"

    def test_a_workers_token_ends_with_the_worker(self, world: CoreWorld) -> None:
        world.run(world.create(budget=1))
        [worker] = world.workers.values()
        assert authenticate(world.core, worker.token) is not None
        world.backend.gone[worker.id] = ""
        world.tick()
        with pytest.raises(WorkerNotNeeded):
            authenticate(world.core, worker.token)

    def test_an_idempotency_key_gives_the_first_answer_again(self, world: CoreWorld) -> None:
        assert idempotency.remembered(world.core, "key", "hash") is None
        idempotency.remember(world.core, "key", "hash", 201, json.dumps({"a": 1}))
        assert idempotency.remembered(world.core, "key", "hash") == (201, '{"a": 1}')
        with pytest.raises(Conflict):
            idempotency.remembered(world.core, "key", "another")
