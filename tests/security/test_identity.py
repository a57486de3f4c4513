"""Owners of records are proved, not claimed, and a worker that ran the code of one user never runs that of another."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune import documents
from orchestune.client.states import owner_of
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.services.access import authenticate, sign_in
from orchestune.services.access.terminals import of_user
from orchestune.services.core import UNNAMED, Caller
from orchestune.services.ownership import principal, principal_of_new
from orchestune.services.signatures import digest
from orchestune.store import archive, experiments
from tests.contract.world import CoreWorld, FakeWorker
from tests.security.target import OWNER, SPECIFICATION, Target, attacked
from tests.unit.server.harness import live

SHARED = "a-token-that-a-team-shares"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with attacked(tmp_path) as new_target:
        yield new_target


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    """A place in which workers are containers, which tests hand over to each other."""
    core_world = CoreWorld(tmp_path, capacity=Capacity((Machine(16, 2**36),)))
    core_world.backend.slots_per_worker = 1
    yield core_world
    core_world.close()


def finish(world: CoreWorld, **changes: Any) -> str:
    """Run a test to its end; its id."""
    test = world.create(budget=1, parallelism=1, labels={TEST_LABEL: "0"}, **changes)
    for _ in range(50):
        world.tick()
        for worker in list(world.workers.values()):
            worker.call(want=1, finished=[worker.finish(lease) for lease in worker.leases.values()])
            if worker.goes_on:
                world.workers[worker.id] = FakeWorker(world.core, worker.id, life=worker.life + 1)
        if world.status(test)["state"] == "completed":
            return test
    raise AssertionError(world.status(test))


def origins(world: CoreWorld, experiment: str) -> list[str | None]:
    return [worker["came_from"] for worker in world.status(experiment)["workers"]]


def test_an_editor_cannot_record_an_experiment_of_somebody_else(target: Target) -> None:
    mallory = target.token("mallory", "editor")
    refused = target.create(mallory, owner="ada")
    assert refused.status == 403 and "cannot record an experiment of 'ada'" in refused.json()["error"]["message"]
    for fields in ({}, {"owner": "mallory"}, {"owner": ""}):
        created = target.create(mallory, headers={"Orchestune-User": "ada"}, **fields).json()
        assert (created["owner"], created["owner_authenticated"]) == ("mallory", True)


def test_an_editor_cannot_rerun_a_trial_in_the_name_of_somebody_else(target: Target) -> None:
    trial, mallory = target.trial(), target.token("mallory", "editor")
    path = f"/api/v1/experiments/{trial.handle}/trials/1/rerun"
    assert target.server.ask("POST", path, {"owner": "ada"}, token=mallory).status == 403
    again = target.server.ask("POST", path, {}, token=mallory)
    assert (again.status, again.json()["owner"]) == (201, "mallory")


def test_an_owner_may_record_on_behalf_of_others(target: Target) -> None:
    created = target.create(owner="grace").json()
    assert (created["owner"], created["owner_authenticated"]) == ("grace", True)


def test_a_name_that_holders_of_a_shared_token_say_is_marked_as_unproven(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    core = replace(world.core, owners={SHARED: UNNAMED})
    with live(core) as server:
        for headers, owner in (({"Orchestune-User": "grace"}, None), ({}, "grace")):
            body = {"specification": SPECIFICATION, **({"owner": owner} if owner else {})}
            created = server.ask("POST", "/api/v1/experiments", body, token=SHARED, headers=headers).json()
            assert (created["owner"], created["owner_authenticated"]) == ("grace", False)
            assert (
                server.ask("GET", "/api/v1/experiments", token=SHARED).json()["items"][0]["owner_authenticated"]
                is False
            )
    world.close()


def test_a_browser_proves_as_much_as_the_token_by_which_it_signed_in(world: CoreWorld) -> None:
    core = replace(world.core, owners={SHARED: UNNAMED, OWNER: "ada"})
    proved = {}
    for token in (SHARED, OWNER):
        session = sign_in.begin(core, sign_in.user(authenticate.authenticate(core, token))).token
        caller = authenticate.session_of(core, session)
        assert caller is not None
        proved[token] = principal(core, caller)
        linked = sign_in.invite(core, Caller("ada", "owner", source=digest(token), shared=token == SHARED))
        session = sign_in.enter(core, linked["path"].partition("code=")[2]).token
        caller = authenticate.session_of(core, session)
        assert caller is not None and principal(core, caller) == proved[token]
    assert proved[SHARED] is None and (proved[OWNER] or "").startswith("token:")


def test_a_session_of_a_place_that_vouches_for_a_role_proves_nobody(world: CoreWorld) -> None:
    vouched = Caller("ada", "editor", shared=True, source="a" * 64, expires_at=world.clock.now() + 60.0)
    code = sign_in.invite(world.core, vouched)["path"].partition("code=")[2]
    caller = authenticate.session_of(world.core, sign_in.enter(world.core, code).token)
    assert caller is not None and caller.shared and principal(world.core, caller) is None


def test_a_worker_is_not_handed_over_by_a_claimed_name(world: CoreWorld) -> None:
    first = finish(world, principal="token:ada")
    for proved in (None, "token:mallory", ""):
        assert origins(world, finish(world, owner="ada", principal=proved)) == [None]
    assert origins(world, finish(world, principal="token:ada")) == [world.status(first)["handle"]]


def test_names_that_nothing_proves_hand_over_nothing_and_keep_no_worker_warm(world: CoreWorld) -> None:
    finish(world, principal=None)
    world.tick(3)
    assert world.backend.ended == world.backend.orders.keys(), "its place is free again at once"
    assert origins(world, finish(world, principal=None)) == [None]


def test_two_owners_for_whom_one_person_records_share_no_worker(world: CoreWorld) -> None:
    finish(world, owner="ada", principal="token:admin")
    assert origins(world, finish(world, owner="grace", principal="token:admin")) == [None]


def test_an_embedded_server_has_one_user(world: CoreWorld) -> None:
    alone = replace(world.core, single_user=True)
    for caller in (
        Caller("ada", "owner", source="a" * 64),
        Caller("ada", "owner", shared=True),
        Caller("root", "owner"),
    ):
        assert principal_of_new(alone, caller, "anybody") == "local"


def test_a_claimed_name_opens_no_terminal_of_an_experiment_whose_owner_is_proved(world: CoreWorld) -> None:
    experiment = world.create(budget=1, owner="grace", env={"ORCHESTUNE_TERMINAL": "{}"})
    ((_, lease),) = world.lease()
    attempt = lease["attempt"]
    for stranger in (Caller("grace", "editor", shared=True), Caller("mallory", "editor", source="m" * 64)):
        with pytest.raises(Exception, match="terminal"):
            of_user(world.core, experiment, attempt, stranger)
    of_user(world.core, experiment, attempt, Caller("grace", "editor", source="g" * 64))
    of_user(world.core, experiment, attempt, Caller("ada", "owner"))


def test_a_record_does_not_carry_what_was_proved_of_its_owner(world: CoreWorld, tmp_path: Path) -> None:
    experiment = world.create(budget=1)
    assert world.run(experiment)["owner_authenticated"]
    with world.core.store.reading() as session:
        ((_, row), *_) = archive.rows(session, experiment)
    assert row["id"] == experiment and "principal" not in row and "token:ada" not in str(row)
    (tmp_path / "other").mkdir()
    other = CoreWorld(tmp_path / "other")
    with other.core.store.transaction() as session:
        archive.add(session, "experiments", [row | {"imported_at": session.now}])
    assert other.status(experiment)["owner_authenticated"] is False
    with other.core.store.reading() as session:
        assert experiments.get(session, experiment).principal is None
    other.close()


def test_records_of_before_prove_nothing(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    experiment = world.create(budget=1)
    world.close()
    with closing(sqlite3.connect(tmp_path / "orchestune.db")) as database, database:
        database.execute("UPDATE experiments SET principal = NULL")
    world.open()
    assert world.status(experiment)["owner_authenticated"] is False
    world.close()


def test_the_command_line_marks_an_owner_whom_nothing_proves() -> None:
    marks: dict[str, bool] = {}
    for mark, text in ((None, "ada"), (True, "ada"), (False, "ada (unverified)")):
        marks |= {} if mark is None else {"owner_authenticated": mark}
        assert owner_of(cast(documents.Status, {"owner": "ada", **marks})) == text
