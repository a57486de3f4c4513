"""The value of a trial, chosen among the values that it reported."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest

from orchestune.errors import BadInput, Conflict, Denied
from orchestune.services.commands import change_experiment
from orchestune.services.execution import report_metrics, uploads
from orchestune.services.signatures import report_signature
from orchestune.store.rows import Query
from orchestune.store.session import Session
from orchestune.store.statements.points import LAST_POINTS
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


def _lost(world: CoreWorld) -> tuple[str, str]:
    """An attempt that has started and whose worker is lost, and the signature with which it reports."""
    [(worker, lease)] = world.lease()
    worker.call(beats=[worker.started(lease)])
    for _ in range(8):
        world.clock.pass_time(5)
        world.tick()
    return lease["attempt"], report_signature(world.core, lease["attempt"])


class ValuesContract(WorldContract):
    """In which way values come, how they are reduced, and what is no number."""

    def test_intermediate_values_are_reduced_as_the_metric_says(self, world: CoreWorld) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "best"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics)
        worker, lease = world.lease()[0]
        beat = worker.started(lease) | {"points": [[0, "loss", 0.9, 1, None], [1, "loss", 0.3, 2, None]]}
        worker.call(beats=[beat])
        worker.call(beats=[beat])
        worker.call(finished=[worker.finish(lease, points=[[2, "loss", 0.6, 3, None]])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.3

    def test_values_that_come_by_http_count_and_a_wrong_signature_is_refused(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        attempt = lease["attempt"]
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), {"loss": "0.125", "step": 1})
        with pytest.raises(Denied):
            report_metrics.report(world.core, attempt, "0" * 40, {"loss": 9})
        worker.call(finished=[worker.finish(lease, points=[])])
        assert world.status(experiment)["best"][0]["metrics"]["loss"]["value"] == 0.125

    def test_names_and_steps_by_http_are_those_of_a_line_of_json(self, world: CoreWorld) -> None:
        metrics = [{"name": "val_loss", "goal": "minimize"}, {"name": "Accuracy", "goal": "maximize"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics)
        worker, lease = world.lease()[0]
        attempt = lease["attempt"]
        values = {
            "Val_Loss": 0.5,
            "accuracy": "0.9",
            "Other": 1,
            "epoch": 3,
            "data": "mnist",
            "tags": [1],
            "best": True,
        }
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), values)
        worker.call(finished=[worker.finish(lease, points=[])])
        trial = world.trial(experiment, 1)
        assert trial["state"] == "completed"
        assert {name: metric["value"] for name, metric in trial["metrics"].items()} == {
            "val_loss": 0.5,
            "Accuracy": 0.9,
            "Other": 1.0,
        }
        with world.core.store.reading() as session:
            query = Query(float, "SELECT DISTINCT step FROM points WHERE attempt = :attempt")
            assert session.rows(query, {"attempt": attempt}) == [3.0]

    def test_a_lost_attempt_reports_by_http_until_another_one_takes_over(self, world: CoreWorld) -> None:
        world.create(budget=1, parallelism=1)
        attempt, signature = _lost(world)
        assert report_metrics.report(world.core, attempt, signature, {"loss": 0.5})["stop"] is False
        [(another, newer)] = world.lease()
        with pytest.raises(Conflict):
            report_metrics.report(world.core, attempt, signature, {"loss": 0.5})
        another.call(finished=[another.finish(newer)])
        with pytest.raises(Conflict):
            report_metrics.report(world.core, attempt, signature, {"loss": 0.5})
        assert report_metrics.should_stop(world.core, attempt, signature)["stop"] is True

    def test_a_lost_attempt_of_a_search_that_was_stopped_reports_nothing_more(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        attempt, signature = _lost(world)
        change_experiment.stop(world.core, experiment, "ada")
        with pytest.raises(Conflict):
            report_metrics.report(world.core, attempt, signature, {"loss": 0.5})
        assert report_metrics.should_stop(world.core, attempt, signature)["stop"] is True

    def test_a_secret_is_hidden_in_a_name_that_comes_by_http(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        world.core.secrets.put(experiment, {"TOKEN": "4711", "NAME": "loss"})
        worker, lease = world.lease()[0]
        attempt = lease["attempt"]
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), {"loss": 0.5, "is/4711": 1})
        worker.call(finished=[worker.finish(lease, points=[])])
        metrics = world.trial(experiment, 1)["metrics"]
        assert {name: metric["value"] for name, metric in metrics.items()} == {"loss": 0.5, "is/***": 1.0}

    @pytest.mark.parametrize(
        ("by_http", "printed", "state"),
        [
            (["0.5", "nan"], [], "failed"),
            (["-inf"], [], "failed"),
            ([10**400], [], "failed"),
            (["nan", "0.25"], [], "completed"),
            (["0.5", "nan"], [[0, "loss", 0.25, None, None]], "completed"),
        ],
    )
    def test_a_last_value_by_http_that_is_not_finite_fails_the_trial(
        self, world: CoreWorld, by_http: list[Any], printed: list[Any], state: str
    ) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        attempt = lease["attempt"]
        for value in by_http:
            report_metrics.report(world.core, attempt, report_signature(world.core, attempt), {"loss": value})
        worker.call(finished=[worker.finish(lease, points=printed)])
        trial = world.trial(experiment, 1)
        assert trial["state"] == state
        if state == "completed":
            assert trial["metrics"]["loss"]["value"] == 0.25

    def test_what_is_no_number_is_refused_in_few_words(self, world: CoreWorld) -> None:
        world.create(budget=1, parallelism=1)
        attempt = world.lease()[0][1]["attempt"]
        for value in ("no number" * 10_000, {"a": 1}, [1.0] * 10_000, True):
            with pytest.raises(BadInput, match=r"loss: invalid number: .*") as caught:
                report_metrics.report(world.core, attempt, report_signature(world.core, attempt), {"loss": value})
            assert len(str(caught.value)) < 100

    def test_a_step_that_is_no_number_is_none(self, world: CoreWorld) -> None:
        world.create(budget=1, parallelism=1)
        _, lease = world.lease()[0]
        attempt = lease["attempt"]
        values = {"loss": 1, "step": "nan", "stddev": "inf"}
        report_metrics.report(world.core, attempt, report_signature(world.core, attempt), values)
        with world.core.store.reading() as session:
            [point] = session.rows(LAST_POINTS, {"attempt": attempt, "name": "loss", "upto": math.inf, "count": 9})
        assert (point.value, point.step, point.stddev) == (1.0, None, None)

    def test_an_end_reads_few_of_many_values(self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        metrics = [
            {"name": "loss", "goal": "minimize", "take": "best"},
            {"name": "acc", "goal": "maximize", "take": "best"},
            {"name": "speed", "goal": "maximize", "take": "mean:3"},
            {"name": "size", "goal": "minimize"},
        ]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics)
        [(worker, lease)] = world.lease()
        count, names = 2000, ("loss", "acc", "speed", "size", "extra")
        points = [[n, name, float((n - 700) ** 2), n, float(n)] for n in range(count) for name in names]
        worker.call(beats=[worker.started(lease) | {"points": points}])
        read: list[int] = []

        def rows(session: Session, *arguments: Any, every: Any = Session.rows) -> list[tuple[Any, ...]]:
            rows_read: list[tuple[Any, ...]] = every(session, *arguments)
            read.append(len(rows_read))
            return rows_read

        with monkeypatch.context() as watched:
            watched.setattr(Session, "rows", rows)
            worker.call(finished=[worker.finish(lease, points=[[count, "loss", "nan", count, None]])])
        assert sum(read) < 100
        last = [float((n - 700) ** 2) for n in range(count)][-3:]
        values = {name: item["value"] for name, item in world.trials(experiment)[0]["metrics"].items()}
        assert values == {"loss": 0, "acc": last[-1], "speed": sum(last) / 3, "size": last[-1], "extra": last[-1]}
        assert world.trials(experiment)[0]["metrics"]["loss"]["stddev"] == 700

    def test_the_last_values_may_be_from_before_the_checkpoint(self, world: CoreWorld) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "mean:3"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics, checkpoint_every=1.0)
        digest = hashlib.sha256(b"hello").hexdigest()
        for values, saved in (({1: 8.0, 2: 1.0, 3: 2.0, 4: 64.0}, 3), ({4: 128.0}, 2)):
            [(worker, lease)] = world.lease()
            points = [[step, "loss", value, step, None] for step, value in values.items()]
            worker.call(beats=[worker.started(lease) | {"points": points}])
            uploads.append(world.core, worker.id, digest, 0, b"hello")
            checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": saved}
            assert worker.checkpoint(checkpoint) == {"accepted": True}
            worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", 6.0, 3, None]])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == (8.0 + 1.0 + 6.0) / 3

    def test_values_of_the_worker_and_by_http_count_in_the_order_in_which_they_came(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1, metrics=[{"name": "loss", "goal": "minimize"}])
        [(worker, lease)] = world.lease()
        attempt = lease["attempt"]
        signature = report_signature(world.core, attempt)
        worker.call(beats=[worker.started(lease) | {"points": [[0, "loss", 1.0, 1, None]]}])
        world.clock.pass_time(1.0)
        report_metrics.report(world.core, attempt, signature, {"loss": 2.0, "other": 3.0})
        world.clock.pass_time(1.0)
        worker.call(finished=[worker.finish(lease, points=[[1, "loss", 4.0, 2, None], [0, "late", 5.0, 2, None]])])
        values = {name: item["value"] for name, item in world.trials(experiment)[0]["metrics"].items()}
        assert values == {"loss": 4.0, "other": 3.0, "late": 5.0}
