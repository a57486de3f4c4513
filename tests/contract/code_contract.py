"""Which code a trial runs, when an experiment's code changes: one class for every store."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import Any

import pytest

from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.errors import BadInput, NotFound
from orchestune.services import bundles
from orchestune.services.bundles import blob_key
from orchestune.services.commands import change_experiment, create_experiment, rerun_trial
from orchestune.services.commands.change_code import change_code
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.create_experiment import InitialTrial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import attempts
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.register_worker import job
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


def put(world: CoreWorld, content: bytes) -> str:
    """Upload a bundle; its digest."""
    digest = hashlib.sha256(content).hexdigest()
    bundles.store(world.core, digest, io.BytesIO(content))
    return digest


def begin(world: CoreWorld, **changes: Any) -> tuple[str, str, str]:
    """An experiment with code, its bundle, and another bundle."""
    old, new = put(world, b"old"), put(world, b"new")
    request = replace(
        world.request(**changes),
        bundle=old,
        launch={"env": {"PATH": "/bin"}, "root": "/old", "links": ["data"]},
    )
    return create_experiment.create_experiment(world.core, request, "ada")["id"], old, new


def ran(world: CoreWorld, experiment: str) -> dict[int, str]:
    """Trial → its bundle."""
    return {trial["number"]: trial["bundle"] for trial in world.trials(experiment)}


class CodeContract(WorldContract):
    """A trial runs one bundle, the one that it began with."""

    def test_an_empty_file_that_comes_in_as_code_does_is_there(self, world: CoreWorld) -> None:
        digest = put(world, b"")  # as imported records bring the files of their trials
        assert world.core.files.size(blob_key(digest)) == 0
        reader, size = bundles.open_bundle(world.core, digest)
        with reader:
            assert (reader.read(), size) == (b"", 0)

    def test_trials_that_run_keep_the_old_code_and_those_that_wait_take_the_new_one(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=12, parallelism=2)
        leases = world.lease(2)
        waiting = [trial["number"] for trial in world.trials(experiment) if trial["state"] == "queued"]
        assert waiting, "random search makes suggestions ahead"
        status = change_code(world.core, experiment, new, {}, "bob")
        assert status["revision"] == 2
        assert {lease["bundle"] for _, lease in leases} == {old}
        world.run(experiment)
        begun = {lease["trial"] for _, lease in leases}
        assert ran(world, experiment) == {number: old if number in begun else new for number in range(1, 13)}

    def test_a_worker_that_is_there_gets_the_new_code_with_its_next_lease(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=4, parallelism=1)
        worker, first = world.lease()[0]
        change_code(world.core, experiment, new, {"root": "/new", "links": []}, "bob")
        answer = worker.call(want=1, finished=[worker.finish(first)])
        while not answer["leases"]:
            world.tick()
            answer = worker.call(want=1)
        (second,) = answer["leases"]
        assert (first["bundle"], first["revision"]) == (old, 1)
        assert (second["bundle"], second["revision"]) == (new, 2)
        assert not answer["drain"]
        bundles.open_bundle(world.core, new, experiment)[0].close()
        jobs = [job(world.core, worker.id, revision) for revision in (1, 2)]
        assert [(j.root, j.links) for j in jobs] == [("/old", ["data"]), ("/new", [])]

    @pytest.mark.parametrize("how", ["lost", "preempted", "failed"])
    def test_a_trial_that_begins_again_runs_what_it_began_with(self, world: CoreWorld, how: str) -> None:
        experiment, old, new = begin(world, budget=3, parallelism=1, retries=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        change_code(world.core, experiment, new, {}, "bob")
        if how == "failed":
            reason = {"code": "exit_code", "message": "exit code 1"}
            worker.call(finished=[worker.finish(lease, state="failed", exit_code=1, reason=reason)])
        elif how == "preempted":
            worker.call(finished=[worker.finish(lease, state="preempted")])
        else:
            with locked(world.core, experiment) as ledger:
                attempts.lose(ledger, lease["attempt"], Reason(ReasonCode.WORKER_LOST, "gone"))
            worker.leases.clear()
        assert world.trials(experiment)[0]["state"] == "queued"
        change_code(world.core, experiment, put(world, b"newest"), {}, "bob")
        world.clock.pass_time(10.0)
        _, again = world.lease()[0]
        assert again["trial"] == lease["trial"]
        assert (again["bundle"], again["revision"]) == (old, 1)

    def test_all_folds_of_a_trial_run_one_code(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=2, parallelism=2, folds={"count": 3})
        leases = world.lease(2)
        assert [lease["trial"] for _, lease in leases] == [1, 1]
        change_code(world.core, experiment, new, {}, "bob")
        trial_bundles: dict[int, set[str]] = {}
        for _ in range(100):
            for worker in list(world.workers.values()):
                held = list(worker.leases.values())
                for lease in held:
                    trial_bundles.setdefault(lease["trial"], set()).add(lease["bundle"])
                worker.call(want=8, finished=[worker.finish(lease) for lease in held])
            world.tick()
        assert trial_bundles == {1: {old}, 2: {new}}

    def test_a_change_is_an_event_with_its_callers_name_and_the_same_again_is_none(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=5)
        for _ in range(2):
            change_code(world.core, experiment, new, {}, "bob")
        events = read_experiments.events(world.core, experiment, 0, 1000)["items"]
        (event,) = [event for event in events if event["kind"] == "code_changed"]
        assert event["actor"] == "bob"
        assert event["data"] == {"bundle": new, "before": old, "revision": 2, "queued_trials": 0}
        assert world.status(experiment)["revision"] == 2

    def test_code_that_nobody_uploaded_changes_nothing(self, world: CoreWorld) -> None:
        experiment, old, _ = begin(world, budget=2)
        with pytest.raises(NotFound, match="no bundle"):
            change_code(world.core, experiment, "f" * 64, {}, "bob")
        world.run(experiment)
        assert set(ran(world, experiment).values()) == {old}

    def test_the_new_code_stays_after_a_restart_of_the_server(self, world: CoreWorld) -> None:
        experiment, _, new = begin(world, budget=3, parallelism=1)
        change_code(world.core, experiment, new, {}, "bob")
        world.close()
        world.open()
        world.run(experiment)
        assert set(ran(world, experiment).values()) == {new}

    def test_a_finished_experiment_goes_on_with_it_once_it_is_extended(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=2, parallelism=1)
        world.run(experiment)
        change_code(world.core, experiment, new, {}, "bob")
        assert world.status(experiment)["state"] == "completed"
        change_experiment.change_experiment(world.core, experiment, Changes(budget=4), "bob")
        world.run(experiment)
        assert ran(world, experiment) == {1: old, 2: old, 3: new, 4: new}

    def test_rerun_takes_the_code_and_the_folder_of_that_trial(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=2, parallelism=1)
        world.run(experiment)
        change_code(world.core, experiment, new, {"root": "/new", "links": ["x"]}, "bob")
        change_experiment.change_experiment(world.core, experiment, Changes(budget=3), "bob")
        world.run(experiment)
        again = {n: rerun_trial.rerun_trial(world.core, experiment, n, Rerun(), "ada")["id"] for n in (1, 3)}
        documents = {n: read_experiments.specification(world.core, ref) for n, ref in again.items()}
        assert {n: document["bundle"] for n, document in documents.items()} == {1: old, 3: new}
        assert {n: document["launch"]["root"] for n, document in documents.items()} == {1: "/old", 3: "/new"}
        assert documents[3]["launch"]["env"] == {"PATH": "/bin"}, "the shell is the one that started it"

    def test_the_first_trial_may_be_one_that_was_before(self, world: CoreWorld) -> None:
        request = world.request(budget=2, parallelism=1, try_first=[{"x": 0.5}])
        first = InitialTrial({"x": 0.25}, 4_000_000_000)
        experiment = create_experiment.create_experiment(world.core, replace(request, first=first), "ada")["id"]
        world.run(experiment)
        trials = world.trials(experiment)
        assert (trials[0]["parameters"], trials[0]["seed"]) == (first.parameters, first.seed)
        assert len(trials) == 2
        wrong = InitialTrial({"x": 25.0}, 1)
        with pytest.raises(BadInput, match=r"first\.x"):
            create_experiment.create_experiment(world.core, replace(request, first=wrong), "ada")

    def test_the_code_of_each_trial_is_kept_as_long_as_the_trial_is(self, world: CoreWorld) -> None:
        experiment, old, new = begin(world, budget=2, parallelism=1)
        newest = put(world, b"newest")
        world.run(experiment)
        for digest in (new, newest):
            change_code(world.core, experiment, digest, {}, "bob")
        world.clock.pass_time(30 * 86400.0)
        GarbageCollection(world.core).drop_orphans()
        is_stored = {digest: world.core.files.size(blob_key(digest)) is not None for digest in (old, new, newest)}
        assert is_stored == {old: True, new: False, newest: True}
