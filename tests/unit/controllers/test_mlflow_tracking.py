"""Several tracking servers, of which some hang, are none, or refuse; see tests/integration for a genuine one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from orchestune.controllers.mlflow_tracking import MlflowTracking, _Server
from orchestune.outgoing import mlflow
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.http import HttpLink
from orchestune.outgoing.settings import Outgoing
from orchestune.services.execution import report_metrics
from orchestune.services.queries import read_experiments, tracking_runs
from orchestune.services.signatures import report_signature
from orchestune.store import tracking_runs as tracked
from tests.contract.world import CoreWorld
from tests.testbeds.receiver import Receiver
from tests.testbeds.serving import Handler, Listening, serving
from tests.testbeds.waiting import until


@dataclass
class Recorder:
    """Answers as MLflow does, and keeps everything that it receives."""

    told: list[tuple[str, Any]] = field(default_factory=list)
    """the last part of the path, and the body"""
    answers: dict[str, Any] = field(default_factory=dict)
    """other answers, by the last part of the path"""

    def __enter__(self) -> Recorder:
        owner = self
        answers = {"create": {"experiment_id": "1", "run": {"info": {"run_id": "r"}}}, **self.answers}

        class Taking(Handler):
            def do_POST(self) -> None:
                name = self.path.rpartition("/")[2]
                owner.told.append((name, json.loads(self.body())))
                self.send_json(200, answers.get(name, {}))

        self._stack = ExitStack()
        self.url = self._stack.enter_context(serving(Listening(Taking))).url
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def requests_of(self, name: str) -> list[Any]:
        return [body for call, body in self.told if call == name]


@pytest.fixture
def world(world: CoreWorld) -> CoreWorld:
    world.core = replace(world.core, outgoing=Outgoing(AllowedDestinations(everywhere=True)))
    return world


@pytest.fixture
def tracking(world: CoreWorld) -> Iterator[MlflowTracking]:
    tracker = MlflowTracking(world.core)
    yield tracker
    tracker.close()


def recorded(world: CoreWorld, tracking: MlflowTracking, experiment: str) -> None:
    """Tick until everything of an experiment is recorded."""

    def look() -> bool:
        tracking.tick()
        with world.core.store.reading() as session:
            return experiment not in tracked.behind(session)

    until("it to be recorded", look)


def test_a_tracking_server_that_hangs_holds_up_nobody_who_records_elsewhere(
    world: CoreWorld, tracking: MlflowTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "HttpLink", partial(HttpLink, seconds=600.0))
    with Receiver(["hang"]) as slow, Recorder() as quick:
        for name in ("one", "other"):
            world.create(name=name, budget=1, mlflow={"uri": f"http://127.0.0.1:{slow.port}"})
        recorded(world, tracking, world.create(name="elsewhere", budget=1, mlflow={"uri": quick.url}))
        assert len(slow.received) == 1, "what is asked first still waits for its answer"
        assert quick.requests_of("update")


def test_tracking_servers_have_turns_however_many_hang(
    world: CoreWorld, tracking: MlflowTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first 20 of very many that hang, in the order of their experiments, had all of the turns."""
    begun = list[str]()

    class Hanging(_Server):
        """It hangs until the next one begins."""

        @property
        def busy(self) -> bool:
            return bool(begun) and names[self] == begun[-1] and not self.is_over

        def begin(self, names_of_experiments: Sequence[str]) -> None:
            begun.extend(names_of_experiments)
            names[self], self.begun_at, self.is_over = names_of_experiments[0], world.clock.monotonic(), False

    names = defaultdict[_Server, str](str)
    monkeypatch.setattr("orchestune.controllers.mlflow_tracking._Server", Hanging)
    monkeypatch.setattr("orchestune.controllers.mlflow_tracking._MAX_SERVERS", 1)
    experiments = [world.create(budget=1, mlflow={"uri": f"http://127.0.0.1:{port}"}) for port in (1, 2, 3)]
    for _ in range(6):
        tracking.tick()
        for server in list(names):
            server.is_over = True  # type: ignore[attr-defined]
    assert begun == experiments * 2


@pytest.mark.parametrize(
    "answers", [{"create": []}, {"create": {}}, {"create": {"run": None}}, {"search": {"runs": 7}}]
)
def test_what_is_not_mlflow_is_said_to_be_none_and_the_others_are_recorded(
    world: CoreWorld, tracking: MlflowTracking, answers: dict[str, Any]
) -> None:
    with Recorder(answers=answers) as wrong, Recorder() as genuine:
        experiment = world.create(name="wrong", budget=1, mlflow={"uri": wrong.url})
        world.lease()
        recorded(world, tracking, world.create(name="right", budget=1, mlflow={"uri": genuine.url}))
        until("what is wrong to be told", lambda: failures(world, experiment))
    (failure,) = failures(world, experiment)
    assert failure["why"].startswith("the response is not from MLflow")


def test_one_that_goes_wrong_keeps_nobody_from_being_waited_for(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = MlflowTracking(world.core, timeout=60.0)
    with Recorder() as wrong, Recorder() as genuine:
        genuine_call = mlflow.MlflowClient._call

        def call(self: mlflow.MlflowClient, *args: Any) -> Any:
            if self._link.target.port == int(wrong.url.rpartition(":")[2]):
                raise LookupError("nobody thought of this")
            return genuine_call(self, *args)

        monkeypatch.setattr(mlflow.MlflowClient, "_call", call)
        for name, server in (("wrong", wrong), ("right", genuine)):
            experiment = world.create(name=name, budget=1, mlflow={"uri": server.url})
        with pytest.raises(LookupError):
            tracking.tick()
        with world.core.store.reading() as session:
            assert experiment not in tracked.behind(session)
    tracking.close()


def failures(world: CoreWorld, experiment: str) -> list[Any]:
    items = read_experiments.events(world.core, experiment, 0, 1000)["items"]
    return [item["data"] for item in items if item["kind"] == "tracking_failed"]


def test_however_many_values_come_at_once_they_are_told_once(
    world: CoreWorld, tracking: MlflowTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_runs, "MAX_POINTS", 500)
    with Recorder() as server:
        experiment = world.create(name="many", budget=1, mlflow={"uri": server.url})
        [(_, lease)] = world.lease()
        signature = report_signature(world.core, lease["attempt"])
        for values in ({f"m{number}": 1.0 for number in range(600)}, {"last": 2.0}):
            report_metrics.report(world.core, lease["attempt"], signature, values)
        recorded(world, tracking, experiment)
    metrics = [metric["key"] for body in server.requests_of("log-batch") for metric in body["metrics"]]
    assert set(metrics) == {*(f"m{number}" for number in range(600)), "last"}


@pytest.mark.parametrize("at_once", [1, 50])
def test_what_counts_of_a_trial_is_told_however_many_values_it_reported(
    world: CoreWorld, tracking: MlflowTracking, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(tracking_runs, "MAX_POINTS", 20)
    metric = {"name": "loss", "goal": "minimize", "take": "best"}
    with Recorder() as server:
        experiment = world.create(name="long", budget=1, metrics=[metric], mlflow={"uri": server.url})
        [(worker, lease)] = world.lease()
        for start in range(0, 50, at_once):
            points = [[step, "loss", float(step), step, None] for step in range(start, start + at_once)]
            worker.call(beats=[{"attempt": lease["attempt"], "token": lease["token"], "points": points}])
        recorded(world, tracking, experiment)
        worker.call(finished=[worker.finish(lease, points=[])])
        recorded(world, tracking, experiment)
    metrics = [one for body in server.requests_of("log-batch") for one in body["metrics"] if one["key"] == "loss"]
    assert {(one["step"], one["value"]) for one in metrics} == {*((step, float(step)) for step in range(50)), (50, 0.0)}
    with world.core.store.reading() as session:
        last = tracked.points_since(session, experiment, 1, 0.0, 1000)[-1].at
        assert tracked.of(session, experiment, [1])[1].logged_at == last


def test_names_that_mlflow_cannot_tell_apart_are_told_apart(world: CoreWorld, tracking: MlflowTracking) -> None:
    space = [{"name": name, "type": "float", "min": 0.0, "max": 1.0} for name in ("a[0]", "a(0)")]
    with Recorder() as server:
        experiment = world.create(name="alike", budget=1, parameters=space, mlflow={"uri": server.url})
        world.lease()
        recorded(world, tracking, experiment)
    (params,) = [body["params"] for body in server.requests_of("log-batch") if body["params"]]
    assert [each["key"] for each in params] == ["a_0_", "a_0__2"]


@pytest.mark.parametrize(("step", "expected_step"), [("1e300", 2**63 - 1), ("-1e300", -(2**63)), ("7", 7)])
def test_a_step_is_told_as_far_as_mlflow_counts(
    world: CoreWorld, tracking: MlflowTracking, step: str, expected_step: int
) -> None:
    with Recorder() as server:
        experiment = world.create(name="far", budget=1, mlflow={"uri": server.url})
        [(_, lease)] = world.lease()
        signature = report_signature(world.core, lease["attempt"])
        report_metrics.report(world.core, lease["attempt"], signature, {"loss": 1.0, "step": step})
        recorded(world, tracking, experiment)
    assert {metric["step"] for body in server.requests_of("log-batch") for metric in body["metrics"]} == {expected_step}
