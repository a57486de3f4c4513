"""Requests of an owner that concern an existing experiment."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from orchestune.errors import Ambiguous, Conflict, NotFound
from orchestune.services.commands import change_experiment, create_experiment, queue_trial, stop_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld, decoded
from tests.contract.world_contract import WorldContract


class IntentContract(WorldContract):
    """Pause, stop, extend; names."""

    def test_pause_lets_running_trials_end_and_resume_goes_on(self, world: CoreWorld) -> None:
        experiment = world.create(budget=4, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.pause(world.core, experiment, False, "ada")
        worker.call(finished=[worker.finish(lease)])
        world.tick(2)
        assert worker.call(want=1)["leases"] == []
        assert world.status(experiment)["state"] == "paused"
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 4

    def test_a_pause_of_what_is_over_or_stopped_changes_nothing(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.run(experiment)
        assert change_experiment.pause(world.core, experiment, True, "ada")["state"] == "completed"
        assert change_experiment.resume(world.core, experiment, "ada")["state"] == "completed"
        other = world.create(budget=2, parallelism=1)
        change_experiment.stop(world.core, other, "ada")
        assert change_experiment.pause(world.core, other, False, "ada")["desired"] == "stopped"

    def test_the_time_between_an_end_and_an_extend_or_a_resume_counts_as_idle(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1, stop={"time": 600})
        before = world.run(experiment)
        assert before["idle_seconds"] == 0.0
        world.clock.pass_time(1000.0)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        extended = world.run(experiment)
        assert (extended["counts"]["completed"], extended["idle_seconds"]) == (2, pytest.approx(1000.0, abs=5.0))
        world.clock.pass_time(1000.0)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=3), "ada")
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(5)
        world.clock.pass_time(1000.0)
        change_experiment.resume(world.core, experiment, "ada")
        resumed = world.run(experiment)
        assert (resumed["counts"]["completed"], resumed["idle_seconds"]) == (3, pytest.approx(3000.0, abs=15.0))

    def test_the_time_before_the_first_start_is_not_idle(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        change_experiment.stop(world.core, experiment, "ada")
        assert world.status(experiment)["state"] == "stopped"
        world.clock.pass_time(1000.0)
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["idle_seconds"] == 0.0

    def test_pause_now_takes_running_trials_back_and_offers_them_again(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        assert [attempt["ending"] for attempt in world.status(experiment)["running"]] == [False]
        for now in (True, False):
            status = change_experiment.pause(world.core, experiment, now, "ada")
            assert [attempt["ending"] for attempt in status["running"]] == [True]
        order = worker.call()["orders"][0]
        assert order["state"] == "preempted"
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.trials(experiment)[0]["state"] == "queued"
        assert world.status(experiment)["counts"]["running"] == 0
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 2
        assert len(world.trial(experiment, 1)["attempts"]) == 2

    def test_a_trial_that_says_something_while_it_is_stopped_is_not_killed_at_once(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.stop(world.core, experiment, "ada")
        beat = {"attempt": lease["attempt"], "token": lease["token"], "started": True, "points": []}
        answer = worker.call(beats=[beat])
        assert [ack["result"] for ack in answer["acks"]] == ["ok"]
        assert [(order["attempt"], order["state"]) for order in answer["orders"]] == [(lease["attempt"], "cancelled")]

    @pytest.mark.parametrize("parallelism", [1, 2])
    def test_a_trial_that_is_stopped_is_none_of_the_budget(self, world: CoreWorld, parallelism: int) -> None:
        experiment = world.create(budget=3, parallelism=parallelism)
        (worker, lease), *_ = world.lease(parallelism)
        number = lease["trial"]
        for _ in range(2):
            trial = decoded(stop_trial.stop_trial(world.core, experiment, number, "ada"))
            assert (trial["state"], trial["reason"]["code"]) == ("cancelled", "stopped")
            assert trial["attempts"][0]["state"] == "cancelled"
        orders = worker.call()["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(lease["attempt"], "cancelled")]
        assert worker.call(finished=[worker.finish(lease, 0.0)])["acks"][0]["result"] == "superseded"
        trial = world.run(experiment)
        assert (trial["state"], trial["reason"]["code"]) == ("completed", "budget")
        assert trial["counts"]["completed"] == 3 and trial["counts"]["cancelled"] == 1
        assert number not in [best["trial"] for best in trial["best"]]

    def test_what_a_stopped_trial_used_and_how_its_process_ended_is_told(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        before = stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")["attempts"][0]
        worker.call()
        counts = world.status(experiment)["counts"]
        used = {"wall": 2.5, "cpu": 1.25, "memory": 1 << 21, "tail": "epoch 3"}
        ended = worker.finish(lease, state="cancelled", exit_code=None, signal=15, logs=[], log_bytes=0) | used
        for _ in range(2):
            assert worker.call(finished=[ended])["acks"][0]["result"] == "superseded"
            attempt = world.trial(experiment, lease["trial"])["attempts"][0]
            assert attempt == before | {
                "exit_code": None, "signal": 15, "wall_seconds": 2.5, "cpu_seconds": 1.25, "peak_memory_bytes": 1 << 21,
                "tail": "epoch 3", "log_bytes": 0, "logs_complete": True,
            }  # fmt: skip
            assert world.status(experiment)["counts"] == counts

    def test_what_it_was_created_with_is_told_with_what_was_changed_since(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1, labels={"team": "one"})
        changes = Changes(budget=4, parallelism=3, priority=5, labels={"team": "two", "for": "a paper"})
        change_experiment.change_experiment(world.core, experiment, changes, "ada")
        specification = read_experiments.specification(world.core, experiment)["specification"]
        changed = {name: value for name, value in asdict(changes).items() if name != "environment"}  # may be secret
        assert specification | changed == specification

    def test_a_trial_that_waits_is_stopped_and_a_finished_one_is_not(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.25}, "ada")
        assert stop_trial.stop_trial(world.core, experiment, 1, "ada")["state"] == "cancelled"
        status = world.run(experiment)
        assert status["counts"] | {"completed": 2, "cancelled": 1, "queued": 0, "running": 0} == status["counts"]
        finished = world.trial(experiment, 2)
        assert (
            decoded(stop_trial.stop_trial(world.core, experiment, 2, "ada")) == finished
            and finished["state"] == "completed"
        )
        assert world.status(experiment)["counts"] == status["counts"]
        with pytest.raises(NotFound, match="no trial 9"):
            stop_trial.stop_trial(world.core, experiment, 9, "ada")

    def test_a_space_whose_last_trial_is_stopped_is_exhausted(self, world: CoreWorld) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        experiment = world.create(budget=10, parallelism=3, parameters=choices)
        held = world.lease(3)
        world.tick(3)
        stop_trial.stop_trial(world.core, experiment, held[0][1]["trial"], "ada")
        status = world.run(experiment)
        assert status["reason"]["code"] == "exhausted" and status["state"] == "completed"

    def test_a_worker_is_busy_until_what_was_stopped_has_used_its_grace(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=1)
        [(worker, lease)] = world.lease()
        worker.call(beats=[worker.started(lease)])

        def state_and_running() -> tuple[str, int]:
            [worker] = world.status(experiment)["workers"]
            return worker["state"], worker["running"]

        assert state_and_running() == ("busy", 1)
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert state_and_running() == ("busy", 0)
        worker.call(finished=[worker.finish(lease, state="cancelled", exit_code=None, signal=15)])
        assert state_and_running() == ("idle", 0)

    def test_a_worker_that_began_anew_is_not_busy_with_what_it_never_told_the_end_of(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=1)
        [(_, lease)] = world.lease()
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        world.clock.pass_time(60.0)
        [worker_status] = world.status(experiment)["workers"]
        assert worker_status["state"] == "idle"

    def test_stop_cancels_everything_and_ends_when_the_workers_have(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=2)
        (worker, lease), _ = world.lease(2)
        status = decoded(change_experiment.stop(world.core, experiment, "ada"))
        assert status["state"] == "stopping"
        assert status["counts"]["running"] == 0
        orders = worker.call()["orders"]
        assert {order["state"] for order in orders} == {"cancelled"}
        assert worker.call(finished=[worker.finish(lease)])["acks"][0]["result"] == "superseded"
        world.tick(3)
        status = world.status(experiment)
        assert status["state"] == "stopped"
        assert status["counts"]["completed"] == 0
        assert world.backend.ended
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopped"

    def test_a_worker_that_takes_its_time_is_told_once_to_end(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=10, parallelism=2)
        world.lease(2)
        worker_ids: list[str] = []
        monkeypatch.setattr(world.backend, "terminate", lambda worker, handle, grace: worker_ids.append(worker))
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(5)
        assert len(worker_ids) == len(set(worker_ids)) > 0
        assert world.status(experiment)["state"] == "stopping"

    def test_extend_goes_on_with_a_finished_experiment(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=7, parallelism=3), "ada")
        status = world.run(experiment)
        assert status["counts"]["completed"] == 7
        assert status["parallelism"] == 3

    def test_a_number_that_is_no_experiment_is_told_as_that_of_a_trial(self, world: CoreWorld) -> None:
        world.create()
        with pytest.raises(NotFound, match="no experiment '3'") as caught:
            world.status("3")
        assert caught.value.hint.endswith("; trial 3 of the newest one of a folder is /3")

    @pytest.mark.parametrize(("folds", "most"), [(1, 7), (3, 21)])
    def test_no_more_at_a_time_than_the_budget_holds(self, world: CoreWorld, folds: int, most: int) -> None:
        experiment = world.create(budget=5, parallelism=1, folds={"count": folds})
        change_experiment.change_experiment(world.core, experiment, Changes(budget=7, parallelism=50), "ada")
        assert world.status(experiment)["parallelism"] == most

    def test_extend_goes_on_with_what_came_to_its_end_while_it_was_paused(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=2)
        leases = world.lease(2)
        change_experiment.pause(world.core, experiment, False, "ada")
        worker, lease = leases[0]
        worker.call(finished=[worker.finish(lease)])
        change_experiment.change_experiment(world.core, experiment, Changes(budget=3), "ada")
        assert world.status(experiment)["state"] == "paused"
        change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        worker, lease = leases[1]
        worker.call(finished=[worker.finish(lease)])
        world.tick(3)
        assert world.status(experiment)["state"] == "completed"
        change_experiment.change_experiment(world.core, experiment, Changes(budget=4), "ada")
        assert world.run(experiment)["counts"]["completed"] == 4

    def test_what_has_lost_its_secrets_on_the_way_here_does_not_go_on_without_them(self, world: CoreWorld) -> None:
        request = world.request(budget=1, secrets=[{"name": "TOKEN", "source": "env:TOKEN"}])
        document = create_experiment.create_experiment(world.core, replace(request, secrets={"TOKEN": "x"}), "ada")
        experiment = document["id"]
        world.run(experiment)
        world.core.secrets.delete(experiment)  # an archive does not have them
        with pytest.raises(Conflict, match="no value of its secrets TOKEN") as refused:
            change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        assert f"--warm-start {document['handle']}" in str(refused.value.hint)
        for changes in (Changes(budget=1), Changes(parallelism=3)):
            assert change_experiment.change_experiment(world.core, experiment, changes, "ada")["state"] == "completed"
        assert change_experiment.resume(world.core, experiment, "ada")["state"] == "completed"
        world.core.secrets.put(experiment, {"TOKEN": "x"})
        change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(3)
        world.core.secrets.delete(experiment)
        with pytest.raises(Conflict, match="no value of its secrets TOKEN"):
            change_experiment.resume(world.core, experiment, "ada")
        assert world.status(experiment)["state"] == "stopped"

    def test_the_time_left_does_not_count_the_time_between_the_end_and_an_extension(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=1)
        world.run(experiment)
        world.clock.pass_time(86_400.0)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=20), "ada")
        eta = world.status(experiment)["eta_seconds"]
        assert eta is not None and 1.0 <= eta <= 100.0

    def test_the_time_left_falls_while_trials_run(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        worker, lease = world.lease()[0]
        world.clock.pass_time(10.0)
        worker.call(finished=[worker.finish(lease)])
        world.lease()
        first = world.status(experiment)["eta_seconds"]
        world.clock.pass_time(5.0)
        assert world.status(experiment)["eta_seconds"] == pytest.approx(first - 5.0, abs=0.1)
        assert first == pytest.approx(20.0, abs=5.0)

    def test_a_budget_below_what_was_handed_out_is_refused(self, world: CoreWorld) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        with pytest.raises(Conflict, match="5 trials"):
            change_experiment.change_experiment(world.core, experiment, Changes(budget=3), "ada")

    def test_a_prefix_names_the_visible_one_and_a_hidden_one_only_where_no_other_has_it(self, world: CoreWorld) -> None:
        hidden, visible = world.create(name="same"), world.create(name="same")
        with pytest.raises(Ambiguous, match=r"'sa' could be same-\w{4} \(pending\) or same-\w{4} \(pending\)"):
            world.status("sa")
        change_experiment.delete(world.core, hidden, False, "ada")
        assert world.status("SA")["id"] == visible
        change_experiment.delete(world.core, "same", False, "ada")
        with pytest.raises(Ambiguous):
            world.status("same")
        change_experiment.delete(world.core, visible, True, "ada")
        world.tick(4)
        assert world.status("same")["id"] == hidden

    def test_what_stands_before_the_four_characters_goes_before_a_mere_beginning(self, world: CoreWorld) -> None:
        small, large = world.create(name="sgd"), world.create(name="sgd large")
        assert world.status("sgd")["id"] == small
        assert world.status("sgd-l")["id"] == world.status("sgd-large")["id"] == large
        with pytest.raises(Ambiguous):
            world.status("sg")
        world.create(name="sgd")
        with pytest.raises(Ambiguous, match=r"'sgd' could be sgd-\w{4} \(pending\) or sgd-\w{4} \(pending\)"):
            world.status("sgd")

    def test_a_prefix_of_many_names_the_newest_of_them_and_how_many_more_there_are(self, world: CoreWorld) -> None:
        handles = [world.status(world.create(name="many"))["handle"] for _ in range(8)]
        with pytest.raises(
            Ambiguous, match=rf"could be {handles[7]} \(pending\), {handles[6]} .*{handles[3]} .* or 3 more"
        ):
            world.status("many")

    def test_what_was_handed_out_and_not_tried_is_tried_after_a_resume(self, world: CoreWorld) -> None:
        space = [{"name": "x", "type": "int", "min": 1, "max": 4}]
        experiment = world.create(budget=10, parallelism=1, engine="grid", parameters=space)
        world.lease()
        world.tick(3)
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(3)
        change_experiment.resume(world.core, experiment, "ada")
        status = world.run(experiment)
        assert (status["state"], status["reason"]["code"], status["counts"]["completed"]) == (
            "completed",
            "exhausted",
            4,
        )

    def test_what_somebody_named_and_a_stop_cancelled_is_tried_after_a_resume(self, world: CoreWorld) -> None:
        named = [{"x": 0.125}, {"x": 0.25}, {"x": 0.25}, {"x": 0.375}]
        experiment = world.create(budget=8, parallelism=2, engine="random", try_first=named)
        world.lease(2)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.75}, "ada")
        stop_trial.stop_trial(world.core, experiment, 2, "ada")
        for _ in range(2):
            change_experiment.stop(world.core, experiment, "ada")
            world.tick(3)
            change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 8
        tried = [t for t in world.trials(experiment) if t["state"] == "completed" and t["source"] != "random"]
        assert [(t["source"], t["parameters"]["x"]) for t in tried] == [
            ("try_first", 0.125), ("try_first", 0.25), ("try_first", 0.375), ("user", 0.75),
        ]  # fmt: skip

    def test_what_was_tried_after_a_resume_is_not_tried_after_the_next_one(self, world: CoreWorld) -> None:
        experiment = world.create(budget=8, parallelism=1, engine="tpe", try_first=[{"x": 0.125}])
        world.lease()
        for _ in range(2):
            change_experiment.stop(world.core, experiment, "ada")
            world.tick(3)
            change_experiment.resume(world.core, experiment, "ada")
            if world.status(experiment)["counts"]["queued"]:
                [(worker, lease)] = world.lease()
                worker.call(finished=[worker.finish(lease)])
        assert [trial["state"] for trial in world.trials(experiment)] == ["cancelled", "completed"]

    def test_a_configuration_that_is_queued_before_the_first_suggestion_displaces_none_of_try_first(
        self, world: CoreWorld
    ) -> None:
        experiment = world.create(budget=4, try_first=[{"x": 0.25}, {"x": 0.5}])
        queue_trial.queue_trial(world.core, experiment, {"x": 0.75}, "ada")
        world.run(experiment)
        sources = [(t["source"], t["parameters"]["x"]) for t in world.trials(experiment)[:3]]
        assert sources == [("user", 0.75), ("try_first", 0.25), ("try_first", 0.5)]

    def test_what_is_stopped_resumed_and_stopped_is_over_once_nothing_of_it_runs(self, world: CoreWorld) -> None:
        experiment = world.create(budget=4, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.stop(world.core, experiment, "ada")
        change_experiment.resume(world.core, experiment, "ada")
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopping"
        change_experiment.resume(world.core, experiment, "ada")
        worker.call(finished=[worker.finish(lease, state="cancelled", points=[])])
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopped"

    def test_a_smaller_budget_starts_nothing_that_was_stopped(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10)
        world.lease()
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(3)
        status = change_experiment.change_experiment(world.core, experiment, Changes(budget=5), "ada")
        assert (status["state"], status["desired"], status["budget"]) == ("stopped", "stopped", 5)
        status = change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "ada")
        assert status["desired"] == "running"

    def test_what_is_being_stopped_takes_no_configuration(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, engine="random")
        world.lease()
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopping"
        with pytest.raises(Conflict, match="is stopping"):
            queue_trial.queue_trial(world.core, experiment, {"x": 0.5}, "ada")

    def test_what_comes_to_its_end_keeps_the_reason_for_it(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=2, stop={"target": 0.5})
        worker, lease = world.lease(2)[0]
        worker.call(finished=[worker.finish(lease, 0.1)])
        status = decoded(change_experiment.pause(world.core, experiment, False, "ada"))
        assert (status["desired"], status["reason"]["code"]) == ("running", "target")
        assert decoded(change_experiment.stop(world.core, experiment, "ada"))["reason"]["code"] == "target"
        world.tick(3)
        status = world.status(experiment)
        assert (status["state"], status["reason"]["code"]) == ("completed", "target")
