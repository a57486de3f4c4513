"""Tests whose command line was killed."""

from __future__ import annotations

import pytest

from orchestune.controllers import abandoned_runs
from orchestune.controllers.abandoned_runs import PATIENCE_SECONDS, AbandonedRuns
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.errors import BadInput, Purged, StoreUnavailable
from orchestune.services import audit
from orchestune.services.commands.change_experiment import Changes, change_experiment
from orchestune.services.commands.rerun_trial import Rerun, rerun_trial
from orchestune.services.core import Core
from tests.contract.world import CoreWorld


def pass_time(world: CoreWorld, abandoned: AbandonedRuns, seconds: float) -> None:
    for _ in range(round(seconds / 10)):
        world.clock.pass_time(10)
        abandoned.tick()


def test_a_test_that_nobody_waits_for_is_stopped_and_removed(world: CoreWorld) -> None:
    left_alone = world.create(budget=1, labels={TEST_LABEL: "0"})
    usual = world.create(budget=1, labels={"team": TEST_LABEL})
    world.lease()
    abandoned = AbandonedRuns(world.core)
    pass_time(world, abandoned, PATIENCE_SECONDS)
    assert world.status(left_alone)["state"] in ("pending", "running")
    assert audit.page(world.core, None, 10)["items"] == []
    pass_time(world, abandoned, 20)
    assert world.status(left_alone)["desired"] == "stopped"
    (event,) = audit.page(world.core, None, 10)["items"]
    assert (event["kind"], event["actor"]) == ("experiment_deleted", "server")
    assert (event["subject"], event["details"]["purge"]) == (world.status(left_alone)["handle"], "true")
    for worker in world.backend.orders:
        world.backend.gone[worker] = ""
    world.tick(3)
    with pytest.raises(Purged):
        world.status(left_alone)
    assert world.status(usual)["desired"] == "running"


def test_a_removal_that_fails_does_not_delay_others(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [world.create(budget=1, labels={TEST_LABEL: "0"}) for _ in range(3)]
    removed = []

    def delete(core: Core, experiment: str, purge: bool, actor: str) -> None:
        if experiment == tests[1]:
            raise StoreUnavailable("the store is busy")
        removed.append(experiment)

    monkeypatch.setattr(abandoned_runs, "delete", delete)
    abandoned = AbandonedRuns(world.core)
    with pytest.raises(StoreUnavailable):
        pass_time(world, abandoned, PATIENCE_SECONDS + 20)
    assert sorted(removed) == sorted([tests[0], tests[2]])
    assert len(audit.page(world.core, None, 10)["items"]) == 2, "what was not removed is not in the audit log"


def test_a_test_that_somebody_waits_for_goes_on_however_long_it_takes(world: CoreWorld) -> None:
    waited_for = world.create(budget=1, labels={TEST_LABEL: "0"})
    abandoned = AbandonedRuns(world.core)
    for beat in range(1, 10):
        pass_time(world, abandoned, PATIENCE_SECONDS - 20)
        change_experiment(world.core, waited_for, Changes(labels={TEST_LABEL: str(beat)}), "ada")
    assert world.status(waited_for)["desired"] == "running"


def test_what_is_run_again_of_a_test_is_none(world: CoreWorld) -> None:
    tested = world.create(budget=1, labels={TEST_LABEL: "0", "team": "vision"})
    world.lease()
    again = str(rerun_trial(world.core, tested, 1, Rerun(), "ada")["id"])
    pass_time(world, AbandonedRuns(world.core), PATIENCE_SECONDS + 20)
    assert (world.status(again)["desired"], world.status(again)["labels"]) == ("running", {"team": "vision"})


def test_what_was_not_begun_as_a_test_cannot_become_one(world: CoreWorld) -> None:
    usual = world.create(budget=1, labels={"team": "vision"})
    with pytest.raises(BadInput, match="is reserved for `orchestune test`"):
        change_experiment(world.core, usual, Changes(labels={"team": "vision", TEST_LABEL: "1"}), "eve")
    pass_time(world, AbandonedRuns(world.core), PATIENCE_SECONDS + 20)
    assert world.status(usual)["desired"] == "running" and world.status(usual)["labels"] == {"team": "vision"}
