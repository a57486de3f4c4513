"""A small world without processes: a core on a real store, a clock that tests own, workers that tests move."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.finishing import Finishing
from orchestune.controllers.lost_workers import LostWorkers
from orchestune.controllers.policy_check import PolicyCheck
from orchestune.controllers.purging import Purging
from orchestune.controllers.suggesting import Suggesting
from orchestune.controllers.warm_pool import WarmPool
from orchestune.controllers.worker_scaling import WorkerScaling
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.domain.search.trial import Observation
from orchestune.engines import registry
from orchestune.files.folder import FolderFiles
from orchestune.files.secrets import FolderSecrets
from orchestune.ports.backend import Phase, PlannedWorker, WorkerLoss, WorkerOrder, WorkerStatus
from orchestune.ports.engine import Engine
from orchestune.services import read_history
from orchestune.services.commands import create_experiment
from orchestune.services.commands.create_experiment import NewExperiment, WarmStartResults
from orchestune.services.core import Core
from orchestune.services.execution import register_worker, uploads
from orchestune.services.execution.worker_call import WorkerNotNeeded, work
from orchestune.services.queries import read_experiments, read_trials
from orchestune.store import experiments
from orchestune.store.database import open_store
from orchestune.store.experiments import ExperimentRow
from orchestune.wire import files
from orchestune.wire.answers import JobDocument, WorkAnswer, encode
from orchestune.wire.registration import PROTOCOL, Registration
from orchestune.wire.work import Work, decode
from orchestune.worker.connection.api import encoded

Document = dict[str, Any]
SMALL = Capacity((Machine(2, 2**34),))
_FILE = "orchestune.db"


@cache
def _empty_store() -> bytes:
    """An SQLite store with nothing in it: its migrations take longer than most tests, and are the same for all."""
    with TemporaryDirectory() as folder:
        file = Path(folder, _FILE)
        open_store(f"sqlite:///{file}").close()
        return file.read_bytes()


@dataclass
class FakeClock:
    """Time that passes only when a test says so; entropy that repeats."""

    wall: float = 1_700_000_000.0
    steady: float = 1000.0
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def now(self) -> float:
        self.wall += 0.001
        return self.wall

    def monotonic(self) -> float:
        self.steady += 0.0001
        return self.steady

    def entropy(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def pass_time(self, seconds: float) -> None:
        """Advance both clocks."""
        self.wall += seconds
        self.steady += seconds


def decoded(document: object) -> Any:
    """Return a document of a service as a client decodes it from JSON."""
    return json.loads(json.dumps(document))


class FakeBackend:
    """Remembers the workers that it was ordered to start and to terminate."""

    name = "local"
    slots_per_worker: int | None = None
    assigns_gpus = True
    limits_memory = False
    queues = False

    def __init__(self, capacity: Capacity = SMALL) -> None:
        self.room = capacity
        self.orders: dict[str, WorkerOrder] = {}
        self.gone: dict[str, str] = {}
        self.ended: set[str] = set()
        self.pending: dict[str, str] = {}
        self.queued: set[str] = set()
        """those of `pending` that wait in a queue of the place"""
        self.faults: dict[str, WorkerLoss] = {}
        self.closed: set[str] = set()
        """machines that accept no worker"""
        self.nodes: dict[str, str] = {}
        """the machine of a worker, as far as this place knows it"""

    def capacity(self) -> Capacity:
        return self.room

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        return PlannedWorker("", ({"worker": order.worker},))

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        self.orders[order.worker] = order
        return {"worker": order.worker}

    def observe(self, handles: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        return [self._sighting(worker) for worker in handles]

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        return each

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return each

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        return ()

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        return frozenset(self.closed)

    def sweep(self, workers: frozenset[str]) -> None:
        return None

    def _sighting(self, worker: str) -> WorkerStatus:
        if worker in self.gone:
            return WorkerStatus(worker, Phase.GONE, {}, self.gone[worker], self.faults.get(worker, WorkerLoss.UNKNOWN))
        if worker in self.pending:
            phase = Phase.QUEUED if worker in self.queued else Phase.PENDING
            return WorkerStatus(worker, phase, {}, self.pending[worker])
        return WorkerStatus(worker, Phase.RUNNING, node=self.nodes.get(worker, ""))

    def terminate(self, worker: str, handle: Mapping[str, Any], grace: float) -> None:
        self.ended.add(worker)
        self.gone.setdefault(worker, "")


class FakeWorker:
    """Speaks the protocol; finishes what the test orders."""

    def __init__(self, core: Core, worker: str, life: int = 1) -> None:
        self.core, self.id, self.life = core, worker, life
        self.boot = f"boot-{worker[-6:]}-{life}"
        self.beat = 0
        self.leases: dict[str, Document] = {}
        self.told_to_drain = False
        self.goes_on = False
        """it is to register again, as its next life"""
        self.over = False
        self.token = ""
        self.job: JobDocument | None = None
        try:
            registration = register_worker.register(
                core, worker, Registration(protocol=PROTOCOL, boot=self.boot, node="here")
            )
            self.job, self.token = registration.job, registration.token
        except WorkerNotNeeded:
            self.over = True

    def call(
        self,
        want: int = 0,
        finished: Sequence[Document] = (),
        beats: Sequence[Document] = (),
        lose_answer: bool = False,
        **more: Any,
    ) -> Document:
        """One call of `work`; with `lose_answer` the server did its part and the worker never heard of it."""
        self.beat += 1
        body = {
            "boot": self.boot,
            "beat": self.beat,
            "want": want,
            "live": list(self.leases),
            "finished": list(finished),
            "beats": list(beats),
            **more,
        }
        try:
            answer: Document = msgspec.json.decode(encode(work(self.core, self.id, decode(encoded(body))).answer))
        except WorkerNotNeeded:
            self.over = True
            self.leases.clear()
            return {"acks": [], "orders": [], "leases": [], "slots": 0, "drain": True, "again": False}
        if lose_answer:
            return answer
        for ack in answer["acks"]:
            if any(item.get("attempt") == ack["attempt"] for item in finished) or ack["result"] != "ok":
                self.leases.pop(ack["attempt"], None)
        for order in answer["orders"]:
            if order["state"] != "preempted":
                self.leases.pop(order["attempt"], None)
        for lease in answer["leases"]:
            self.leases[lease["attempt"]] = lease
        self.told_to_drain, self.goes_on = answer["drain"], answer["again"]
        return answer

    def report_only(self) -> WorkAnswer:
        """A call that does not say what is live, as one while another waits for work; its orders are not heard."""
        self.beat += 1
        return work(self.core, self.id, Work(boot=self.boot, beat=self.beat, want=0)).answer

    def checkpoint(self, document: Document) -> Document:
        """Publish a checkpoint, whose bytes were uploaded before."""
        published = uploads.checkpoint(self.core, self.id, files.decode_checkpoint(encoded(document)))
        return {"accepted": published.accepted}

    def keep_artifacts(self, document: Document) -> Document:
        """Turn uploads into artifacts."""
        answer = uploads.keep_artifacts(self.core, self.id, files.decode_artifacts(encoded(document)))
        return {"kept": answer.kept}

    def finish(self, lease: Document, value: float | None = None, **changes: Any) -> Document:
        """Build the report of a successful lease whose command printed `loss=…` (the first parameter's value)."""
        value = next(iter(lease["parameters"].values())) if value is None else value
        text = f"loss={value}\n"
        return {
            "attempt": lease["attempt"],
            "token": lease["token"],
            "state": "succeeded",
            "exit_code": 0,
            "signal": None,
            "reason": None,
            "wall": 0.5,
            "cpu": 0.1,
            "memory": 1 << 20,
            "points": [[0, "loss", value, None, None]],
            "logs": [[0, text, 0]],
            "log_bytes": len(text),
            "tail": text,
        } | changes

    def started(self, lease: Document) -> Document:
        """The beat that says that the command runs."""
        return {"attempt": lease["attempt"], "token": lease["token"], "started": True, "age": 0.1}


SPACE: list[Document] = [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}]


class CoreWorld:
    """A core with its controllers, ticked by hand."""

    def __init__(
        self,
        folder: Path,
        database_url: str | None = None,
        capacity: Capacity = SMALL,
        backend: FakeBackend | None = None,
    ) -> None:
        self.folder = folder
        self.url = database_url or f"sqlite:///{folder / _FILE}"
        if database_url is None and not (folder / _FILE).exists():
            (folder / _FILE).write_bytes(_empty_store())
        self.clock = FakeClock()
        self.backend = backend or FakeBackend(capacity)
        self.empty = FakeBackend(capacity)
        """another place, where nothing runs"""
        self.workers: dict[str, FakeWorker] = {}
        self.open()

    def open(self) -> None:
        """Start the server side; after `close`, a restart: nothing but rows and files is left of before."""
        self.core = Core(
            store=open_store(self.url, self.clock.now),
            files=FolderFiles(self.folder / "files"),
            secrets=FolderSecrets(self.folder / "secrets"),
            environments=FolderSecrets(self.folder / "environments"),
            clock=self.clock,
            key=b"k" * 32,
            backends={"local": self.backend, "empty": self.empty},
            url="http://127.0.0.1:1",
            owners={"secret-token": "ada"},
        )
        self.suggesting = Suggesting(self.core, self._engine)
        sparing, deaths = WarmPool(self.core), CrashBackoff(self.core)
        self.lost_workers = LostWorkers(self.core, deaths)
        acting = (Finishing(self.core, sparing), self.lost_workers, WorkerScaling(self.core, sparing, deaths))
        self.controllers = (*acting, self.suggesting, Purging(self.core), PolicyCheck(self.core))
        for worker in self.workers.values():
            worker.core = self.core

    def close(self) -> None:
        """End the server side."""
        self.suggesting.close()
        self.core.store.close()

    def _engine(self, row: ExperimentRow) -> Engine:
        specification = row.specification
        return registry.create(
            specification.engine, specification.space, specification.metrics, seed=specification.seed, in_process=True
        )

    def create(self, **changes: Any) -> str:
        """A new experiment of `owner`, else Ada; its id. See `request` for the rest."""
        owner = changes.pop("owner", "ada")
        principal = changes.pop("principal", f"token:{owner}")
        request = self.request(**changes)
        return str(create_experiment.create_experiment(self.core, request, owner, principal=principal)["id"])

    def request(self, **changes: Any) -> NewExperiment:
        """Build a client's request: random search of one float, minimizing `loss`, unless `changes` say otherwise."""
        warm = changes.pop("warm_start", None)
        specification = {
            "name": "test",
            "run": "echo loss={x}",
            "parameters": SPACE,
            "metrics": [{"name": "loss", "goal": "minimize"}],
            "budget": 10,
            "parallelism": 2,
            "engine": "random",
        } | changes
        return NewExperiment(specification=specification, warm_start=WarmStartResults(**warm) if warm else None)

    def tick(self, times: int = 1) -> None:
        """Let every controller act, and take in the workers that were started."""
        for _ in range(times):
            for controller in self.controllers:
                controller.tick()
            absent = self.backend.gone.keys() | self.backend.pending.keys()
            for worker in self.backend.orders.keys() - self.workers.keys() - absent:
                self.workers[worker] = FakeWorker(self.core, worker)
            for worker in self.backend.gone.keys() & self.workers.keys():
                del self.workers[worker]

    def hear_nothing(self, seconds: float) -> None:
        """Let time pass without requests; the controllers run."""
        self.lost_workers.tick()
        for _ in range(math.ceil(seconds)):
            self.clock.pass_time(1.0)
            self.lost_workers.tick()

    def status(self, experiment: str) -> Document:
        """Its `Status`."""
        document: Document = decoded(read_experiments.status(self.core, experiment))
        return document

    def trials(self, experiment: str) -> list[Document]:
        """All its trials."""
        items: list[Document] = decoded(read_trials.trials(self.core, experiment, 0, 100_000, None)["items"])
        return items

    def trial(self, experiment: str, number: int) -> Document:
        """One of its trials."""
        document: Document = decoded(read_trials.trial(self.core, experiment, number))
        return document

    def observations(self, experiment: str) -> list[Observation]:
        """Return the history that its engine gets."""
        with self.core.store.reading() as session:
            return read_history.observations(session, experiments.get(session, experiment), 0)

    def lease(self, count: int = 1) -> list[tuple[FakeWorker, Document]]:
        """Tick until so many leases are out, each with its worker."""
        leases: list[tuple[FakeWorker, Document]] = []
        for _ in range(20):
            self.tick()
            for worker in list(self.workers.values()):
                answer = worker.call(want=count - len(leases))
                leases += [(worker, lease) for lease in answer["leases"]]
                if len(leases) >= count:
                    return leases
        raise AssertionError(f"only {len(leases)} of {count} leases were given: {self.backend.orders.keys()}")

    def run(self, experiment: str, rounds: int = 500) -> Document:
        """Let workers finish everything that they get until the experiment is over or paused."""
        for _ in range(rounds):
            self.clock.pass_time(1.0)
            self.tick()
            for worker in list(self.workers.values()):
                finished = [worker.finish(lease) for lease in worker.leases.values()]
                worker.call(want=8, finished=finished)
            status = self.status(experiment)
            if status["state"] in ("completed", "failed", "stopped", "paused"):
                return status
        raise AssertionError(f"still {status['state']} after {rounds} rounds: {status}")
