"""Attack: a trial writes a secret where the cluster reports it, such as its pod's termination log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from orchestune.errors import BadInput, Conflict
from orchestune.ports.backend import WorkerLoss
from orchestune.services.commands import create_experiment
from orchestune.services.core import Core
from orchestune.services.execution import locked_experiment, report_metrics
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.queries import read_cluster, read_experiments
from orchestune.services.signatures import report_signature
from orchestune.worker.mask import masked_text, spellings
from tests.contract.world import CoreWorld

VALUE = "correct horse battery staple"
SPELLED = f"ended with exit code 1; its last lines:\nkey={VALUE} url=https://a/?k={VALUE.replace(' ', '+')}"
MASKED = "key=*** url=https://a/?k=***"


def create(world: CoreWorld) -> str:
    request = replace(
        world.request(secrets=[{"name": "KEY", "source": "env:KEY"}], budget=1, parallelism=1), secrets={"KEY": VALUE}
    )
    return str(create_experiment.create_experiment(world.core, request, "ada")["id"])


def events_text(world: CoreWorld, experiment: str) -> str:
    """Everything that a viewer reads of the experiment and its cluster."""
    documents = (
        world.status(experiment),
        world.trials(experiment),
        read_experiments.events(world.core, experiment, 0, 1000),
        read_cluster.cluster(world.core),
    )
    return json.dumps(documents)


def test_the_end_of_a_worker_shows_no_secret(world: CoreWorld) -> None:
    experiment = create(world)
    ((worker, lease),) = world.lease(1)
    worker.call(beats=[worker.started(lease)])
    world.backend.gone[worker.id] = SPELLED
    world.tick(3)
    text = events_text(world, experiment)
    assert text.count(MASKED) >= 2 and "horse" not in text


def test_a_pause_because_of_a_worker_shows_no_secret(world: CoreWorld) -> None:
    experiment = create(world)
    world.tick()
    (worker,) = world.backend.orders
    world.backend.gone[worker], world.backend.faults[worker] = SPELLED, WorkerLoss.REFUSED
    world.tick(2)
    assert world.status(experiment)["state"] == "paused"
    assert MASKED in str(world.status(experiment)["reason"]) and "horse" not in events_text(world, experiment)


def test_a_pending_worker_shows_no_secret(world: CoreWorld) -> None:
    experiment = create(world)
    for _ in range(3):  # without `world.tick`, in which the worker would register
        world.backend.pending = dict.fromkeys(world.backend.orders, SPELLED)
        for controller in world.controllers:
            controller.tick()
    text = events_text(world, experiment)
    assert MASKED in text and "horse" not in text


def test_names_are_masked_before_the_store_is_locked(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = create(world)
    [(worker, lease)] = world.lease()
    worker.call(beats=[worker.started(lease)])
    signature = report_signature(world.core, lease["attempt"])

    masked: list[str] = []

    def mask(text: str, secrets: Iterable[bytes]) -> str:
        masked.append(text)
        return masked_text(text, secrets)

    @contextmanager
    def locked(core: Core, experiment: str) -> Iterator[Ledger]:
        assert len(masked) == 2
        with locked_experiment.locked(core, experiment) as ledger:
            yield ledger

    monkeypatch.setattr(report_metrics, "masked_text", mask)
    monkeypatch.setattr(report_metrics, "locked", locked)
    report_metrics.report(world.core, lease["attempt"], signature, {f"key {VALUE}": 1, "loss": 2})
    assert VALUE not in events_text(world, experiment)


def test_a_report_whose_names_take_seconds_to_mask_is_refused(world: CoreWorld) -> None:
    secrets = {f"S{number}": f"aaa{number:05}" for number in range(2500)}
    request = replace(world.request(budget=1, parallelism=1), secrets=secrets)
    create_experiment.create_experiment(world.core, request, "ada")
    [(worker, lease)] = world.lease()
    worker.call(beats=[worker.started(lease)])
    signature = report_signature(world.core, lease["attempt"])
    names = {"a" * 400 + str(number): 1.0 for number in range(900)}
    with pytest.raises(BadInput, match="2,500 secrets are masked"):
        report_metrics.report(world.core, lease["attempt"], signature, names)
    report_metrics.report(world.core, lease["attempt"], signature, {"a" * 400: 1.0, "loss": 1.0})


def test_reports_of_attempts_that_are_over_cost_no_masking(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    create(world)
    [(worker, lease)] = world.lease()
    worker.call(finished=[worker.finish(lease, 0.5)])
    monkeypatch.setattr(report_metrics, "spellings", None)
    with pytest.raises(Conflict, match="this attempt is over"):
        report_metrics.report(
            world.core, lease["attempt"], report_signature(world.core, lease["attempt"]), {"loss": 2.0}
        )


def test_secrets_longer_than_a_name_are_not_spelled_out() -> None:
    secret = "\n".join(["000123" + "'" * 20] * 5000)
    assert spellings([secret, "short one"], longest=9) == [b"short%20one", b"short one", b"short+one"]
    assert masked_text("a short one", spellings([secret, "short one"], longest=11)) == "a ***"
