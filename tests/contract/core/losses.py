"""Lost messages and lost workers."""

from __future__ import annotations

import hashlib

import pytest

from orchestune.ports.backend import WorkerLoss
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.execution import uploads
from orchestune.services.execution.worker_call import work
from orchestune.services.queries import read_columns, read_logs
from orchestune.store import workers
from orchestune.wire.work import Work
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class LossesContract(WorldContract):
    """Repeated, late and lost messages; lost workers; clocks that jump; restarts."""

    def test_the_same_report_twice_counts_once(self, world: CoreWorld) -> None:
        experiment = world.create(budget=5)
        worker, lease = world.lease()[0]
        report = worker.finish(lease)
        assert worker.call(finished=[report])["acks"][0]["result"] == "ok"
        worker.leases[lease["attempt"]] = lease
        assert worker.call(finished=[report])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["completed"] == 1
        assert len(read_logs.logs(world.core, experiment, 0, 100)["items"]) == 1

    def test_a_lease_that_was_lost_on_the_way_is_offered_again_for_free(self, world: CoreWorld) -> None:
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

    def test_leases_that_keep_getting_lost_on_the_way_are_no_losses_of_their_trial(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        world.tick(2)
        worker = next(iter(world.workers.values()))
        while len(world.trial(experiment, 1)["attempts"]) < 12:
            worker.call(want=1, lose_answer=True)
        assert world.status(experiment)["state"] == "running"
        assert world.run(experiment)["counts"]["completed"] == 1

    def test_a_silent_worker_is_lost_after_the_lease_time_and_its_trials_run_elsewhere(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        world.tick()
        world.hear_nothing(world.core.lease_seconds + 1)
        world.tick()
        assert world.trial(experiment, 1)["attempts"][0]["state"] == "lost"
        assert world.trials(experiment)[0]["state"] == "queued"
        del world.workers[worker.id]
        world.backend.gone[worker.id] = "killed by signal 9"
        other, again = world.lease()[0]
        assert other is not worker
        assert (again["trial"], again["token"]) == (1, 2)

    def test_a_silent_worker_that_comes_back_has_no_reason_to_be_lost_any_more(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, _ = world.lease()[0]
        sends = "uploading files of its trials"
        for sending, reason in ((0, None), (1, sends)):
            worker.call(sending=1)
            world.hear_nothing(world.core.lease_seconds + 1)
            (worker_status,) = world.status(experiment)["workers"]
            assert worker_status["state"] == "lost" and "no heartbeat from" in worker_status["reason"]
            worker.call(sending=sending)
            (worker_status,) = world.status(experiment)["workers"]
            assert (worker_status["state"], worker_status["reason"], worker_status["sending"]) == (
                "idle",
                reason,
                bool(sending),
            )

    def test_a_status_shows_the_workers_that_are_there_and_the_last_that_ended(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.lease()
        [current] = world.status(experiment)["workers"]
        with world.core.store.transaction() as session:
            for number in range(100, 160):
                ended = {
                    "state": "ended",
                    "slots": 1,
                    "created_at": session.now - number,
                    "ended_at": session.now - number,
                }
                workers.add(
                    session,
                    {"id": f"w{number}", "name": f"w{number}", "experiment": experiment, "cluster": "local"} | ended,
                )
        status = world.status(experiment)
        assert [worker["name"] for worker in status["workers"]] == [
            *(f"w{n}" for n in range(149, 99, -1)),
            current["name"],
        ]
        assert (status["workers"][-1], status["workers_left_out"]) == (current, 10)

    def test_a_late_result_is_good_until_a_newer_attempt_is_leased(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        world.tick()
        world.hear_nothing(20)
        for controller in world.controllers[:2]:
            controller.tick()
        assert world.trial(experiment, 1)["attempts"][0]["state"] == "lost"
        assert worker.call(finished=[worker.finish(lease)])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["completed"] == 1
        assert world.run(experiment)["counts"]["completed"] == 2

    @pytest.mark.parametrize(("state", "code"), [("lost", "worker_lost"), ("pruned", "pruned")])
    def test_a_late_end_that_changes_nothing_brings_its_logs_once(
        self, world: CoreWorld, state: str, code: str
    ) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        world.hear_nothing(20)
        end = worker.finish(lease, state=state, reason={"code": code, "message": "so it was"})
        for lost in (True, False):
            [ack] = worker.call(finished=[end], lose_answer=lost)["acks"]
            assert ack["result"] == "ok"
        assert len(read_logs.logs(world.core, experiment, 0, 100)["items"]) == 1
        assert world.trial(experiment, 1)["attempts"][0]["state"] == "lost"

    def test_an_attempt_that_a_newer_one_replaced_cannot_report_but_its_logs_are_kept(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        world.tick()
        world.hear_nothing(20)
        world.tick()
        newer, again = world.lease()[0]
        assert again["trial"] == lease["trial"]
        assert worker.call(finished=[worker.finish(lease, 0.1)])["acks"][0]["result"] == "superseded"
        newer.call(finished=[newer.finish(again, 0.7)])
        status = world.status(experiment)
        assert status["counts"]["completed"] == 1
        assert status["best"][0]["metrics"]["loss"]["value"] == 0.7
        texts = {item["text"] for item in read_logs.logs(world.core, experiment, 0, 100)["items"]}
        assert texts == {"loss=0.1\n", "loss=0.7\n"}

    def test_a_clock_that_jumps_an_hour_expires_nothing(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.lease()
        world.tick()
        world.clock.wall += 3600
        world.tick()
        world.clock.wall -= 7200
        world.tick()
        assert world.status(experiment)["counts"]["running"] == 1

    def test_a_clock_that_jumps_back_makes_no_time_less_than_none(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        world.clock.wall -= 3600
        worker.call(finished=[worker.finish(lease, 0.5)])
        world.lease()
        assert world.status(experiment)["eta_seconds"] == 0.0
        seconds = read_columns.columns(world.core, experiment, 10, None)["seconds"]
        assert seconds[0] == 0.5, "what its worker measured, on a clock that does not jump"

    def test_a_clock_that_jumps_back_does_not_put_off_what_waits_for_another_try(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        reason = {"code": "sandbox", "message": "no folder for the trial"}
        worker.call(finished=[worker.finish(lease, state="lost", points=[], reason=reason)])
        assert worker.call(want=1)["leases"] == []
        world.clock.wall -= 3600
        assert world.run(experiment, 100)["counts"]["completed"] == 1

    def test_a_clock_that_jumps_back_does_not_change_which_value_was_reported_last(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        beat = {"attempt": lease["attempt"], "token": lease["token"], "started": True}
        worker.call(beats=[{**beat, "points": [[0, "loss", 0.9, 1, None], [1, "loss", 0.8, 2, None]]}])
        world.clock.wall -= 3600
        worker.call(beats=[{**beat, "points": [[2, "loss", 0.7, 3, None]]}])
        worker.call(finished=[worker.finish(lease, points=[[3, "loss", 0.3, 4, None]])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.3

    def test_a_restart_of_the_server_expires_nothing(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.lease()
        world.tick()
        world.close()
        world.clock.pass_time(3600)
        world.open()
        world.tick()
        assert world.status(experiment)["counts"]["running"] == 1

    @pytest.mark.parametrize(
        ("is_reported", "why", "guess"),
        [
            (True, "killed by signal 9", True),
            (False, "killed by signal 9", True),
            (True, "the worker ended with exit code 70; its last lines:\nKeyError: 1", False),
        ],
        ids=["start was told", "died at once", "gave up"],
    )
    def test_a_trial_that_keeps_losing_its_worker_is_isolated_and_then_pauses_the_experiment(
        self, world: CoreWorld, is_reported: bool, why: str, guess: bool
    ) -> None:
        experiment = world.create(budget=6, parallelism=2)
        for _ in range(40):
            world.tick()
            for worker in list(world.workers.values()):
                answer = worker.call(want=2)
                killers = [lease for lease in worker.leases.values() if lease["trial"] == 1]
                if killers:
                    if is_reported:
                        worker.call(beats=[worker.started(killers[0])])
                    world.backend.gone[worker.id] = why
                elif answer["leases"] or worker.leases:
                    worker.call(finished=[worker.finish(lease) for lease in worker.leases.values()])
            world.clock.pass_time(60)
            if world.status(experiment)["state"] == "paused":
                break
        status = world.status(experiment)
        assert status["reason"]["code"] == "trial_kills_workers"
        message = status["reason"]["message"]
        assert message.startswith("trial 1 lost its worker 5 times") and message.endswith(f"is gone: {why}")
        assert ("too much memory" in message) is guess
        assert status["counts"]["completed"] == 5
        assert status["counts"]["failed"] == 0

    @pytest.mark.parametrize("how", ["reported", "the node was taken back"])
    def test_preemptions_without_a_checkpoint_pause_the_experiment(self, world: CoreWorld, how: str) -> None:
        experiment = world.create(budget=3, parallelism=1)

        def preempt(reason: dict[str, str] | None = None) -> str:
            [(worker, lease)] = world.lease()
            worker.call(beats=[worker.started(lease)])
            world.clock.pass_time(1800)
            if how == "reported":
                worker.call(finished=[worker.finish(lease, state="preempted", points=[], reason=reason)])
            else:
                world.backend.gone[worker.id] = "the node was taken back"
                world.backend.faults[worker.id] = WorkerLoss.PLACE
                world.tick()
            return str(world.status(experiment)["state"])

        assert [preempt() != "paused" for _ in range(3)] == [True, True, False]
        reason = world.status(experiment)["reason"]
        assert reason["code"] == "no_progress"
        assert "trial 1 was ended 3 times in a row, after 30 min at most" in reason["message"]
        change_experiment.resume(world.core, experiment, "ada")
        assert preempt() != "paused", "the guard is waived"

    def test_preemptions_of_a_trial_that_publishes_checkpoints_do_not_pause(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        for step in range(5):
            [(worker, lease)] = world.lease()
            worker.call(beats=[worker.started(lease)])
            if step % 2:
                digest = hashlib.sha256(str(step).encode()).hexdigest()
                uploads.append(world.core, worker.id, digest, 0, str(step).encode())
                published = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": step}
                assert worker.checkpoint(published) == {"accepted": True}
            worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.status(experiment)["state"] != "paused"

    def test_pauses_by_users_are_no_preemptions_without_progress(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        for _ in range(4):
            [(worker, lease)] = world.lease()
            worker.call(beats=[worker.started(lease)])
            change_experiment.pause(world.core, experiment, True, "ada")
            paused = {"code": "paused", "message": "paused by ada"}
            worker.call(finished=[worker.finish(lease, state="preempted", points=[], reason=paused)])
            change_experiment.resume(world.core, experiment, "ada")
        assert world.status(experiment)["state"] != "paused"

    def test_a_trial_that_is_run_alone_is_so_after_a_preemption_too(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        for _ in range(3):
            [(worker, lease)] = world.lease()
            worker.call(beats=[worker.started(lease)])
            world.backend.gone[worker.id] = "killed by signal 9"
            world.tick()
        [(worker, lease)] = world.lease()
        change_experiment.change_experiment(world.core, experiment, Changes(budget=3, parallelism=2), "ada")
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert {lease["trial"] for _, lease in world.lease(2)} == {2, 3}
        assert world.run(experiment)["counts"]["completed"] == 3

    def test_a_poll_that_is_looked_at_again_loses_no_lease_that_a_later_call_got(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=2)
        worker, lease = world.lease()[0]
        with world.core.store.transaction() as session:
            workers.change(session, worker.id, slots=2)
        worker.call(beats=[worker.started(lease)])
        change_experiment.pause(world.core, experiment, False, "ada")
        poll = Work(boot=worker.boot, beat=worker.beat + 1, want=1, live=(lease["attempt"],))
        assert work(world.core, worker.id, poll).answer.leases == [], "it waits"
        worker.beat += 1
        change_experiment.resume(world.core, experiment, "ada")
        world.tick(2)
        [other] = worker.call(want=1, finished=[worker.finish(lease)])["leases"]
        for _ in range(2):
            worker.call(beats=[worker.started(other)])
        work(world.core, worker.id, poll)
        assert [item["state"] for item in world.trial(experiment, other["trial"])["attempts"]] == ["running"]

    def test_what_waits_is_cancelled_when_the_loss_of_a_worker_ends_the_experiment(self, world: CoreWorld) -> None:
        experiment = world.create(budget=10, parallelism=1, engine="random", stop={"max_failures": 1})
        [(worker, _)] = world.lease()
        world.backend.gone[worker.id], world.backend.faults[worker.id] = "out of memory", WorkerLoss.OUT_OF_MEMORY
        world.tick(5)
        status = world.status(experiment)
        assert (status["state"], status["counts"]["failed"], status["counts"]["queued"]) == ("failed", 1, 0)
        assert status["counts"]["cancelled"] > 0
