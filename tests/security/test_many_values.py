"""A trial that reports very many values, or is compared at very many steps, costs its server no more than others."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.domain.specification.curves import PrunerObservation
from orchestune.errors import BadInput
from orchestune.pruners.wilcoxon import WilcoxonPruner
from orchestune.services.commands.create_experiment import parse
from orchestune.services.execution import points, pruning, uploads
from orchestune.services.execution.points import points_to_reduce
from orchestune.store import experiments
from orchestune.store.statements.pruning import COUNT_STEPS
from orchestune.wire.files import PublishCheckpoint
from tests.contract.world import CoreWorld, Document, FakeWorker
from tests.security.target import SPECIFICATION, digest_of
from tests.security.test_long_lineages import interrupted, reduced

WILCOXON = {"type": "wilcoxon"}


def values(start: int, count: int, value: float = 1.0) -> list[Any]:
    return [[number, "loss", value, number + 1, None] for number in range(start, start + count)]


def progress(worker: FakeWorker, lease: Document, reported: list[Any]) -> None:
    assert worker.call(beats=[worker.started(lease) | {"points": reported}])["acks"][0]["result"] == "ok"


def steps(world: CoreWorld, experiment: str, trial: int) -> int:
    with world.core.store.reading() as session:
        return session.row(COUNT_STEPS, {"experiment": experiment, "trial": trial, "fold": 0}) or 0


def test_a_trial_is_compared_at_few_steps_and_asked_about_the_newest(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule compares all earlier steps at each: a call with 10,000 of them took 17 s under the store's lock."""
    monkeypatch.setattr(pruning, "_MAX_STEPS_OF_FOLD", 30)
    monkeypatch.setattr(pruning, "_MAX_JUDGED_STEPS", 4)
    judged: list[float] = []
    judge = WilcoxonPruner.judge

    def noting(self: WilcoxonPruner, observation: PrunerObservation) -> str | None:
        judged.append(observation.step)
        return judge(self, observation)

    monkeypatch.setattr(WilcoxonPruner, "judge", noting)
    experiment = world.create(budget=2, parallelism=1, early_stopping=WILCOXON)
    [(worker, lease)] = world.lease()
    progress(worker, lease, values(0, 20))
    progress(worker, lease, values(20, 20))
    progress(worker, lease, values(40, 20))
    assert steps(world, experiment, 1) == 30
    assert judged == [17, 18, 19, 20, 27, 28, 29, 30]
    worker.call(finished=[worker.finish(lease, points=[])])
    [(worker, lease)] = world.lease()
    [order] = worker.call(beats=[worker.started(lease) | {"points": values(0, 20, 2.0)}])["orders"]
    assert order["state"] == "pruned", "a rule still prunes"


def test_all_trials_of_an_experiment_are_compared_at_a_limited_number_of_steps(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MAX_STEPS_OF_EXPERIMENT", 25)
    experiment = world.create(budget=2, parallelism=2, early_stopping=WILCOXON)
    for worker, lease in world.lease(2):
        progress(worker, lease, values(0, 20))
    assert [steps(world, experiment, trial) for trial in (1, 2)] == [20, 5]


@pytest.mark.parametrize("most", [5, 10_000])
def test_a_curve_is_rebuilt_from_its_last_values(world: CoreWorld, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """The values before them are no gap, as values are that were not finite."""
    monkeypatch.setattr(pruning, "_MAX_REBUILT_POINTS", most)
    world.create(budget=2, parallelism=1, early_stopping={"type": "median"})
    [(worker, lease)] = world.lease()
    progress(worker, lease, values(0, 20))
    world.core.pruners._pruners.clear()  # as in a server that has just started
    progress(worker, lease, values(20, 1))
    [(_, pruners)] = world.core.pruners._pruners.values()
    [tracked] = pruners.curves.values()
    observation = tracked.curve.observation(1, 21)
    assert (observation.loss, observation.best, observation.mean, tracked.curve.step) == (1.0, 1.0, 1.0, 21)


def test_of_earlier_attempts_few_values_are_looked_at(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "_MAX_SCANNED_POINTS", 4)
    experiment, _, lease = interrupted(world, 6, 1)
    assert reduced(world, experiment, lease) == ["4 0", "best", "5 0", "best"]


def test_a_mean_reads_no_more_values_of_earlier_attempts_than_it_needs(world: CoreWorld) -> None:
    metrics = [{"name": "loss", "goal": "minimize", "take": "mean:3"}, {"name": "best", "goal": "minimize"}]
    experiment, worker, lease = interrupted(world, 3, 0, metrics=metrics, losses=2)
    names = reduced(world, experiment, lease)
    assert names.count("loss") == 4 and names.count("best") == 1, "of the two newest attempts, and of one"
    worker.call(finished=[worker.finish(lease, points=[[0, "loss", 8.0, None, None], [0, "best", 1.0, None, None]])])
    [trial] = world.trials(experiment)
    assert trial["metrics"]["loss"]["value"] == pytest.approx((5 + 5 + 8) / 3)


def test_an_interruption_reads_no_values(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker can repeat it as often as it likes."""
    experiment, worker, lease = interrupted(world, 2, 1)
    monkeypatch.setattr(points, "points_to_reduce", None)
    worker.call(finished=[worker.finish(lease, state="preempted")])
    assert world.trials(experiment)[0]["state"] == "queued"


def test_means_of_too_many_values_are_refused() -> None:
    one = {"name": "m", "goal": "minimize", "take": "mean:9999"}
    assert parse({**SPECIFICATION, "metrics": [one]}).metrics[0].counted == 9999
    for metrics in ([one | {"take": "mean:10000"}], [one | {"name": f"m{number}"} for number in range(6)]):
        with pytest.raises(BadInput):
            parse({**SPECIFICATION, "metrics": metrics})


def test_the_mean_of_a_record_of_an_earlier_version_is_bounded(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "MAX_AVERAGED", 5)
    monkeypatch.setattr(points, "_MIN_AVERAGED", 3)
    metrics = [{"name": "loss", "goal": "minimize", "take": "mean:20"}]
    experiment = world.create(budget=1, metrics=metrics)
    [(worker, lease)] = world.lease()
    progress(worker, lease, values(0, 30))
    with world.core.store.reading() as session:
        declared = experiments.get(session, experiment).specification.metrics
        assert len(points_to_reduce(session, experiment, lease["attempt"], declared)) == 5


def test_values_up_to_a_checkpoint_are_looked_for_among_the_last_ones(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps of an attempt may lie behind its checkpoint."""
    metrics = [{"name": "loss", "goal": "minimize", "take": "mean:2"}]
    experiment = world.create(budget=1, parallelism=1, checkpoint_every=60, metrics=metrics)
    [(worker, lease)] = world.lease()
    progress(worker, lease, values(0, 20))
    uploads.append(world.core, worker.id, digest_of(b"model"), 0, b"model")
    call = PublishCheckpoint(attempt=lease["attempt"], token=lease["token"], digest=digest_of(b"model"), step=10)
    assert uploads.checkpoint(world.core, worker.id, call).accepted
    worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
    [(_, lease)] = world.lease()
    for newest, expected in ((50_000, [9, 10]), (9, [10]), (8, [])):
        monkeypatch.setattr(points, "_MAX_BEHIND_CHECKPOINT", newest)
        with world.core.store.reading() as session:
            declared = experiments.get(session, experiment).specification.metrics
            reduced_points = points_to_reduce(session, experiment, lease["attempt"], declared)
        assert [point.step for point in reduced_points] == expected
