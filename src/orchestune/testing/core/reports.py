"""What trials leave."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from orchestune.archives import record
from orchestune.controllers.archiving import INLINE_BYTES, Archiving
from orchestune.controllers.expiring import Expiring
from orchestune.errors import BadInput, Conflict, NotFound, StoreUnavailable
from orchestune.ports.backend import Gone
from orchestune.services import (
    archive_experiment,
    bundles,
    change_experiment,
    create_experiment,
    read_experiments,
    read_logs,
    read_trials,
    report_metrics,
    rerun_trial,
    stop_trial,
    uploads,
)
from orchestune.services.read_trials import blob_key
from orchestune.services.signatures import report_signature
from orchestune.services.usage import usage
from orchestune.testing.refusing import refusing_the_first
from orchestune.testing.world import World
from orchestune.testing.world_contract import WorldContract


class ReportsContract(WorldContract):
    """Usage, logs, events, checkpoints, artifacts, code."""

    def test_what_an_attempt_uses_is_kept_once_and_goes_with_its_experiment(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        samples = [[n, 4.0 * n, 1.5, 2**30 + n, 0.5, 2**31] for n in range(3)]
        for told in (samples[:2], samples[:2], samples[1:]):
            worker.call(beats=[worker.started(lease) | {"usage": told}])
        found = usage(world.core, experiment, 1)["items"]
        assert [item["samples"] for item in found] == [[sample[1:] for sample in samples]]
        assert (found[0]["number"], found[0]["state"]) == (1, "running")
        last = [[3, 12.0, 1.0, 2**30, None, None]]
        worker.call(finished=[worker.finish(lease, usage=last)])
        (item,) = usage(world.core, experiment, 1)["items"]
        assert item["samples"][-1] == last[0][1:] and item["state"] == "succeeded"
        world.tick(4)
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        with world.core.store.reading() as session:
            assert session.rows("SELECT attempt FROM usage", {}) == []

    def test_what_a_stopped_attempt_used_last_is_kept(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        samples = [[n, 4.0 * n, 1.5, 2**30 + n, None, None] for n in range(2)]
        worker.call(beats=[worker.started(lease) | {"usage": samples[:1]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        for _ in range(2):
            worker.call(finished=[worker.finish(lease, state="cancelled", points=[], usage=samples[1:])])
        (item,) = usage(world.core, experiment, lease["trial"])["items"]
        assert item["samples"] == [sample[1:] for sample in samples] and item["state"] == "cancelled"

    def test_log_parts_that_come_twice_or_overlap_are_kept_once_and_in_order(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        said = worker.started(lease)
        worker.call(beats=[said | {"logs": [[0, "one\n", 0]]}])
        worker.call(beats=[said | {"logs": [[0, "one\n", 0], [4, "two\n", 0]]}])
        worker.call(beats=[said | {"logs": [[12, "never mind\n", 0]]}])
        worker.call(beats=[said | {"logs": [[4, "two\nthree\n", 0]]}])
        worker.call(beats=[said | {"logs": [[100, "tail\n", 86]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert "".join(item["text"] for item in items) == "one\ntwo\nthree\ntail\n"
        assert [item["gap"] for item in items] == [0, 0, 0, 86]

    def test_a_tail_has_as_many_lines_as_are_asked_for(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        said, at = worker.started(lease), 0
        for text in [f"{number:03} {'long ' * 300}\n" for number in range(100)] + ["a bar\r"] * 30:
            worker.call(beats=[said | {"logs": [[at, text, 0]]}])
            at += len(text)

        def numbers(tail: int) -> list[str]:
            items = read_logs.logs(world.core, experiment, 0, 1000, tail=tail)["items"]
            lines = "".join(item["text"] for item in items).split("\n")[:-1]
            return [line[:3] for line in lines]

        every = [f"{number:03}" for number in range(100)]
        for tail in (1, 5, 80, 100, 1000):
            assert numbers(tail)[-tail:] == every[-tail:], tail
        assert len(numbers(5)) < 10, "about so many"

    def test_a_trial_shows_the_last_lines_of_attempts_that_run_or_were_lost(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)

        def tails() -> list[str | None]:
            return [attempt["tail"] for attempt in read_trials.trial(world.core, experiment, 1)["attempts"]]

        worker, lease = world.lease()[0]
        world.tick()
        assert tails() == [""]
        said = worker.started(lease)
        worker.call(beats=[said | {"logs": [[0, "".join(f"line {n}\n" for n in range(30)), 0]]}])
        assert tails() == ["\n".join(f"line {n}" for n in range(10, 30))]
        end = len("".join(f"line {n}\n" for n in range(30)))
        worker.call(beats=[said | {"logs": [[end, "the ", 0], [end + 4, "last", 0]]}])
        world.hear_nothing(20)
        for controller in world.controllers[:2]:
            controller.tick()
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, tail="as it was told")])
        lost, told = tails()
        assert lost is not None and lost.endswith("line 29\nthe last") and told == "as it was told"

    def test_the_last_part_of_a_log_says_so(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        worker.call(finished=[worker.finish(lease, logs=[[4, "two", 0]], log_bytes=7)])
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert [(item["trial"], item["last"]) for item in items] == [(1, False), (1, True), (2, False)]

    def test_the_log_of_a_trial_ends_with_the_trial_once_all_has_arrived(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]

        def over(trial: int | None, limit: int = 100) -> bool:
            return bool(read_logs.logs(world.core, experiment, 0, limit, trial)["over"])

        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        assert not over(1)
        worker.call(finished=[worker.finish(lease, logs=[], log_bytes=7)])
        assert not over(1), "its last part is still to come"
        said = {name: lease[name] for name in ("attempt", "token")}
        worker.call(beats=[said | {"logs": [[4, "two", 0]]}])
        assert (over(1), over(2), over(None)) == (True, False, False)
        assert not over(1, limit=1), "there is more to read"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert not over(lease["trial"]), "it may print more in its grace period"
        said = worker.finish(lease, state="cancelled", points=[], logs=[[4, "two", 0]], log_bytes=7)
        assert worker.call(finished=[said])["acks"][0]["result"] == "superseded"
        assert over(lease["trial"]), "its process has ended"

    def test_the_log_of_a_trial_ends_where_nobody_is_left_to_print_more(self, world: World) -> None:
        experiment = world.create(budget=3, parallelism=1)

        def over(trial: int) -> bool:
            return bool(read_logs.logs(world.core, experiment, 0, 100, trial)["over"])

        _, lease = world.lease()[0]
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert over(lease["trial"]), "it never started"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert not over(lease["trial"])
        world.backend.gone[worker.id] = "killed"
        world.tick()
        assert over(lease["trial"]), "its worker is gone"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        world.backend.gone[worker.id] = "out of memory"
        world.backend.faults[worker.id] = Gone.OUT_OF_MEMORY
        world.tick()
        assert [trial["state"] for trial in world.trials(experiment)][2] == "failed"
        assert over(lease["trial"]), "its worker died of it"

    def test_events_are_numbered_without_a_gap(self, world: World) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        items = read_experiments.events(world.core, experiment, 0, 10_000)["items"]
        assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
        assert items[0]["kind"] == "experiment_created"
        assert sum(item["kind"] == "trial_finished" for item in items) == 5

    def test_events_of_some_kinds_are_pages_of_those_alone_and_end_when_all_were_read(self, world: World) -> None:
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

    def test_a_checkpoint_is_published_by_the_newest_attempt_only_and_the_next_one_starts_with_it(
        self, world: World
    ) -> None:
        world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        said = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": 7}
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        newer, again = world.lease()[0]
        assert again["checkpoint"] == {"digest": digest, "step": 7}
        stream, size = uploads.open_blob(world.core, newer.id, digest)
        with stream:
            assert (stream.read(), size) == (b"hello", 5)
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": False}

    @pytest.mark.parametrize(
        ("said", "step"),
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
        self, world: World, said: dict[str, Any], step: int | None
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
        assert uploads.checkpoint(world.core, worker.id, {**who, **said}) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.lease()[0][1]["checkpoint"] == {"digest": digest, "step": step}

    @pytest.mark.parametrize(
        ("told", "kept"),
        [
            pytest.param(float("nan"), None, id="nan"),
            pytest.param(float("inf"), None, id="inf"),
            pytest.param(10**400, None, id="no float"),
            pytest.param("seven", None, id="text"),
            pytest.param([7], None, id="list"),
            pytest.param(2**63, 2.0**63, id="64 bits"),
            pytest.param(-12345678901234567890, -12345678901234567890.0, id="more bits"),
            pytest.param(1e300, 1e300, id="large"),
            pytest.param(2**53 + 1, 2**53 + 1, id="whole"),
        ],
    )
    def test_a_step_that_no_store_takes_is_a_float_or_none(self, world: World, told: Any, kept: float | None) -> None:
        metrics = [{"name": "loss", "goal": "minimize", "take": "mean:2"}]
        experiment = world.create(budget=1, parallelism=1, metrics=metrics, checkpoint_every=1.0)
        [(worker, lease)] = world.lease()
        worker.call(beats=[worker.started(lease) | {"points": [[0, "loss", 1.0, told, told]]}])
        digest = hashlib.sha256(b"hello").hexdigest()
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        said = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": told}
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[[1, "loss", "nan", told, told]])])
        [(worker, lease)] = world.lease()
        assert lease["checkpoint"]["step"] == kept
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", 0.0, told, told]])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.5

    def test_a_large_step_that_came_by_http_is_one_to_go_on_from(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        [(worker, lease)] = world.lease()
        worker.call(beats=[worker.started(lease)])
        signature = report_signature(world.core, lease["attempt"])
        report_metrics.report(world.core, lease["attempt"], signature, {"loss": 0.5, "step": 1e300})
        digest = hashlib.sha256(b"hello").hexdigest()
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        said = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "age": 0.0}
        assert uploads.checkpoint(world.core, worker.id, said) == {"accepted": True}
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, points=[])])
        assert world.trials(experiment)[0]["metrics"]["loss"]["value"] == 0.5

    @pytest.mark.parametrize(
        ("step", "reported", "value"),
        [(2, [], None), (2, [[0, "loss", 0.25, 3, None]], 0.25), (1, [], 0.5)],
    )
    def test_who_goes_on_from_a_model_that_diverged_and_says_nothing_has_failed(
        self, world: World, step: int, reported: list[Any], value: float | None
    ) -> None:
        experiment = world.create(budget=1, parallelism=1, checkpoint_every=1.0, retries=1)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
        uploads.append(world.core, worker.id, digest, 0, b"hello")
        said = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "step": step}
        uploads.checkpoint(world.core, worker.id, said)
        points = [[0, "loss", 0.5, 1, None], [1, "loss", "nan", 2, None]]
        worker.call(finished=[worker.finish(lease, points=points)])
        world.clock.pass_time(60)
        worker, lease = world.lease()[0]
        assert lease["checkpoint"]["step"] == step
        worker.call(finished=[worker.finish(lease, points=reported)])
        trial = read_trials.trial(world.core, experiment, 1)
        if value is None:
            assert (trial["state"], trial["reason"]["code"]) == ("failed", "metric_not_finite")
        else:
            assert (trial["state"], trial["metrics"]["loss"]["value"]) == ("completed", value)

    def test_logs_and_files_go_long_after_the_end_and_records_stay(self, world: World) -> None:
        code, state, weights = b"code", b"state", b"weights"
        digests = {content: hashlib.sha256(content).hexdigest() for content in (code, state, weights)}
        bundles.store(world.core, digests[code], io.BytesIO(code))
        request = world.request(budget=1, parallelism=1, checkpoint_every=1.0) | {"bundle": digests[code]}
        experiment = str(create_experiment.create_experiment(world.core, request, "ada")["id"])
        [(worker, lease)] = world.lease()
        for content in (state, weights):
            uploads.append(world.core, worker.id, digests[content], 0, content)
        said = {"attempt": lease["attempt"], "token": lease["token"]}
        assert uploads.checkpoint(world.core, worker.id, said | {"digest": digests[state], "step": 3})["accepted"]
        worker.call(finished=[worker.finish(lease, 0.5)])
        kept = {"path": "best.pt", "digest": digests[weights], "size": len(weights)}
        assert uploads.keep_artifacts(world.core, worker.id, said | {"files": [kept]}) == {"kept": ["best.pt"]}
        assert world.run(experiment)["state"] == "completed"

        def sizes() -> list[int | None]:
            Archiving(world.core).drop_orphans()
            return [world.core.files.size(blob_key(digest)) for digest in digests.values()]

        expiring = Expiring(world.core, 3600.0)
        expiring.tick()
        assert (world.status(experiment)["files_dropped_at"], sizes()) == (None, [4, 5, 7])
        assert len(read_logs.logs(world.core, experiment, 0, 10)["items"]) == 1
        world.clock.pass_time(3700.0)
        expiring.tick()
        assert world.status(experiment)["files_dropped_at"] is not None
        assert sizes() == [4, None, None], "the code stays"
        with pytest.raises(Conflict, match=r"checkpoint of test-\w{4}/1 was dropped at 2023-"):
            rerun_trial.rerun_trial(world.core, experiment, 1, {"continue": True}, "ada")
        assert read_logs.logs(world.core, experiment, 0, 10)["items"] == []
        assert read_trials.artifacts(world.core, experiment, 1) == []
        assert read_trials.trial(world.core, experiment, 1)["metrics"]["loss"]["value"] == 0.5

    def _with_moved_logs(self, world: World) -> tuple[str, str]:
        """An experiment that is over, and what its trial printed."""
        experiment = world.create(budget=1)
        [(worker, lease)] = world.lease()
        text = "x" * (INLINE_BYTES + 1) + "\n"
        worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text))])
        assert world.run(experiment)["state"] == "completed"
        Archiving(world.core).move_logs()
        return experiment, text

    def test_what_somebody_removed_from_the_place_of_files_hides_nothing_else(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        weights = hashlib.sha256(b"weights").hexdigest()
        for text in ("x" * (INLINE_BYTES + 1), "short"):
            [(worker, lease)] = world.lease()
            uploads.append(world.core, worker.id, weights, 0, b"weights")
            worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text))])
            said = {"attempt": lease["attempt"], "token": lease["token"]}
            files = [{"path": "best.pt", "digest": weights, "size": 7}]
            uploads.keep_artifacts(world.core, worker.id, said | {"files": files})
        assert world.run(experiment)["state"] == "completed"
        Archiving(world.core).move_logs()
        for key in [*world.core.files.keys("logs/"), blob_key(weights)]:
            world.core.files.delete(key)
        gone = "65,537 bytes of this log are no longer where the server keeps files"
        shown = read_logs.logs(world.core, experiment, 0, 10)["items"]
        assert [item["text"] for item in shown] == [f"orchestune: {gone}\n", "short"]
        with pytest.raises(NotFound, match=r"'best\.pt' of trial 1 is no longer where the server keeps files"):
            read_trials.open_artifact(world.core, experiment, 1, "best.pt")
        stream, _ = archive_experiment.open_archive(world.core, experiment)
        with stream:
            found = record.verify(stream)
            assert (found.lost, found.head.blobs) == (2, {})
            stream.seek(0)
            assert archive_experiment.read(world.core, stream)["experiment"] == experiment

    def test_a_log_that_grew_since_a_server_died_while_it_moved_it_is_whole(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=1)
        [(worker, lease)] = world.lease()
        text, more = "x" * INLINE_BYTES + "\n", "the end\n"
        worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text + more))])

        def dies(*_: object) -> None:
            raise StoreUnavailable("the server dies")

        with monkeypatch.context() as broken:
            broken.setattr("orchestune.store.logs.moved", dies)
            with pytest.raises(StoreUnavailable):
                Archiving(world.core).move_logs()
        said = {"attempt": lease["attempt"], "token": lease["token"]}
        worker.call(beats=[said | {"logs": [[len(text), more, 0]]}])
        Archiving(world.core).move_logs()
        shown = read_logs.logs(world.core, experiment, 0, 10)["items"]
        assert "".join(item["text"] for item in shown) == text + more

    def test_a_server_that_dies_while_it_drops_logs_leaves_none_that_nobody_names(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment, _ = self._with_moved_logs(world)
        [key] = world.core.files.keys("logs/")
        world.clock.pass_time(3700.0)

        def dies(key: str) -> None:
            raise StoreUnavailable("the server dies")

        with monkeypatch.context() as broken:
            broken.setattr(world.core.files, "delete", dies)
            with pytest.raises(StoreUnavailable):
                Expiring(world.core, 3600.0).tick()
        assert world.status(experiment)["files_dropped_at"] is None and world.core.files.size(key) is not None
        Expiring(world.core, 3600.0).tick()
        assert world.status(experiment)["files_dropped_at"] is not None and world.core.files.size(key) is None
        assert list(world.core.files.keys("logs/")) == []

    def test_an_experiment_whose_files_cannot_be_dropped_keeps_no_other(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = [self._with_moved_logs(world)[0] for _ in range(2)]
        keys = sorted(world.core.files.keys("logs/"))
        world.clock.pass_time(3700.0)
        why = "s3://bucket refused DeleteObject: AccessDenied"
        refuse_the_first, refused = refusing_the_first(world.core.files.delete, why)
        expiring = Expiring(world.core, 3600.0)
        with monkeypatch.context() as broken:
            broken.setattr(world.core.files, "delete", refuse_the_first)
            with pytest.raises(StoreUnavailable, match="AccessDenied"):
                expiring.tick()
        assert set(keys) - set(world.core.files.keys("logs/")) == set(keys) - refused
        world.clock.pass_time(700.0)
        expiring.tick()
        assert list(world.core.files.keys("logs/")) == []
        assert all(world.status(experiment)["files_dropped_at"] for experiment in old)

    def test_nothing_is_dropped_of_an_experiment_that_goes_on_by_then(self, world: World) -> None:
        experiment, text = self._with_moved_logs(world)
        change_experiment.change_experiment(world.core, experiment, {"budget": 2}, "ada")
        change_experiment.drop_files(world.core, experiment)
        assert [item["text"] for item in read_logs.logs(world.core, experiment, 0, 10)["items"]] == [text]

    def test_an_experiment_that_goes_on_keeps_its_new_logs_as_long_as_others(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        expiring = Expiring(world.core, 3600.0)
        world.clock.pass_time(3700.0)
        expiring.tick()
        change_experiment.change_experiment(world.core, experiment, {"budget": 2}, "ada")
        world.run(experiment)
        world.clock.pass_time(1800.0)
        expiring.tick()
        assert [item["trial"] for item in read_logs.logs(world.core, experiment, 0, 10)["items"]] == [2]
        world.clock.pass_time(1900.0)
        expiring.tick()
        assert read_logs.logs(world.core, experiment, 0, 10)["items"] == []

    def test_artifacts_are_kept_and_listed(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        uploads.append(world.core, worker.id, digest, 0, b"hel")
        assert uploads.state(world.core, worker.id, digest) == (3, False)
        uploads.append(world.core, worker.id, digest, 3, b"lo")
        said = {
            "attempt": lease["attempt"],
            "token": lease["token"],
            "files": [{"path": "best.pt", "digest": digest, "size": 5}],
        }
        for _ in range(2):
            assert uploads.keep_artifacts(world.core, worker.id, said) == {"kept": ["best.pt"]}
        assert uploads.state(world.core, worker.id, digest) == (5, True)
        assert read_trials.artifacts(world.core, experiment, 1) == [{"path": "best.pt", "digest": digest, "size": 5}]
        stream, _ = read_trials.open_artifact(world.core, experiment, 1, "best.pt")
        with stream:
            assert stream.read() == b"hello"

    def test_a_bundle_with_a_wrong_digest_is_refused_and_leaves_nothing(self, world: World, tmp_path: Path) -> None:
        archive = tmp_path / "archive"
        archive.write_bytes(b"hello")
        with archive.open("rb") as stream, pytest.raises(BadInput, match="SHA-256"):
            bundles.store(world.core, "0" * 64, stream)
        assert list(world.core.files.keys("")) == []
