"""Permission to type into a trial's terminal."""

from __future__ import annotations

import pytest

from orchestune.errors import Denied, NotFound
from orchestune.services.access import terminals
from orchestune.services.core import Caller
from tests.contract.world import CoreWorld

SHELL = {"ORCHESTUNE_TERMINAL": "{}"}
ADA, GRACE = Caller("ada", "editor"), Caller("grace", "editor")


def test_who_opened_a_terminal_may_type_into_it_and_an_owner_of_the_server(world: CoreWorld) -> None:
    shell = world.create(budget=1, owner="ada", env=SHELL)
    ((_, lease),) = world.lease()
    terminals.of_user(world.core, shell, lease["attempt"], ADA)
    terminals.of_user(world.core, shell, lease["attempt"], Caller("grace", "owner"))
    with pytest.raises(Denied, match="belongs to ada"):
        terminals.of_user(world.core, shell, lease["attempt"], GRACE)


def test_a_terminal_is_not_found_under_another_experiment(world: CoreWorld) -> None:
    world.create(budget=1, env=SHELL)
    ((_, lease),) = world.lease()
    other = world.create(budget=1, owner="grace", env=SHELL)
    with pytest.raises(NotFound, match="attempt"):
        terminals.of_user(world.core, other, lease["attempt"], GRACE)


def test_only_the_worker_that_runs_it_is_at_the_other_end(world: CoreWorld) -> None:
    world.create(budget=1, env=SHELL)
    ((worker, lease),) = world.lease()
    assert terminals.of_worker(world.core, worker.id, lease["attempt"]).worker == worker.id
    world.create(budget=1, env=SHELL)
    ((other, _),) = world.lease()
    with pytest.raises(NotFound, match="attempt"):
        terminals.of_worker(world.core, other.id, lease["attempt"])


def test_a_worker_opens_no_terminal_for_an_attempt_that_is_over(world: CoreWorld) -> None:
    shell = world.create(budget=1, owner="ada", env=SHELL)
    ((worker, lease),) = world.lease()
    worker.call(finished=[worker.finish(lease)])
    with pytest.raises(NotFound, match="attempt"):
        terminals.of_worker(world.core, worker.id, lease["attempt"])
    assert not terminals.of_user(world.core, shell, lease["attempt"], ADA).accepts_result, (
        "to read what it printed last"
    )


def test_a_trial_that_is_no_terminal_has_none(world: CoreWorld) -> None:
    plain = world.create(budget=1, owner="ada")
    ((worker, lease),) = world.lease()
    with pytest.raises(NotFound, match="no terminal"):
        terminals.of_worker(world.core, worker.id, lease["attempt"])
    with pytest.raises(NotFound, match="have no terminal"):
        terminals.of_user(world.core, plain, lease["attempt"], ADA)
