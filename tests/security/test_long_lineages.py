"""A trial that is interrupted again and again costs its server no more than one that is interrupted a few times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestune.services.execution import points, uploads
from orchestune.services.execution.points import points_to_reduce
from orchestune.store import experiments
from orchestune.wire.files import PublishCheckpoint
from tests.contract.world import CoreWorld, Document, FakeWorker
from tests.security.target import digest_of

METRICS = [{"name": "loss", "goal": "minimize"}, {"name": "best", "goal": "minimize", "take": "best"}]


def interrupted(
    world: CoreWorld, count: int, names: int, metrics: Sequence[Document] = METRICS, losses: int = 0
) -> tuple[str, FakeWorker, Document]:
    """Interrupt a trial after each checkpoint; return its experiment and the lease of the attempt that follows.

    The first attempt reports two losses, and each of them `losses`.
    """
    experiment = world.create(budget=1, parallelism=1, checkpoint_every=60, metrics=metrics)
    [(worker, lease)] = world.lease()
    for number in range(count):
        digest = digest_of(b"model")
        uploads.append(world.core, worker.id, digest, 0, b"model")
        call = PublishCheckpoint(attempt=lease["attempt"], token=lease["token"], digest=digest, step=number)
        assert uploads.checkpoint(world.core, worker.id, call).accepted
        values: list[Any] = [[0, f"{number} {name}", 1.0, None, None] for name in range(names)]
        values += [[0, "best", float(number), None, None]] + (
            [[n, "loss", 5.0, None, None] for n in range(losses if number else 2)]
        )
        worker.call(finished=[worker.finish(lease, state="preempted", points=values)])
        [(worker, lease)] = world.lease()
    return experiment, worker, lease


def reduced(world: CoreWorld, experiment: str, lease: Document) -> list[str]:
    with world.core.store.reading() as session:
        metrics = experiments.get(session, experiment).specification.metrics
        return [each.name for each in points_to_reduce(session, experiment, lease["attempt"], metrics)]


def test_of_many_attempts_in_a_row_the_newest_are_read(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "_MAX_LINEAGE", 4)
    experiment, _, lease = interrupted(world, 6, 1)
    assert reduced(world, experiment, lease) == ["3 0", "best", "4 0", "best", "5 0", "best"]


def test_of_attempts_with_many_metrics_only_declared_ones_are_read(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "_MAX_REDUCED_NAMES", 8)
    experiment, worker, lease = interrupted(world, 4, 5)
    names = reduced(world, experiment, lease)
    assert [name for name in names if name not in ("loss", "best")] == [f"3 {name}" for name in range(5)]
    worker.call(finished=[worker.finish(lease, points=[[0, "best", 7.0, None, None]])])
    [trial] = world.trials(experiment)
    assert {name: trial["metrics"][name]["value"] for name in ("loss", "best")} == {"loss": 5.0, "best": 0.0}
