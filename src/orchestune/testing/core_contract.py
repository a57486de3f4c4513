"""The promises of the core, one class for every store."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from orchestune.controllers.archiving import Archiving
from orchestune.domain.cards import Card
from orchestune.domain.resources import Capacity, Machine
from orchestune.errors import Ambiguous, BadInput, Conflict, Denied, NotFound, Purged
from orchestune.services import (
    bundles,
    change_experiment,
    create_experiment,
    idempotency,
    queue_trial,
    read_experiments,
    read_logs,
    read_trials,
    report_metrics,
    rerun_trial,
    stop_trial,
    uploads,
)
from orchestune.services.authenticate import authenticate
from orchestune.services.read_trials import blob_key
from orchestune.services.signatures import report_signature, worker_token
from orchestune.services.usage import usage
from orchestune.store import workers
from orchestune.store.tables import metadata
from orchestune.testing.world import World
from orchestune.testing.world_contract import WorldContract


class CoreContract(WorldContract):
    """Budget, losses, intent, guards, files, places."""

    # budget and parallelism

    def test_a_budget_is_spent_exactly(self, world: World) -> None:
        experiment = world.create(budget=37, parallelism=5)
        shown = world.run(experiment)
        assert shown["state"] == "completed"
        assert shown["reason"]["code"] == "budget"
        assert shown["counts"] == {
            "queued": 0, "running": 0, "completed": 37, "failed": 0, "pruned": 0, "cancelled": 0,
        }  # fmt: skip
        assert [trial["number"] for trial in world.trials(experiment)] == list(range(1, 38))

    def test_no_more_leases_are_out_than_parallelism_allows(self, world: World) -> None:
        experiment = world.create(budget=30, parallelism=3)
        world.lease(3)
        for worker in list(world.workers.values()):
            assert worker.call(want=8)["leases"] == []
        assert world.status(experiment)["counts"]["running"] == 3

    def test_failed_trials_count_and_the_best_is_the_best_of_the_completed(self, world: World) -> None:
        experiment = world.create(budget=4, parallelism=1)
        for value in (0.5, None, 0.2, 0.9):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 3"}
            failed: dict[str, Any] = {"state": "failed", "exit_code": 3, "points": [], "reason": reason}
            said = worker.finish(lease, value) if value is not None else worker.finish(lease, **failed)
            worker.call(finished=[said])
        shown = world.status(experiment)
        assert shown["counts"]["completed"] == 3
        assert shown["counts"]["failed"] == 1
        assert shown["best"][0]["trial"] == 3
        assert shown["best"][0]["metrics"]["loss"]["value"] == 0.2
        assert read_trials.trial(world.core, experiment, 2)["reason"]["message"] == "exited with code 3"

    # repeated and lost messages

    def test_the_same_report_twice_counts_once(self, world: World) -> None:
        experiment = world.create(budget=5)
        worker, lease = world.lease()[0]
        said = worker.finish(lease)
        assert worker.call(finished=[said])["acks"][0]["result"] == "ok"
        worker.leases[lease["attempt"]] = lease
        assert worker.call(finished=[said])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["completed"] == 1
        assert len(read_logs.logs(world.core, experiment, 0, 100)["items"]) == 1

    def test_a_lease_that_was_lost_on_the_way_is_offered_again_for_free(self, world: World) -> None:
        experiment = world.create(budget=3, parallelism=1)
        world.tick(2)
        worker = next(iter(world.workers.values()))
        answer = worker.call(want=1, lose_answer=True)
        assert len(answer["leases"]) == 1
        for _ in range(4):
            answer = worker.call(want=1)
            if answer["leases"]:
                break
        assert answer["leases"][0]["trial"] == 1
        assert answer["leases"][0]["token"] == 2
        assert world.run(experiment)["counts"]["completed"] == 3

    def test_leases_that_keep_getting_lost_on_the_way_are_no_losses_of_their_trial(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        world.tick(2)
        worker = next(iter(world.workers.values()))
        while len(read_trials.trial(world.core, experiment, 1)["attempts"]) < 12:
            worker.call(want=1, lose_answer=True)
        assert world.status(experiment)["state"] == "running"
        assert world.run(experiment)["counts"]["completed"] == 1

    # losses

    def test_a_silent_worker_is_lost_after_the_lease_time_and_its_trials_run_elsewhere(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        world.tick()
        world.clock.pass_time(world.core.lease_seconds + 1)
        world.tick()
        assert read_trials.trial(world.core, experiment, 1)["attempts"][0]["state"] == "lost"
        assert world.trials(experiment)[0]["state"] == "queued"
        del world.workers[worker.id]
        world.backend.gone[worker.id] = "killed by signal 9"
        other, again = world.lease()[0]
        assert other is not worker
        assert (again["trial"], again["token"]) == (1, 2)

    def test_a_late_result_is_good_until_a_newer_attempt_is_leased(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        world.tick()
        world.clock.pass_time(100)
        for controller in world.controllers[:2]:
            controller.tick()
        assert read_trials.trial(world.core, experiment, 1)["attempts"][0]["state"] == "lost"
        assert worker.call(finished=[worker.finish(lease)])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["completed"] == 1
        assert world.run(experiment)["counts"]["completed"] == 2

    def test_an_attempt_that_a_newer_one_replaced_cannot_report_but_its_logs_are_kept(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        world.tick()
        world.clock.pass_time(100)
        world.tick()
        newer, again = world.lease()[0]
        assert again["trial"] == lease["trial"]
        assert worker.call(finished=[worker.finish(lease, 0.1)])["acks"][0]["result"] == "superseded"
        newer.call(finished=[newer.finish(again, 0.7)])
        shown = world.status(experiment)
        assert shown["counts"]["completed"] == 1
        assert shown["best"][0]["metrics"]["loss"]["value"] == 0.7
        texts = {item["text"] for item in read_logs.logs(world.core, experiment, 0, 100)["items"]}
        assert texts == {"loss=0.1\n", "loss=0.7\n"}

    def test_a_clock_that_jumps_an_hour_expires_nothing(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.lease()
        world.tick()
        world.clock.wall += 3600
        world.tick()
        world.clock.wall -= 7200
        world.tick()
        assert world.status(experiment)["counts"]["running"] == 1

    def test_a_clock_that_jumps_back_does_not_put_off_what_waits_for_another_try(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        reason = {"code": "sandbox", "message": "no folder for the trial"}
        worker.call(finished=[worker.finish(lease, state="lost", points=[], reason=reason)])
        assert worker.call(want=1)["leases"] == []
        world.clock.wall -= 3600
        assert world.run(experiment, 100)["counts"]["completed"] == 1

    def test_a_clock_that_jumps_back_does_not_change_which_value_was_reported_last(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        said = {"attempt": lease["attempt"], "token": lease["token"], "started": True}
        worker.call(beats=[{**said, "points": [[0, "loss", 0.9, 1, None], [1, "loss", 0.8, 2, None]]}])
        world.clock.wall -= 3600
        worker.call(beats=[{**said, "points": [[2, "loss", 0.7, 3, None]]}])
        worker.call(finished=[worker.finish(lease, points=[[3, "loss", 0.3, 4, None]])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.3

    def test_a_restart_of_the_server_expires_nothing(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.lease()
        world.tick()
        world.close()
        world.clock.pass_time(3600)
        world.open()
        world.tick()
        assert world.status(experiment)["counts"]["running"] == 1

    @pytest.mark.parametrize("told", [True, False], ids=["start was told", "died at once"])
    def test_a_trial_that_keeps_losing_its_worker_is_isolated_and_then_pauses_the_experiment(
        self, world: World, told: bool
    ) -> None:
        experiment = world.create(budget=6, parallelism=2)
        for _ in range(40):
            world.tick()
            for worker in list(world.workers.values()):
                answer = worker.call(want=2)
                killers = [lease for lease in worker.leases.values() if lease["trial"] == 1]
                if killers:
                    if told:
                        worker.call(beats=[worker.started(killers[0])])
                    world.backend.gone[worker.id] = "killed by signal 9"
                elif answer["leases"] or worker.leases:
                    worker.call(finished=[worker.finish(lease) for lease in worker.leases.values()])
            world.clock.pass_time(60)
            if world.status(experiment)["state"] == "paused":
                break
        shown = world.status(experiment)
        assert shown["reason"]["code"] == "trial_kills_workers"
        assert "trial 1" in shown["reason"]["message"]
        assert shown["counts"]["completed"] == 5
        assert shown["counts"]["failed"] == 0

    # what an owner asks for

    def test_pause_lets_running_trials_end_and_resume_goes_on(self, world: World) -> None:
        experiment = world.create(budget=4, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.pause(world.core, experiment, False, "ada")
        worker.call(finished=[worker.finish(lease)])
        world.tick(2)
        assert worker.call(want=1)["leases"] == []
        assert world.status(experiment)["state"] == "paused"
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 4

    def test_a_pause_of_what_is_over_or_stopped_changes_nothing(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.run(experiment)
        assert change_experiment.pause(world.core, experiment, True, "ada")["state"] == "completed"
        assert change_experiment.resume(world.core, experiment, "ada")["state"] == "completed"
        other = world.create(budget=2, parallelism=1)
        change_experiment.stop(world.core, other, "ada")
        assert change_experiment.pause(world.core, other, False, "ada")["desired"] == "stopped"

    def test_pause_now_takes_running_trials_back_and_offers_them_again(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.pause(world.core, experiment, True, "ada")
        order = worker.call()["orders"][0]
        assert order["state"] == "preempted"
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.trials(experiment)[0]["state"] == "queued"
        assert world.status(experiment)["counts"]["running"] == 0
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 2
        assert len(read_trials.trial(world.core, experiment, 1)["attempts"]) == 2

    def test_a_trial_that_says_something_while_it_is_stopped_is_not_killed_at_once(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.stop(world.core, experiment, "ada")
        said = {"attempt": lease["attempt"], "token": lease["token"], "started": True, "points": []}
        answer = worker.call(beats=[said])
        assert [ack["result"] for ack in answer["acks"]] == ["ok"]
        assert [(order["attempt"], order["state"]) for order in answer["orders"]] == [(lease["attempt"], "cancelled")]

    @pytest.mark.parametrize("parallelism", [1, 2])
    def test_a_trial_that_is_stopped_is_none_of_the_budget(self, world: World, parallelism: int) -> None:
        experiment = world.create(budget=3, parallelism=parallelism)
        (worker, lease), *_ = world.lease(parallelism)
        number = lease["trial"]
        for _ in range(2):
            shown = stop_trial.stop_trial(world.core, experiment, number, "ada")
            assert (shown["state"], shown["reason"]["code"]) == ("cancelled", "stopped")
            assert shown["attempts"][0]["state"] == "cancelled"
        orders = worker.call()["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(lease["attempt"], "cancelled")]
        assert worker.call(finished=[worker.finish(lease, 0.0)])["acks"][0]["result"] == "superseded"
        shown = world.run(experiment)
        assert (shown["state"], shown["reason"]["code"]) == ("completed", "budget")
        assert shown["counts"]["completed"] == 3 and shown["counts"]["cancelled"] == 1
        assert number not in [best["trial"] for best in shown["best"]]

    def test_a_trial_that_waits_is_stopped_and_a_finished_one_is_not(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.25}, "ada")
        assert stop_trial.stop_trial(world.core, experiment, 1, "ada")["state"] == "cancelled"
        shown = world.run(experiment)
        assert shown["counts"] | {"completed": 2, "cancelled": 1, "queued": 0, "running": 0} == shown["counts"]
        with pytest.raises(Conflict, match="completed already"):
            stop_trial.stop_trial(world.core, experiment, 2, "ada")
        with pytest.raises(NotFound, match="no trial 9"):
            stop_trial.stop_trial(world.core, experiment, 9, "ada")

    def test_a_space_whose_last_trial_is_stopped_is_exhausted(self, world: World) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        experiment = world.create(budget=10, parallelism=3, parameters=choices)
        held = world.lease(3)
        world.tick(3)
        stop_trial.stop_trial(world.core, experiment, held[0][1]["trial"], "ada")
        shown = world.run(experiment)
        assert shown["reason"]["code"] == "exhausted" and shown["state"] == "completed"

    def test_stop_cancels_everything_and_ends_when_the_workers_have(self, world: World) -> None:
        experiment = world.create(budget=10, parallelism=2)
        (worker, lease), _ = world.lease(2)
        shown = change_experiment.stop(world.core, experiment, "ada")
        assert shown["state"] == "stopping"
        assert shown["counts"]["running"] == 0
        orders = worker.call()["orders"]
        assert {order["state"] for order in orders} == {"cancelled"}
        assert worker.call(finished=[worker.finish(lease)])["acks"][0]["result"] == "superseded"
        world.tick(3)
        shown = world.status(experiment)
        assert shown["state"] == "stopped"
        assert shown["counts"]["completed"] == 0
        assert world.backend.ended
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopped"

    def test_a_worker_that_takes_its_time_is_told_once_to_end(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=10, parallelism=2)
        world.lease(2)
        told: list[str] = []
        monkeypatch.setattr(world.backend, "end", lambda worker, handle, grace: told.append(worker))
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(5)
        assert len(told) == len(set(told)) > 0
        assert world.status(experiment)["state"] == "stopping"

    def test_extend_goes_on_with_a_finished_experiment(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.change_experiment(world.core, experiment, {"budget": 7, "parallelism": 3}, "ada")
        shown = world.run(experiment)
        assert shown["counts"]["completed"] == 7
        assert shown["parallelism"] == 3

    def test_a_budget_below_what_was_handed_out_is_refused(self, world: World) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        with pytest.raises(Conflict, match="5 trials"):
            change_experiment.change_experiment(world.core, experiment, {"budget": 3}, "ada")

    def test_delete_hides_and_purge_removes_every_row(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, False, "ada")
        assert read_experiments.statuses(world.core)["items"] == []
        assert world.status(experiment)["counts"]["completed"] == 3
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        with pytest.raises(NotFound):
            world.status(experiment)
        with world.core.store.reading() as session:
            for table in metadata.sorted_tables:
                if "experiment" in table.c:
                    assert session.select(select(func.count()).select_from(table))[0][0] == 0, table.name

    def test_what_was_purged_is_deleted_again_without_a_word_and_a_typo_is_not(self, world: World) -> None:
        experiment = world.create(budget=1)
        handle = world.run(experiment)["handle"]
        for name in (handle, experiment):
            for purge in (True, False):
                change_experiment.delete(world.core, name, purge, "ada")
                world.tick(4)
            with pytest.raises(Purged, match="removed for good"):
                world.status(name)
        with pytest.raises(NotFound, match="there is no experiment") as caught:
            change_experiment.delete(world.core, handle[:-1] + "_", True, "ada")
        assert not isinstance(caught.value, Purged)

    def test_a_purge_is_not_taken_back_by_another_delete(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, True, "ada")
        change_experiment.delete(world.core, experiment, False, "ada")
        world.tick(4)
        with pytest.raises(Purged):
            world.status(experiment)

    def test_a_prefix_names_the_visible_one_and_a_hidden_one_only_where_no_other_has_it(self, world: World) -> None:
        hidden, shown = world.create(name="same"), world.create(name="same")
        with pytest.raises(Ambiguous, match=r"'sa' could be same-\w{4} \(pending\) or same-\w{4} \(pending\)"):
            world.status("sa")
        change_experiment.delete(world.core, hidden, False, "ada")
        assert world.status("SA")["id"] == shown
        change_experiment.delete(world.core, "same", False, "ada")
        with pytest.raises(Ambiguous):
            world.status("same")
        change_experiment.delete(world.core, shown, True, "ada")
        world.tick(4)
        assert world.status("same")["id"] == hidden

    def test_a_prefix_of_many_names_the_newest_of_them_and_how_many_more_there_are(self, world: World) -> None:
        handles = [world.status(world.create(name="many"))["handle"] for _ in range(8)]
        with pytest.raises(
            Ambiguous, match=rf"could be {handles[7]} \(pending\), {handles[6]} .*{handles[3]} .* or 3 more"
        ):
            world.status("many")

    def test_a_purged_experiments_files_go_with_the_next_sweep_unless_another_one_names_them(
        self, world: World
    ) -> None:
        contents = {hashlib.sha256(content).hexdigest(): content for content in (b"shared", b"own")}
        for digest, content in contents.items():
            bundles.store(world.core, digest, io.BytesIO(content))
        shared, own = contents
        request = world.request()
        kept = create_experiment.create_experiment(world.core, request | {"bundle": shared}, "ada")["id"]
        purged = [
            create_experiment.create_experiment(world.core, request | {"bundle": d}, "ada")["id"] for d in contents
        ]
        for experiment in purged:
            change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        Archiving(world.core).drop_orphans()
        assert world.core.files.size(blob_key(shared)) is not None
        assert world.core.files.size(blob_key(own)) is None
        assert world.status(kept)["state"] != "completed"

    def test_an_option_that_the_engine_lacks_is_refused_before_anything_is_there(self, world: World) -> None:
        with pytest.raises(BadInput, match=r"engine\.startups: is no option of the engine 'auto'"):
            world.create(engine="auto", engine_options={"startups": 3})
        assert read_experiments.statuses(world.core)["items"] == []

    def test_only_a_trial_that_keeps_every_limit_becomes_the_best(self, world: World) -> None:
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

    def test_a_warm_start_is_history_for_the_engine_and_counts_for_nothing_else(self, world: World) -> None:
        known = [{"parameters": {"x": (index + 0.5) / 30}, "metrics": {"loss": {"value": abs(index - 8) / 30 - 9}}}
                 for index in range(30)]  # fmt: skip
        strange = [{"parameters": {"x": 7.0}, "metrics": {"loss": {"value": -99.0}}}]
        warm = {"source": "30 results of old-1234", "results": [*known, *strange]}
        experiment = world.create(budget=6, parallelism=1, engine="auto", warm_start=warm)
        assert world.status(experiment)["warm_start"] == {"source": "30 results of old-1234", "results": 30}
        shown = world.run(experiment)
        found = world.trials(experiment)
        assert shown["counts"]["completed"] == 6
        assert shown["best"][0]["metrics"]["loss"]["value"] == min(trial["metrics"]["loss"]["value"] for trial in found)
        assert {trial["source"] for trial in found} == {"gp", "tpe"}
        assert [trial["suggested_after"] for trial in found] == [30, 31, 32, 33, 34, 35]
        assert abs(found[0]["parameters"]["x"] - 8.5 / 30) < 0.2, "it went where the results were good"
        assert len(world.observations(experiment)) == 6

    def test_a_warm_start_of_which_nothing_can_be_used_is_refused(self, world: World) -> None:
        warm = {"source": "old.csv", "results": [{"parameters": {"x": 7.0}, "metrics": {"loss": {"value": 1.0}}}]}
        with pytest.raises(BadInput, match=r"warm_start: none of its results can be used .*outside this space"):
            world.create(engine="auto", warm_start=warm)
        assert read_experiments.statuses(world.core)["items"] == []

    def test_a_users_configuration_is_tried_and_a_wrong_one_is_refused(self, world: World) -> None:
        experiment = world.create(budget=3, parallelism=1)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.25}, "ada")
        with pytest.raises(BadInput, match="outside"):
            queue_trial.queue_trial(world.core, experiment, {"x": 25}, "ada")
        assert world.run(experiment)["counts"]["completed"] == 3
        first = world.trials(experiment)[0]
        assert first["source"] == "user"
        assert first["parameters"] == {"x": 0.25}

    def test_rerun_repeats_configuration_and_seed(self, world: World) -> None:
        experiment = world.create(budget=2)
        world.run(experiment)
        again = rerun_trial.rerun_trial(world.core, experiment, 2, {}, "ada")
        shown = world.run(again["id"])
        assert shown["budget"] == 1
        assert shown["origin"].endswith("/2")
        (old, new) = (read_trials.trial(world.core, e, n) for e, n in ((experiment, 2), (again["id"], 1)))
        assert (old["parameters"], old["seed"]) == (new["parameters"], new["seed"])
        with pytest.raises(Conflict, match="no checkpoint"):
            rerun_trial.rerun_trial(world.core, experiment, 2, {"continue": True}, "ada")

    # stop rules and guards

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
        self, world: World, rules: dict[str, Any], code: str, finished: int
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
            said = worker.finish(lease, value) if value is not None else worker.finish(lease, **failed)
            worker.call(finished=[said])
        world.tick(3)
        shown = world.status(experiment)
        assert shown["state"] == ("failed" if code == "max_failures" else "completed")
        assert shown["reason"]["code"] == code
        assert sum(shown["counts"][key] for key in ("completed", "failed")) == finished
        assert shown["counts"]["queued"] == shown["counts"]["running"] == 0

    def test_a_time_limit_ends_it_while_trials_run(self, world: World) -> None:
        experiment = world.create(budget=50, parallelism=2, stop={"time": 60})
        world.lease(2)
        world.clock.pass_time(61)
        world.tick(4)
        shown = world.status(experiment)
        assert (shown["state"], shown["reason"]["code"]) == ("completed", "time")
        assert shown["counts"]["cancelled"] >= 2

    def test_an_exhausted_space_ends_it(self, world: World) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        shown = world.run(world.create(budget=10, parallelism=2, parameters=choices))
        assert (shown["state"], shown["reason"]["code"]) == ("completed", "exhausted")
        assert shown["counts"]["completed"] == 3

    def test_a_first_success_without_the_metric_pauses_with_a_hint_and_resume_goes_on(self, world: World) -> None:
        experiment = world.create(budget=3, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, points=[[0, "eval_loss", 0.91, None, None]])])
        shown = world.status(experiment)
        assert (shown["state"], shown["reason"]["code"]) == ("paused", "metric_missing_at_first")
        assert "saw eval_loss=0.91; did you mean eval_loss?" in shown["reason"]["message"]
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 2

    def test_three_failures_at_the_start_pause(self, world: World) -> None:
        experiment = world.create(budget=9, parallelism=1)
        for _ in range(3):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 7"}
            worker.call(finished=[worker.finish(lease, state="failed", exit_code=7, points=[], reason=reason)])
        shown = world.status(experiment)
        assert (shown["state"], shown["reason"]["code"]) == ("paused", "first_trials_failed")
        assert "exited with code 7" in shown["reason"]["message"]

    def test_five_configurations_with_the_same_metrics_pause(self, world: World) -> None:
        experiment = world.create(budget=9, parallelism=1)
        for _ in range(5):
            worker, lease = world.lease()[0]
            worker.call(finished=[worker.finish(lease, 0.5)])
        assert world.status(experiment)["reason"]["code"] == "identical_metrics"
        change_experiment.resume(world.core, experiment, "ada")
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, 0.5)])
        assert world.status(experiment)["state"] == "running"

    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_a_metric_that_is_not_finite_fails_the_trial(self, world: World, value: str) -> None:
        experiment = world.create(budget=9, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", value, None, None]])])
        trial = read_trials.trial(world.core, experiment, 1)
        assert (trial["state"], trial["reason"]["code"]) == ("failed", "metric_not_finite")

    def test_a_failed_task_is_tried_again_as_often_as_asked(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1, retries=2)
        for _ in range(3):
            worker, lease = world.lease()[0]
            reason = {"code": "exit_code", "message": "exited with code 1"}
            worker.call(finished=[worker.finish(lease, state="failed", exit_code=1, points=[], reason=reason)])
            world.clock.pass_time(60)
        trial = read_trials.trial(world.core, experiment, 1)
        assert trial["state"] == "failed"
        assert [attempt["state"] for attempt in trial["attempts"]] == ["failed"] * 3

    def test_a_trial_that_was_killed_for_memory_gets_more_of_it(self, world: World) -> None:
        experiment = world.create(
            budget=3, parallelism=2, resources={"memory": 2**30}, oom_retries=2, memory_factor=1.5
        )
        killed = {"code": "out_of_memory", "message": "killed for memory"}
        for memory in (None, 3 * 2**29):
            worker, lease = next(pair for pair in world.lease(2) if pair[1]["trial"] == 1)
            worker.call(finished=[worker.finish(lease, state="failed", signal=9, points=[], reason=killed)])
            assert read_trials.trial(world.core, experiment, 1)["attempts"][-1]["raised_memory_bytes"] == memory
            for other in list(world.workers.values()):
                other.call(finished=[other.finish(held) for held in other.leases.values()])
        shown = world.run(experiment)
        assert (shown["counts"]["completed"], shown["counts"]["failed"]) == (3, 0)
        attempts = read_trials.trial(world.core, experiment, 1)["attempts"]
        assert [attempt["raised_memory_bytes"] for attempt in attempts] == [None, 3 * 2**29, 9 * 2**28]
        assert attempts[1]["reason"]["message"] == "killed for memory; tried again with 2.25 GiB"

    # metrics, logs, files

    def test_intermediate_values_are_reduced_as_the_metric_says(self, world: World) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "best"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics)
        worker, lease = world.lease()[0]
        beat = worker.started(lease) | {"points": [[0, "loss", 0.9, 1, None], [1, "loss", 0.3, 2, None]]}
        worker.call(beats=[beat])
        worker.call(beats=[beat])
        worker.call(finished=[worker.finish(lease, points=[[2, "loss", 0.6, 3, None]])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.3

    def test_values_that_come_by_http_count_and_a_wrong_signature_is_refused(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        attempt = lease["attempt"]
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), {"loss": "0.125", "step": 1})
        with pytest.raises(Denied):
            report_metrics.report(world.core, attempt, "0" * 40, {"loss": 9})
        worker.call(finished=[worker.finish(lease, points=[])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.125

    def test_what_an_attempt_uses_is_kept_once_and_goes_with_its_experiment(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        samples = [[n, 4.0 * n, 1.5, 2**30 + n, 0.5, 2**31] for n in range(3)]
        for told in (samples[:2], samples[:2], samples[1:]):
            worker.call(beats=[worker.started(lease) | {"usage": told}])
        found = usage(world.core, experiment, 1)["items"]
        assert [item["samples"] for item in found] == [[sample[1:] for sample in samples]]
        assert (found[0]["number"], found[0]["state"]) == (1, "running")
        last = [[3, 12.0, 1.0, 2**30, None, None]]
        worker.call(finished=[worker.finish(lease, usage=last)])
        (item,) = usage(world.core, experiment, 1)["items"]
        assert item["samples"][-1] == last[0][1:] and item["state"] == "succeeded"
        world.tick(4)
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        with world.core.store.reading() as session:
            assert session.rows("SELECT attempt FROM usage", {}) == []

    def test_log_parts_that_come_twice_or_overlap_are_kept_once_and_in_order(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        said = worker.started(lease)
        worker.call(beats=[said | {"logs": [[0, "one\n", 0]]}])
        worker.call(beats=[said | {"logs": [[0, "one\n", 0], [4, "two\n", 0]]}])
        worker.call(beats=[said | {"logs": [[12, "never mind\n", 0]]}])
        worker.call(beats=[said | {"logs": [[4, "two\nthree\n", 0]]}])
        worker.call(beats=[said | {"logs": [[100, "tail\n", 86]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert "".join(item["text"] for item in items) == "one\ntwo\nthree\ntail\n"
        assert [item["gap"] for item in items] == [0, 0, 0, 86]

    def test_the_last_part_of_a_log_says_so(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        worker.call(finished=[worker.finish(lease, logs=[[4, "two", 0]], log_bytes=7)])
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert [(item["trial"], item["last"]) for item in items] == [(1, False), (1, True), (2, False)]

    def test_events_are_numbered_without_a_gap(self, world: World) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        items = read_experiments.events(world.core, experiment, 0, 10_000)["items"]
        assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
        assert items[0]["kind"] == "experiment_created"
        assert sum(item["kind"] == "trial_finished" for item in items) == 5

    def test_events_of_some_kinds_are_pages_of_those_alone_and_end_when_all_were_read(self, world: World) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        kinds = ("trial_finished", "experiment_created")
        pages, after, over = [], 0, False
        while not over:
            page = read_experiments.events(world.core, experiment, after, 2, kinds)
            pages.append([item["kind"] for item in page["items"]])
            assert page["next"] > after
            after, over = page["next"], page["over"]
        assert pages == [["experiment_created", "trial_finished"], ["trial_finished"] * 2, ["trial_finished"] * 2, []]

    def test_a_checkpoint_is_published_by_the_newest_attempt_only_and_the_next_one_starts_with_it(
        self, world: World
    ) -> None:
        world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        said = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": 7}
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        newer, again = world.lease()[0]
        assert again["checkpoint"] == {"digest": digest, "step": 7}
        stream, size = uploads.open_blob(world.core, newer.id, digest)
        with stream:
            assert (stream.read(), size) == (b"hello", 5)
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": False}

    def test_artifacts_are_kept_and_listed(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        uploads.append(world.core, worker.id, digest, 0, b"hel")
        assert uploads.state(world.core, worker.id, digest) == (3, False)
        uploads.append(world.core, worker.id, digest, 3, b"lo")
        said = {
            "attempt": lease["attempt"],
            "token": lease["token"],
            "files": [{"path": "best.pt", "digest": digest, "size": 5}],
        }
        for _ in range(2):
            assert uploads.keep_artifacts(world.core, worker.id, said) == {"kept": ["best.pt"]}
        assert uploads.state(world.core, worker.id, digest) == (5, True)
        assert read_trials.artifacts(world.core, experiment, 1) == [{"path": "best.pt", "digest": digest, "size": 5}]
        stream, _ = read_trials.open_artifact(world.core, experiment, 1, "best.pt")
        with stream:
            assert stream.read() == b"hello"

    def test_a_bundle_with_a_wrong_digest_is_refused_and_leaves_nothing(self, world: World, tmp_path: Path) -> None:
        archive = tmp_path / "archive"
        archive.write_bytes(b"hello")
        with archive.open("rb") as stream, pytest.raises(BadInput, match="SHA-256"):
            bundles.store(world.core, "0" * 64, stream)
        assert list(world.core.files.keys("")) == []

    def test_the_same_request_makes_one_experiment(self, world: World) -> None:
        first = create_experiment.create_experiment(world.core, world.request() | {"request_key": "k"}, "ada")
        second = create_experiment.create_experiment(world.core, world.request() | {"request_key": "k"}, "ada")
        assert first["id"] == second["id"]
        assert len(read_experiments.statuses(world.core)["items"]) == 1

    # resources

    def test_an_experiment_that_waits_says_for_what_and_who_holds_it(self, world: World) -> None:
        wide = world.create(name="wide", budget=10, parallelism=2, resources={"cpu": 1})
        world.lease(2)
        narrow = world.create(name="narrow", budget=2, parallelism=1, resources={"cpu": 1})
        world.tick(2)
        reason = world.status(narrow)["reason"]
        assert reason["code"] == "waiting_for_resources"
        assert world.status(wide)["handle"] in reason["message"]

    def test_what_a_draining_worker_still_runs_keeps_its_place(self, world: World) -> None:
        old = world.create(name="old", budget=10, parallelism=2, resources={"cpu": 1})
        leases = world.lease(2)
        idle = world.create(name="idle", budget=10, parallelism=2, resources={"cpu": 1})
        urgent = world.create(name="urgent", budget=2, parallelism=2, resources={"cpu": 1}, priority=10)
        world.tick(3)
        assert [len(world.status(experiment)["workers"]) for experiment in (old, idle, urgent)] == [2, 0, 0]
        reason = world.status(urgent)["reason"]
        assert reason["code"] == "waiting_for_resources"
        assert "old" in reason["message"]
        assert "idle" not in reason["message"]
        worker, lease = leases[0]
        worker.call(finished=[worker.finish(lease)])
        world.tick(2)
        assert [len(world.status(experiment)["workers"]) for experiment in (idle, urgent)] == [0, 1]
        assert world.status(urgent)["reason"] is None

    def test_a_worker_whose_start_was_cut_off_is_started_again_and_is_one(self, world: World) -> None:
        world.create(budget=5, parallelism=1)
        world.tick()
        (worker,) = world.backend.orders
        with world.core.store.transaction() as session:
            workers.change(session, worker, handle=None, state="starting")
        world.backend.orders.clear()
        world.tick()
        assert list(world.backend.orders) == [worker]

    def test_gpus_are_given_to_one_worker_at_a_time(self, tmp_path: Path, database_url: str | None) -> None:
        world = World(tmp_path, database_url, Capacity((Machine(4, 2**34, tuple(map(Card, "012"))),)))
        try:
            for name in ("a", "b"):
                world.create(name=name, budget=5, parallelism=2, resources={"gpu": 1})
            world.tick(3)
            given = [gpu for order in world.backend.orders.values() for gpu in order.gpus]
            assert sorted(given) == ["0", "1", "2"]
        finally:
            world.close()

    def test_shares_of_a_card_are_given_away_until_it_is_full(self, tmp_path: Path, database_url: str | None) -> None:
        world = World(tmp_path, database_url, Capacity((Machine(64, 2**34, tuple(map(Card, "01"))),)))
        try:
            shared = world.create(name="shared", budget=9, parallelism=3, resources={"gpu": 0.5})
            world.tick(3)
            whole = world.create(name="whole", budget=9, parallelism=2, resources={"gpu": 1})
            world.tick(3)
            given = [order.gpus for order in world.backend.orders.values()]
            assert given == [("0",), ("0",), ("1",)]
            assert world.status(whole)["reason"]["code"] == "waiting_for_resources"
            assert world.status(shared)["handle"] in world.status(whole)["reason"]["message"]
        finally:
            world.close()

    def test_trials_that_take_less_than_they_asked_for_run_closer_together_until_one_takes_more(
        self, tmp_path: Path, database_url: str | None
    ) -> None:
        world = World(tmp_path, database_url, Capacity((Machine(1, 2**30),)))
        asked = 2**29
        try:
            experiment = world.create(budget=60, parallelism=6, resources={"memory": asked})

            def slots() -> int:
                world.tick(3)
                return sum(worker["slots"] for worker in world.status(experiment)["workers"])

            def finish(count: int, memory: int) -> None:
                for worker, lease in world.lease(count):
                    worker.call(finished=[worker.finish(lease, memory=memory)])

            assert slots() == 2
            for _ in range(3):
                finish(2, 100 * 2**20)
            found = world.status(experiment)["resources"]
            assert found["measured"] == {"attempts": 6, "peak_memory_bytes": 100 * 2**20}
            assert (found["asked"]["memory"], found["set_aside"]["memory"]) == (asked, 141 * 2**20)
            assert slots() == 6
            finish(1, 200 * 2**20)
            assert world.status(experiment)["resources"]["set_aside"]["memory"] == asked
            assert slots() == 2
        finally:
            world.close()

    # restarts and randomness

    def test_the_same_seed_gives_the_same_configurations_whatever_restarts(self, tmp_path: Path, world: World) -> None:
        wanted = {"budget": 14, "parallelism": 1, "engine": "tpe", "seed": 5}
        straight = world.create(**wanted)
        world.run(straight)
        restarted = world.create(**wanted)
        for _ in range(10):
            worker, lease = world.lease()[0]
            world.close()
            world.open()
            worker.call(finished=[worker.finish(lease)])
        world.run(restarted)
        first, second = ([t["parameters"] for t in world.trials(e)] for e in (straight, restarted))
        assert first == second

    # identity

    def test_tokens_reach_what_they_are_for(self, world: World) -> None:
        token = worker_token(world.core, "w-1", "e-1")
        caller = authenticate(world.core, token)
        assert caller is not None
        assert (caller.role, caller.worker, caller.experiment) == ("worker", "w-1", "e-1")
        assert authenticate(world.core, token[:-1] + ("0" if token[-1] != "0" else "1")) is None
        assert authenticate(world.core, "") is None
        owner = authenticate(world.core, "secret-token")
        assert owner is not None
        assert owner.name == "ada"

    def test_an_idempotency_key_gives_the_first_answer_again(self, world: World) -> None:
        assert idempotency.remembered(world.core, "key", "hash") is None
        idempotency.remember(world.core, "key", "hash", 201, json.dumps({"a": 1}))
        assert idempotency.remembered(world.core, "key", "hash") == (201, '{"a": 1}')
        with pytest.raises(Conflict):
            idempotency.remembered(world.core, "key", "another")
