"""Reasons of pauses and stops as people read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.services.commands.change_experiment import pause, stop
from orchestune.services.commands.stop_trial import stop_trial
from tests.contract.world import CoreWorld, decoded


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ("ada", "by ada"),
        ("admin", "by admin"),  # who a kubeconfig often stands for
        ("owner", "by a user with the role owner"),
        ("orchestune-editor", "by a user with the role editor"),
    ],
)
def test_a_reason_names_a_person_or_says_that_a_role_is_meant(actor: str, words: str, tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    ref = world.create(budget=2)
    world.lease()
    stopped = decoded(stop_trial(world.core, ref, 1, actor))
    paused = decoded(pause(world.core, ref, False, actor))
    ended = decoded(stop(world.core, ref, actor))
    world.close()
    assert stopped["reason"]["message"] == f"stopped {words}"
    assert paused["reason"]["message"] == f"paused {words}"
    assert ended["reason"]["message"] == f"stopped {words}"
