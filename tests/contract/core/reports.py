"""Results of trials."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from orchestune.errors import BadInput, Conflict
from orchestune.services import bundles
from orchestune.services.commands import change_experiment, stop_trial
from orchestune.services.execution import register_worker, report_metrics, uploads
from orchestune.services.execution.usage import usage
from orchestune.services.queries import read_columns, read_experiments, read_trials
from orchestune.services.signatures import report_signature
from orchestune.store import workers
from orchestune.store.rows import Query
from orchestune.wire.registration import PROTOCOL, Registration
from tests.contract.world import CoreWorld, decoded
from tests.contract.world_contract import WorldContract


class ReportsContract(WorldContract):
    """Usage, events, checkpoints, artifacts, code."""

    def test_what_an_attempt_uses_is_kept_once_and_goes_with_its_experiment(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        samples = [[n, 4.0 * n, 1.5, 2**30 + n, 0.5, 2**31] for n in range(3)]
        for samples_sent in (samples[:2], samples[:2], samples[1:]):
            worker.call(beats=[worker.started(lease) | {"usage": samples_sent}])
        usage_items = decoded(usage(world.core, experiment, 1)["items"])
        assert [item["samples"] for item in usage_items] == [[sample[1:] for sample in samples]]
        assert (usage_items[0]["attempt_number"], usage_items[0]["state"]) == (1, "running")
        last = [[3, 12.0, 1.0, 2**30, None, None]]
        worker.call(finished=[worker.finish(lease, usage=last)])
        (item,) = decoded(usage(world.core, experiment, 1)["items"])
        assert item["samples"][-1] == last[0][1:] and item["state"] == "succeeded"
        world.tick(4)
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        with world.core.store.reading() as session:
            assert session.rows(Query(str, "SELECT attempt FROM usage"), {}) == []

    def test_what_a_stopped_attempt_used_last_is_kept(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        samples = [[n, 4.0 * n, 1.5, 2**30 + n, None, None] for n in range(2)]
        worker.call(beats=[worker.started(lease) | {"usage": samples[:1]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        for _ in range(2):
            worker.call(finished=[worker.finish(lease, state="cancelled", points=[], usage=samples[1:])])
        (item,) = decoded(usage(world.core, experiment, lease["trial"])["items"])
        assert item["samples"] == [sample[1:] for sample in samples] and item["state"] == "cancelled"

    def test_of_what_a_trial_reported_every_kth_value_is_shown_with_the_last(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        numbers = range(1, 1201)
        for name in ("loss", "size"):
            points = [[n, name, n / 2, 10.0 * n if name == "loss" else None, None] for n in numbers]
            worker.call(beats=[worker.started(lease) | {"points": points}])
        [curve] = decoded(read_columns.curves(world.core, experiment, None, 10)["items"])
        expected_steps = [n for n in numbers if (n - 1) % 3 == 0 or n == 1200]
        assert (curve["trial"], curve["state"], curve["reported"]) == (1, "running", 1200)
        assert curve["points"] == [[10.0 * n, n / 2] for n in expected_steps]
        loss, size = decoded(read_trials.points(world.core, experiment, 1)["items"])
        assert (loss["metric"], loss["points"]) == ("loss", [[10.0 * n, n / 2] for n in numbers])
        assert (size["metric"], size["points"]) == ("size", [[n - 1, n / 2] for n in numbers]), "without steps"
        assert world.status(experiment)["running"][0]["latest"] == {"step": 12000.0, "value": 600.0}

    def test_events_are_numbered_without_a_gap(self, world: CoreWorld) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        items = read_experiments.events(world.core, experiment, 0, 10_000)["items"]
        assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
        assert items[0]["kind"] == "experiment_created"
        assert sum(item["kind"] == "trial_finished" for item in items) == 5

    def test_events_of_some_kinds_are_pages_of_those_alone_and_end_when_all_were_read(self, world: CoreWorld) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        kinds = ("trial_finished", "experiment_created")
        pages, after, over = [], 0, False
        while not over:
            page = read_experiments.events(world.core, experiment, after, 2, kinds)
            pages.append([item["kind"] for item in page["items"]])
            assert page["next"] > after
            after, over = page["next"], page["over"]
        assert pages == [["experiment_created", "trial_finished"], ["trial_finished"] * 2, ["trial_finished"] * 2, []]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"state": "flying"}, {"reason": {"code": "because", "message": ""}}, {"wall": "long"},
            {"points": [[0, "loss", "high", None, None]]}, {"logs": [[0, "\u20ac", 0]]},
        ],
        ids=["state", "reason", "wall", "points", "logs"],
    )  # fmt: skip
    def test_an_invalid_end_costs_its_own_attempt_and_nothing_else(
        self, world: CoreWorld, wrong: dict[str, Any]
    ) -> None:
        experiment = world.create(budget=2, parallelism=2)
        (first, one), (second, other) = world.lease(2)
        ends = [first.finish(one) | wrong]
        answer = first.call(finished=ends)
        assert [(ack["attempt"], ack["result"]) for ack in answer["acks"]] == [(one["attempt"], "rejected")]
        assert answer["acks"][0]["message"].startswith(f"finished[0].{next(iter(wrong))}")
        assert first.call(finished=ends)["acks"][0]["result"] == "rejected"  # the answer was lost, the call is repeated
        assert second.call(finished=[second.finish(other)])["acks"][0]["result"] == "ok"
        (attempt,) = world.trial(experiment, one["trial"])["attempts"]
        assert (attempt["state"], attempt["reason"]["code"]) == ("lost", "report_rejected")
        assert "finished[0]" in attempt["reason"]["message"]
        assert world.run(experiment)["counts"]["completed"] == 2

    def test_a_worker_of_the_protocol_before_finishes_what_it_runs_and_gets_nothing_new(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)
        [(worker, lease)] = world.lease()
        with world.core.store.transaction() as session:  # the server was upgraded meanwhile
            workers.change(session, worker.id, protocol=PROTOCOL - 1)
        answer = worker.call(want=1, beats=[worker.started(lease)])
        assert (answer["drain"], answer["orders"]) == (True, [])
        answer = worker.call(want=1, finished=[worker.finish(lease)])
        assert (answer["leases"], answer["acks"][0]["result"]) == ([], "ok")
        world.backend.gone[worker.id] = ""  # it ends, as ordered
        world.tick(3)
        assert world.run(experiment)["counts"]["completed"] == 3

    @pytest.mark.parametrize("protocol", [PROTOCOL - 2, PROTOCOL + 1])
    def test_a_worker_of_any_other_protocol_is_refused(self, world: CoreWorld, protocol: int) -> None:
        world.create(budget=1)
        world.tick(3)
        [worker] = world.backend.orders
        with pytest.raises(Conflict, match=f"worker protocol {protocol} is not supported"):
            register_worker.register(world.core, worker, Registration(protocol=protocol, boot="b"))

    def test_valid_reports_of_the_same_call_count(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=2)
        (first, one), (_, other) = world.lease(2)
        acks = first.call(finished=[{}, first.finish(one), {"token": 3}], beats=[{"attempt": other["attempt"]}])["acks"]
        results = [(ack["attempt"], ack["result"]) for ack in acks]
        assert results == [(one["attempt"], "ok"), ("", "rejected"), ("", "rejected"), ("", "rejected")]
        assert world.status(experiment)["counts"]["completed"] == 1

    def test_an_invalid_report_of_a_replaced_attempt_changes_nothing(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        [(worker, newer)] = world.lease()
        worker.call(finished=[worker.finish(lease) | {"state": "flying"}])
        worker.call(finished=[worker.finish(newer) | {"token": lease["token"], "state": "flying"}])
        assert worker.call(finished=[worker.finish(newer)])["acks"][0]["result"] == "ok"
        assert world.status(experiment)["counts"]["completed"] == 1

    def test_a_checkpoint_is_published_by_the_newest_attempt_only_and_the_next_one_starts_with_it(
        self, world: CoreWorld
    ) -> None:
        world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": 7}
        assert worker.checkpoint(checkpoint) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        newer, again = world.lease()[0]
        assert again["checkpoint"] == {"digest": digest, "step": 7}
        stream, size = uploads.open_blob(world.core, newer.id, digest)
        with stream:
            assert (stream.read(), size) == (b"hello", 5)
        assert worker.checkpoint(checkpoint) == {"accepted": False}

    @pytest.mark.parametrize(
        ("step_fields", "step"),
        [
            ({"step": None, "age": 3.0}, 2),
            ({"step": None, "age": 1.0}, 5),
            ({"step": None, "age": 7.0}, None),
            ({"step": 1, "age": 3.0}, 2),
            ({"step": 4, "age": 3.0}, 4),
            ({"step": 1}, 1),
        ],
    )
    def test_a_checkpoint_knows_the_step_that_came_by_http_before_it(
        self, world: CoreWorld, step_fields: dict[str, Any], step: int | None
    ) -> None:
        world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        signature = report_signature(world.core, lease["attempt"])
        for reported in ({"loss": 0.5, "step": 2}, {"loss": 0.25}, {"loss": 0.5, "step": 5}):
            report_metrics.report(world.core, lease["attempt"], signature, reported)
            world.clock.pass_time(2.0)
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        who = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest}
        assert worker.checkpoint({**who, **step_fields}) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.lease()[0][1]["checkpoint"] == {"digest": digest, "step": step}

    @pytest.mark.parametrize(
        ("sent_step", "stored_step"),
        [
            pytest.param(2**63, 2.0**63, id="64 bits"),
            pytest.param(-12345678901234567890, -12345678901234567890.0, id="more bits"),
            pytest.param(1e300, 1e300, id="large"),
            pytest.param(2**53 + 1, 2**53 + 1, id="whole"),
        ],
    )
    def test_a_step_beyond_64_bits_is_stored_as_a_float(
        self, world: CoreWorld, sent_step: Any, stored_step: float | None
    ) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "mean:2"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics, checkpoint_every=1.0)
        [(worker, lease)] = world.lease()
        worker.call(beats=[worker.started(lease) | {"points": [[0, "loss", 1.0, sent_step, sent_step]]}])
        digest = hashlib.sha256(b"hello").hexdigest()
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": sent_step}
        assert worker.checkpoint(checkpoint) == {"accepted": True}
        worker.call(
            finished=[worker.finish(lease, state="preempted", points=[[1, "loss", "nan", sent_step, sent_step]])]
        )
        [(worker, lease)] = world.lease()
        assert lease["checkpoint"]["step"] == stored_step
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", 0.0, sent_step, sent_step]])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.5

    def test_a_large_step_that_came_by_http_is_one_to_go_on_from(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        [(worker, lease)] = world.lease()
        worker.call(beats=[worker.started(lease)])
        signature = report_signature(world.core, lease["attempt"])
        report_metrics.report(world.core, lease["attempt"], signature, {"loss": 0.5, "step": 1e300})
        digest = hashlib.sha256(b"hello").hexdigest()
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "age": 0.0}
        assert worker.checkpoint(checkpoint) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, points=[])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.5

    @pytest.mark.parametrize(
        ("step", "reported", "value"),
        [(2, [], None), (2, [[0, "loss", 0.25, 3, None]], 0.25), (1, [], 0.5)],
    )
    def test_who_goes_on_from_a_model_that_diverged_and_says_nothing_has_failed(
        self, world: CoreWorld, step: int, reported: list[Any], value: float | None
    ) -> None:
        experiment = world.create(budget=1, parallelism=1, checkpoint_every=1.0, retries=1)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": step}
        worker.checkpoint(checkpoint)
        points = [[0, "loss", 0.5, 1, None], [1, "loss", "nan", 2, None]]
        worker.call(finished=[worker.finish(lease, points=points)])
        world.clock.pass_time(60)
        worker, lease = world.lease()[0]
        assert lease["checkpoint"]["step"] == step
        worker.call(finished=[worker.finish(lease, points=reported)])
        trial = world.trial(experiment, 1)
        if value is None:
            assert (trial["state"], trial["reason"]["code"]) == ("failed", "metric_not_finite")
        else:
            assert (trial["state"], trial["metrics"]["loss"]["value"]) == ("completed", value)

    def test_artifacts_are_kept_and_listed(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        uploads.append(world.core, worker.id, digest, 0, b"hel")
        assert uploads.state(world.core, worker.id, digest) == (3, False)
        uploads.append(world.core, worker.id, digest, 3, b"lo")
        artifacts = {
            "attempt": lease["attempt"],
            "token": lease["token"],
            "files": [{"path": "best.pt", "digest": digest, "size": 5}],
        }
        for _ in range(2):
            assert worker.keep_artifacts(artifacts) == {"kept": ["best.pt"]}
        assert uploads.state(world.core, worker.id, digest) == (5, True)
        assert read_trials.artifacts(world.core, experiment, 1) == [{"path": "best.pt", "digest": digest, "size": 5}]
        stream, _ = read_trials.open_artifact(world.core, experiment, 1, "best.pt")
        with stream:
            assert stream.read() == b"hello"

    def test_a_bundle_with_a_wrong_digest_is_refused_and_leaves_nothing(self, world: CoreWorld, tmp_path: Path) -> None:
        archive = tmp_path / "archive"
        archive.write_bytes(b"hello")
        with archive.open("rb") as stream, pytest.raises(BadInput, match="SHA-256"):
            bundles.store(world.core, "0" * 64, stream)
        assert list(world.core.files.keys("")) == []
