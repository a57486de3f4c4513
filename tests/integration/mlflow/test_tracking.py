"""Experiments in a real tracking server of MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from orchestune.controllers.mlflow_tracking import MlflowTracking
from orchestune.domain.specification.tracker import Tracker
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.mlflow import LoggedMetric, MlflowRejected
from orchestune.outgoing.mlflow import MlflowClient as Client
from orchestune.outgoing.settings import Outgoing
from orchestune.services.commands.change_experiment import Changes, change_experiment
from orchestune.services.queries import read_experiments
from orchestune.store import tracking_runs
from tests.contract.world import CoreWorld, FakeWorker
from tests.testbeds.mlflow import Mlflow, named

pytestmark = pytest.mark.mlflow
ANY_DESTINATION = AllowedDestinations(everywhere=True)
TIMEOUT = 60.0
"""seconds for which a tick waits until everything is sent"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with Mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def world(world: CoreWorld) -> CoreWorld:
    world.core = replace(world.core, outgoing=Outgoing(ANY_DESTINATION))
    return world


@pytest.fixture
def tracking(world: CoreWorld) -> Iterator[MlflowTracking]:
    tracker = MlflowTracking(world.core, TIMEOUT)
    yield tracker
    tracker.close()


def catch_up(world: CoreWorld, tracking: MlflowTracking) -> None:
    for _ in range(100):
        tracking.tick()
        with world.core.store.reading() as session:
            if not tracking_runs.behind(session):
                return
        world.clock.pass_time(400)
    raise AssertionError("it never caught up")


def points(worker: FakeWorker, lease: Any, *values: tuple[int, float]) -> None:
    reported = [[index, "loss", value, step, None] for index, (step, value) in enumerate(values)]
    worker.call(beats=[{"attempt": lease["attempt"], "token": lease["token"], "points": reported}])


def test_each_trial_is_a_run_within_that_of_the_experiment(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="nested", budget=3, mlflow={"uri": mlflow.url})
    handle = world.run(experiment)["handle"]
    catch_up(world, tracking)
    runs = {run["info"]["run_name"]: run for run in mlflow.runs("nested")}
    assert runs.keys() == {handle, f"{handle}/1", f"{handle}/2", f"{handle}/3"}
    parent = runs.pop(handle)
    best = world.status(experiment)["best"][0]
    assert parent["info"]["status"] == "FINISHED"
    assert named(parent, "metrics") == {"best loss": best["metrics"]["loss"]["value"]}
    assert named(parent, "tags")["orchestune.best_trial"] == f"{handle}/{best['trial']}"
    for trial in world.trials(experiment):
        run = runs[f"{handle}/{trial['number']}"]
        assert named(run, "tags")["mlflow.parentRunId"] == parent["info"]["run_id"]
        assert (run["info"]["status"], named(run, "tags")["orchestune.state"]) == ("FINISHED", "completed")
        assert {name: float(value) for name, value in named(run, "params").items()} == trial["parameters"]
        assert named(run, "metrics") == {"loss": trial["metrics"]["loss"]["value"]}


def test_a_trial_is_seen_while_it_runs_with_the_steps_that_it_reports(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="live", budget=1, mlflow={"uri": mlflow.url})
    [(worker, lease)] = world.lease()
    points(worker, lease, (1, 0.9), (2, 0.5))
    catch_up(world, tracking)
    parent, run = mlflow.runs("live")
    identity = run["info"]["run_id"]
    assert (parent["info"]["status"], run["info"]["status"]) == ("RUNNING", "RUNNING")
    assert mlflow.curve(identity, "loss") == [(1, 0.9), (2, 0.5)]
    world.clock.pass_time(5)
    worker.call(finished=[worker.finish(lease, 0.4, points=[[2, "loss", 0.4, 3, None]])])
    world.run(experiment)
    catch_up(world, tracking)
    assert mlflow.curve(identity, "loss") == [(1, 0.9), (2, 0.5), (3, 0.4)]
    assert [run["info"]["status"] for run in mlflow.runs("live")] == ["FINISHED", "FINISHED"]


def test_failed_trials_have_their_reason_and_an_experiment_of_them_failed(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="failing", budget=1, mlflow={"uri": mlflow.url})
    [(worker, lease)] = world.lease()
    reason = {"code": "exit_code", "message": "it exited with 3"}
    worker.call(finished=[worker.finish(lease, state="failed", exit_code=3, points=[], reason=reason)])
    assert world.run(experiment)["state"] == "failed"
    catch_up(world, tracking)
    parent, run = mlflow.runs("failing")
    assert (parent["info"]["status"], run["info"]["status"]) == ("FAILED", "FAILED")
    assert named(run, "tags")["orchestune.reason"] == "exit_code"


@pytest.mark.filterwarnings("ignore:Exception in thread record")  # what is raised ends that thread, like a kill
def test_a_server_that_is_killed_anywhere_records_everything_once(
    world: CoreWorld, mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is cut off once, before it is sent and after it was answered."""
    world.run(world.create(name="killed", budget=4, mlflow={"uri": mlflow.url}))
    genuine = Client._call

    class Killed(BaseException):
        pass

    for cut in range(100):
        calls = 0

        def call(self: Client, *args: Any, cut: int = cut) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1 + cut % 12:
                if cut % 2:
                    genuine(self, *args)
                raise Killed
            return genuine(self, *args)

        monkeypatch.setattr(Client, "_call", call)
        tracking = MlflowTracking(world.core, TIMEOUT)
        tracking.tick()
        tracking.close()
        with world.core.store.reading() as session:
            if not tracking_runs.behind(session):
                break
    else:
        raise AssertionError("it never came to its end")
    runs = mlflow.runs("killed")
    assert len({run["info"]["run_name"] for run in runs}) == len(runs) == 5
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    assert all(len(mlflow.curve(run["info"]["run_id"], "loss")) == 1 for run in runs[1:])


def test_a_tracking_server_that_is_away_for_a_while_gets_everything_later(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="away", budget=2, mlflow={"uri": mlflow.url})
    world.lease()
    catch_up(world, tracking)
    mlflow.kill()
    assert world.run(experiment)["state"] == "completed"
    for _ in range(3):
        tracking.tick()
        world.clock.pass_time(400)
    events = read_experiments.events(world.core, experiment, 0, 1000)["items"]
    assert [event["kind"] for event in events].count("tracking_failed") == 1
    mlflow.start()
    catch_up(world, tracking)
    assert [run["info"]["status"] for run in mlflow.runs("away")] == ["FINISHED"] * 3


def test_an_experiment_that_goes_on_later_goes_on_there(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="extended", budget=1, mlflow={"uri": mlflow.url, "experiment": "a team's: runs"})
    world.run(experiment)
    catch_up(world, tracking)
    change_experiment(world.core, experiment, Changes(budget=2), "ada")
    catch_up(world, tracking)
    assert mlflow.runs("a team's: runs")[0]["info"]["status"] == "RUNNING"
    world.run(experiment)
    catch_up(world, tracking)
    assert [run["info"]["status"] for run in mlflow.runs("a team's: runs")] == ["FINISHED"] * 3


def test_what_is_called_oddly_is_recorded_under_a_name_that_mlflow_takes(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    space = [{"name": name, "type": "float", "min": 0.0, "max": 1.0} for name in ("optim.lr", "größe[0]", "../x")]
    experiment = world.create(name="odd", budget=1, parameters=space, mlflow={"uri": mlflow.url})
    world.run(experiment)
    catch_up(world, tracking)
    assert named(mlflow.runs("odd")[1], "params").keys() == {"optim.lr", "gr__e_0_", "_/x"}


def test_folds_have_their_own_curves_and_the_run_their_mean(
    world: CoreWorld, tracking: MlflowTracking, mlflow: Mlflow
) -> None:
    experiment = world.create(name="folded", budget=1, folds={"count": 2}, mlflow={"uri": mlflow.url})
    for value in (0.2, 0.4):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, value)])
    world.run(experiment)
    catch_up(world, tracking)
    metrics = named(mlflow.runs("folded")[1], "metrics")
    assert metrics == {"fold 0/loss": 0.2, "fold 1/loss": 0.4, "loss": pytest.approx(0.3)}


def test_many_values_take_as_many_requests_as_they_need(mlflow: Mlflow) -> None:
    client = Client(Tracker(mlflow.url), ANY_DESTINATION)
    place = client.experiment("many")
    run = client.create(place, "one", 1, {"a": "b"})
    client.log(run, [LoggedMetric("loss", float(i), i, i) for i in range(2500)], {f"p{i}": i for i in range(250)})
    client.close()
    (recorded_run,) = mlflow.runs("many")
    assert (len(named(recorded_run, "params")), named(recorded_run, "metrics")) == (250, {"loss": 2499.0})


def test_an_experiment_that_was_deleted_there_is_said_to_be(mlflow: Mlflow) -> None:
    client = Client(Tracker(mlflow.url), ANY_DESTINATION)
    place = client.experiment("deleted")
    mlflow.ask("experiments/delete", {"experiment_id": place})
    with pytest.raises(MlflowRejected, match="experiment 'deleted' is deleted"):
        client.experiment("deleted")
    client.close()


def test_the_servers_own_tracking_server_records_what_names_none_but_no_test(world: CoreWorld, mlflow: Mlflow) -> None:
    world.core = replace(world.core, outgoing=Outgoing(ANY_DESTINATION, tracker=Tracker(mlflow.url)))
    tracking = MlflowTracking(world.core, TIMEOUT)
    world.run(world.create(name="by the server", budget=1))
    world.run(world.create(name="only a test", budget=1, labels={"orchestune.dev/test": "0"}))
    catch_up(world, tracking)
    tracking.close()
    assert (len(mlflow.runs("by the server")), mlflow.runs("only a test")) == (2, [])
