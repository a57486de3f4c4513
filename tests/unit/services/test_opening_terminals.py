"""Who may type into a trial's terminal."""

from __future__ import annotations

import pytest

from orchestune.errors import Denied, NotFound
from orchestune.services import terminals
from orchestune.services.core import Caller
from orchestune.testing.world import World

ADA, GRACE = Caller("ada", "editor"), Caller("grace", "editor")


def test_who_opened_a_terminal_may_type_into_it_and_an_owner_of_the_server(world: World) -> None:
    shell = world.create(budget=1, owner="ada")
    ((_, lease),) = world.lease()
    terminals.of_user(world.core, shell, lease["attempt"], ADA)
    terminals.of_user(world.core, shell, lease["attempt"], Caller("grace", "owner"))
    with pytest.raises(Denied, match="is ada's"):
        terminals.of_user(world.core, shell, lease["attempt"], GRACE)


def test_a_terminal_is_not_found_under_another_experiment(world: World) -> None:
    world.create(budget=1)
    ((_, lease),) = world.lease()
    other = world.create(budget=1, owner="grace")
    with pytest.raises(NotFound, match="no such attempt"):
        terminals.of_user(world.core, other, lease["attempt"], GRACE)
