"""One experiment must not stop the others, no matter its content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.controllers.noisy_stopping import NoisyStopping
from orchestune.controllers.stuck_notifications import StuckNotifications
from orchestune.domain.lifecycle.states import Reason
from orchestune.domain.resources.allocation import Demand, allocate
from orchestune.domain.resources.gpus import Gpu, GpuRequest, GpuSet
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.errors import BadInput, Purged
from orchestune.services.commands import change_experiment, create_experiment
from orchestune.services.commands.check_documents import parsed
from orchestune.services.execution import attempts
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.queries import list_experiments, read_cluster, read_experiments
from orchestune.store import experiments
from orchestune.wire.nesting import MAX_LEVELS, refuse_deep
from tests.contract.world import CoreWorld, FakeWorker
from tests.unit.server.harness import Live, live

OWNER = "secret-token"  # as the world has it
PATH = "/api/v1/experiments"
SPECIFICATION = {
    "name": "hostile",
    "run": "true",
    "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
    "metrics": [{"name": "loss", "goal": "minimize"}],
    "budget": 2,
    "engine": "random",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world = CoreWorld(tmp_path_factory.mktemp("world"))
    with live(world.core) as server:
        yield server
    world.close()


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def body(place: str, levels: int) -> bytes:
    """The body of a new experiment with lists nested so deeply in its launch or specification, or beside them."""
    request: dict[str, Any] = {"specification": dict(SPECIFICATION), "launch": {}}
    match place:
        case "slurm":
            request["specification"]["placement"] = {"slurm": "HERE"}
        case "launch":
            request["launch"]["more"] = "HERE"
        case _:
            request["unknown"] = "HERE"
    return json.dumps(request).replace('"HERE"', nested(levels)).encode()


@pytest.mark.parametrize("place", ["slurm", "launch", "unknown"])
@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 400, 975, 980, 984, 988, 1000, 100_000])
def test_a_deeply_nested_body_creates_nothing(server: Live, place: str, levels: int) -> None:
    before = server.ask("GET", PATH, token=OWNER).json()
    reply = server.ask("POST", PATH, body(place, levels), token=OWNER, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_input"), reply.body
    assert "nested more than 100 levels deep" in reply.json()["error"]["message"]
    assert server.ask("GET", PATH, token=OWNER).json() == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_no_encoding_hides_brackets(encoding: str) -> None:
    # U+2200 has the byte of a quotation mark in UTF-16
    document = '["\u2200", ' + nested(500) + "]"
    with pytest.raises(json.JSONDecodeError, match="nested"):
        refuse_deep(document.encode(encoding))


@pytest.mark.parametrize(
    "document",
    [nested(MAX_LEVELS), "[" + ",".join(["[]"] * 200_000) + "]", json.dumps(["[" * 500, '"' + "[" * 500, "\\" * 9])],
)
def test_brackets_in_strings_and_beside_each_other_are_no_depth(document: str) -> None:
    refuse_deep(document.encode())


def test_a_deep_document_behind_many_others_is_found() -> None:
    with pytest.raises(json.JSONDecodeError, match="nested"):
        refuse_deep(("[" + "[]," * 100_000 + nested(MAX_LEVELS) + "]").encode())


def test_a_document_of_a_record_is_bounded_alike() -> None:
    with pytest.raises(ValueError, match="must be JSON"):
        parsed(nested(MAX_LEVELS + 1).encode())


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"resources": {"cpu": 1e-320}}, "resources.cpu"),
        ({"resources": {"cpu": 0.0009}}, "resources.cpu"),
        ({"resources": {"gpu": 1e-320}}, "resources.gpu"),
        ({"resources": {"cpu": -1}}, "resources.cpu"),
        ({"metrics": [{"name": "loss", "goal": "minimize", "take": "mean:x"}]}, "metrics.loss.take"),
        ({"metrics": [{"name": "loss", "goal": "minimize", "take": "mean:0"}]}, "metrics.loss.take"),
        ({"metrics": [{"name": "loss", "goal": "minimize", "take": "median"}]}, "metrics.loss.take"),
        ({"keep": {"best": 10**30}}, "keep.best"),
        ({"keep": {"limit": 10**40}}, "keep.limit"),
        ({"memory_factor": 1e308}, "memory_factor"),
    ],
)
def test_numbers_and_words_that_break_controllers_are_refused(change: dict[str, Any], key: str) -> None:
    with pytest.raises(BadInput) as refusal:
        create_experiment.parse(SPECIFICATION | change)
    assert [problem.key for problem in refusal.value.problems] == [key]


@pytest.mark.parametrize(
    "change",
    [
        {"resources": {"cpu": 0, "gpu": 0}},
        {"resources": {"cpu": 0.001, "gpu": 0.01}},
        {"metrics": [{"name": "loss", "goal": "minimize", "take": "mean:5"}]},
        {"keep": {"best": 10**9}},
    ],
)
def test_the_bounds_themselves_are_accepted(change: dict[str, Any]) -> None:
    create_experiment.parse(SPECIFICATION | change)


@pytest.mark.parametrize("text", ["a" * 999, "\U0001f600" * 500])
def test_a_space_of_configurations_that_fill_the_store_is_refused(text: str) -> None:
    """Each suggestion is a row, and up to `parallelism` of them are queued ahead."""
    parameters = [{"name": f"p{index}", "type": "categorical", "choices": ["x", text]} for index in range(100)]
    with pytest.raises(BadInput, match="a configuration takes up to"):
        create_experiment.parse(SPECIFICATION | {"parameters": parameters})
    create_experiment.parse(SPECIFICATION | {"parameters": parameters[:10]})


BROKEN = [nested(100_000), "{}", '{"name": 1}']


@pytest.fixture(params=range(len(BROKEN)))
def broken(world: CoreWorld, request: pytest.FixtureRequest) -> str:
    """An experiment whose stored specification cannot be parsed, as one that an older version let into the store."""
    experiment = world.create(name="broken", priority=5)
    with world.core.store.transaction() as session:
        experiments.change(session, experiment, specification=BROKEN[request.param])
    return experiment


def tick_all(world: CoreWorld) -> None:
    """Let each controller act, as its loop does: one that raises does not stop the next."""
    core = world.core
    for controller in (*world.controllers, NoisyStopping(core), StuckNotifications(core), GarbageCollection(core)):
        with suppress(Exception):
            controller.tick()


def test_an_unreadable_experiment_stops_no_other(world: CoreWorld, broken: str) -> None:
    victim = world.create(name="victim", budget=2)
    for _ in range(3):
        tick_all(world)
    orders = [order for order in world.backend.orders.values() if order.experiment == victim]
    assert orders, "the victim has a worker"
    worker = FakeWorker(world.core, orders[0].worker)
    assert worker.call(want=1)["leases"]
    world.backend.gone[worker.id] = "killed"
    tick_all(world)
    assert world.status(victim)["counts"]["running"] == 0


def test_an_unreadable_experiment_breaks_no_list(world: CoreWorld, broken: str) -> None:
    victim = world.create(name="victim")
    listed = list_experiments.listed(world.core)
    assert [item["id"] for item in listed["items"]] == [victim]
    assert [item["id"] for item in read_experiments.statuses(world.core)["items"]] == [victim]
    assert [item["id"] for item in read_cluster.cluster(world.core)["experiments"]] == [victim]


def test_an_unreadable_experiment_can_be_stopped_and_purged(world: CoreWorld, broken: str) -> None:
    assert change_experiment.delete(world.core, broken, True, "ada") is not None
    for _ in range(4):
        tick_all(world)
    with world.core.store.reading() as session, pytest.raises(Purged):
        experiments.find(session, broken)


def test_a_worker_that_cannot_be_checked_stops_no_other(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `take: mean:x`, which was checked in files alone."""
    hostile, victim = world.create(name="hostile", parallelism=1), world.create(name="victim", parallelism=1)
    leases = world.lease(2)
    condemn = attempts.lose

    def lose(ledger: Ledger, attempt: str, reason: Reason) -> None:
        if ledger.row.id == hostile:
            raise ValueError("invalid literal for int() with base 10: 'x'")
        condemn(ledger, attempt, reason)

    monkeypatch.setattr(attempts, "lose", lose)
    for worker, _ in leases:
        world.backend.gone[worker.id] = "killed"
    with pytest.raises(ValueError, match="invalid literal"):
        world.lost_workers.tick()
    running = {experiment: world.status(experiment)["counts"]["running"] for experiment in (hostile, victim)}
    assert running == {hostile: 1, victim: 0}


def test_a_request_without_a_finite_quotient_is_no_error() -> None:
    capacity = Capacity((Machine(2, 2**34, (Gpu("0"),)),))
    assert allocate(capacity, [Demand("tiny", 5, Resources(cpu=1e-320)), Demand("other", 1, Resources(cpu=1))]) == {
        "tiny": 5,
        "other": 1,
    }
    assert GpuSet(capacity.gpus).fit(GpuRequest(1e-320)) == 1000
