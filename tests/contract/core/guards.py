"""Rules that end an experiment or pause it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.services.commands import change_experiment, queue_trial
from orchestune.services.commands.change_experiment import Changes
from tests.contract.world import CoreWorld, decoded
from tests.contract.world_contract import WorldContract


class GuardsContract(WorldContract):
    """Stop rules, guards against burning a budget, retries."""

    @pytest.mark.parametrize(
        ("rules", "code", "finished"),
        [
            ({"target": 0.9}, "target", 3),
            ({"patience": 2}, "patience", 3),
            ({"futile": {"limit": 0.5, "after": 3, "side": "above"}}, "futile", 3),
            ({"max_failures": 1}, "max_failures", 2),
        ],
    )
    def test_a_stop_rule_ends_the_experiment_with_its_reason(
        self, world: CoreWorld, rules: dict[str, Any], code: str, finished: int
    ) -> None:
        experiment = world.create(budget=50, parallelism=1, stop=rules)
        scripts: dict[str, list[float | None]] = {
            "target": [2.0, 1.0, 0.5],
            "patience": [1.0, 2.0, 3.0],
            "futile": [1.0, 0.7, 0.9],
            "max_failures": [1.0, None],
        }
        values = scripts[code]
        for value in values:
            worker, lease = world.lease()[0]
            failed: dict[str, Any] = {
                "state": "failed",
                "exit_code": 1,
                "points": [],
                "reason": {"code": "exit_code", "message": "x"},
            }
            report = worker.finish(lease, value) if value is not None else worker.finish(lease, **failed)
            worker.call(finished=[report])
        world.tick(3)
        status = world.status(experiment)
        assert status["state"] == ("failed" if code == "max_failures" else "completed")
        assert status["reason"]["code"] == code
        assert sum(status["counts"][key] for key in ("completed", "failed")) == finished
        assert status["counts"]["queued"] == status["counts"]["running"] == 0

    def test_patience_of_several_metrics_is_with_the_pareto_front(self, world: CoreWorld) -> None:
        metrics = [
            {"name": "loss", "goal": "minimize"},
            {"name": "gain", "goal": "maximize"},
            {"name": "size", "goal": "minimize", "optimized": False, "constraint": "<= 9"},
        ]
        experiment = world.create(budget=50, parallelism=1, stop={"patience": 2}, metrics=metrics)
        measurements = [
            (1.0, 1.0, 1.0),
            (2.0, 2.0, 1.0),  # worse by the first, better by the second
            (2.0, 2.0, 1.0),  # the same again
            (3.0, 3.0, 1.0),
            (0.5, 9.0, 99.0),  # beyond the limit: it dominates no other
            (4.0, 8.0, 1.0),
            (4.0, 7.0, 1.0),
            (0.9, 0.5, 99.0),
        ]
        for values in measurements:
            assert world.status(experiment)["state"] in ("pending", "running")
            [(worker, lease)] = world.lease()
            named = zip(("loss", "gain", "size"), values, strict=True)
            points = [[place, name, value, None, None] for place, (name, value) in enumerate(named)]
            worker.call(finished=[worker.finish(lease, points=points)])
        world.tick(3)
        reason = world.status(experiment)["reason"]
        assert reason == {"code": "patience", "message": "no trial joined the Pareto front in the last 2 trials"}

    def test_a_time_limit_ends_it_while_trials_run(self, world: CoreWorld) -> None:
        experiment = world.create(budget=50, parallelism=2, stop={"time": 60})
        world.lease(2)
        world.clock.pass_time(61)
        world.tick(4)
        status = world.status(experiment)
        assert (status["state"], status["reason"]["code"]) == ("completed", "time")
        assert status["counts"]["cancelled"] >= 2

    def test_an_exhausted_space_ends_it(self, world: CoreWorld) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        status = world.run(world.create(budget=10, parallelism=2, parameters=choices))
        assert (status["state"], status["reason"]["code"]) == ("completed", "exhausted")
        assert status["counts"]["completed"] == 3

    def test_a_budget_that_is_the_whole_space_ends_with_it(self, world: CoreWorld) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        whole = world.run(world.create(budget=3, parallelism=2, parameters=choices))
        assert (whole["state"], whole["reason"]["code"]) == ("completed", "exhausted")
        more = decoded(change_experiment.change_experiment(world.core, whole["id"], Changes(budget=5), "ada"))
        assert (more["state"], more["reason"]["code"]) == ("completed", "exhausted"), "there is nothing to go on with"
        part = world.run(world.create(budget=2, parallelism=2, parameters=choices))
        assert (part["state"], part["reason"]["code"]) == ("completed", "budget")
        twice = world.create(budget=3, parallelism=1, parameters=choices)
        for _ in range(2):
            queue_trial.queue_trial(world.core, twice, {"x": 1}, "ada")
        assert world.run(twice)["reason"]["code"] == "budget", "one configuration was tried twice"

    def test_a_first_success_without_the_metric_pauses_with_a_hint_and_resume_goes_on(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, points=[[0, "eval_loss", 0.91, None, None]])])
        status = world.status(experiment)
        assert (status["state"], status["reason"]["code"]) == ("paused", "metric_missing_at_first")
        assert "saw eval_loss=0.91; did you mean eval_loss?" in status["reason"]["message"]
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 2

    def test_three_failures_at_the_start_pause(self, world: CoreWorld) -> None:
        experiment = world.create(budget=9, parallelism=1)
        for _ in range(3):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 7"}
            worker.call(finished=[worker.finish(lease, state="failed", exit_code=7, points=[], reason=reason)])
        status = world.status(experiment)
        assert (status["state"], status["reason"]["code"]) == ("paused", "first_trials_failed")
        assert "exited with code 7" in status["reason"]["message"]

    def test_five_configurations_with_the_same_metrics_pause(self, world: CoreWorld) -> None:
        experiment = world.create(budget=9, parallelism=1)
        for _ in range(5):
            worker, lease = world.lease()[0]
            worker.call(finished=[worker.finish(lease, 0.5)])
        assert world.status(experiment)["reason"]["code"] == "identical_metrics"
        change_experiment.resume(world.core, experiment, "ada")
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, 0.5)])
        assert world.status(experiment)["state"] == "running"

    def test_trials_that_run_when_a_guard_pauses_do_not_hide_its_reason(self, world: CoreWorld) -> None:
        for last, code in ((0.5, "identical_metrics"), (0.6, "budget")):
            experiment = world.create(budget=6, parallelism=2)
            running, late = world.lease()[0]
            for _ in range(5):
                worker, lease = world.lease()[0]
                worker.call(finished=[worker.finish(lease, 0.5)])
            assert world.status(experiment)["reason"]["code"] == "identical_metrics"
            running.call(finished=[running.finish(late, last)])
            status = world.status(experiment)
            assert (status["state"], status["reason"]["code"]) == ("completed", code)

    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_a_metric_that_is_not_finite_fails_the_trial(self, world: CoreWorld, value: str) -> None:
        experiment = world.create(budget=9, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", value, None, None]])])
        trial = world.trial(experiment, 1)
        assert (trial["state"], trial["reason"]["code"]) == ("failed", "metric_not_finite")

    def test_a_value_that_is_not_finite_is_one_among_others_where_another_came_after_it(self, world: CoreWorld) -> None:
        experiment = world.create(budget=9, parallelism=1)
        worker, lease = world.lease()[0]
        points = [[0, "loss", 0.5, 1, None], [1, "loss", "nan", 2, None], [2, "loss", 0.25, 3, None]]
        worker.call(finished=[worker.finish(lease, points=points)])
        trial = world.trial(experiment, 1)
        assert (trial["state"], trial["metrics"]["loss"]["value"]) == ("completed", 0.25)

    def test_a_failed_task_is_tried_again_as_often_as_asked(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1, retries=2)
        for _ in range(3):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 1"}
            worker.call(finished=[worker.finish(lease, state="failed", exit_code=1, points=[], reason=reason)])
            world.clock.pass_time(60)
        trial = world.trial(experiment, 1)
        assert trial["state"] == "failed"
        assert [attempt["state"] for attempt in trial["attempts"]] == ["failed"] * 3

    def test_a_trial_that_was_killed_for_memory_gets_more_of_it(self, world: CoreWorld) -> None:
        experiment = world.create(
            budget=3, parallelism=2, resources={"memory": 2**30}, oom_retries=2, memory_factor=1.5
        )
        killed = {"code": "out_of_memory", "message": "killed for memory"}
        for memory in (None, 3 * 2**29):
            worker, lease = next(pair for pair in world.lease(2) if pair[1]["trial"] == 1)
            worker.call(finished=[worker.finish(lease, state="failed", signal=9, points=[], reason=killed)])
            assert world.trial(experiment, 1)["attempts"][-1]["raised_memory_bytes"] == memory
            for other in list(world.workers.values()):
                other.call(finished=[other.finish(held) for held in other.leases.values()])
        status = world.run(experiment)
        assert (status["counts"]["completed"], status["counts"]["failed"]) == (3, 0)
        attempts = world.trial(experiment, 1)["attempts"]
        assert [attempt["raised_memory_bytes"] for attempt in attempts] == [None, 3 * 2**29, 9 * 2**28]
        assert attempts[1]["reason"]["message"] == "killed for memory; retried with 2.25 GiB"
