"""Output while a user waits for an experiment of one trial."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.cli.develop import ephemeral_experiment


@pytest.mark.parametrize(
    ("came_from", "expected_notes"), [(None, ["no suitable idle worker in team: starting one"]), ("sgd-7f3a", [])]
)
def test_only_a_new_worker_is_told_as_started(
    came_from: str | None, expected_notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral_experiment, "_POLL_SECONDS", 0.0)
    states = iter(["starting", "alive", "alive"])

    def look(identity: str = "") -> Any:
        worker = {"state": next(states), "came_from": came_from}
        return {"id": "1", "state": "running", "reason": None, "workers": [worker]}

    notes: list[str] = []
    client = SimpleNamespace(experiment=look)
    place = SimpleNamespace(name="team", cluster=SimpleNamespace(provider="hosted"), embedded=False)
    console: Any = SimpleNamespace(note=notes.append, place=place, client=client)
    looks: list[Any] = []

    def enough(status: Any) -> bool:
        looks.append(status)
        return len(looks) == 3

    ephemeral_experiment.wait(console, look(), enough)
    assert notes == expected_notes
