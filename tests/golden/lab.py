"""A store that is filled with a few small experiments through the services, for the output of the command line."""

from __future__ import annotations

import hashlib
import math
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestune.bundles.pack import pack
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.services import bundles
from orchestune.services.commands import change_code, change_experiment, create_experiment, rerun_trial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import uploads
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld, FakeClock, FakeWorker

Document = dict[str, Any]
Outcome = Callable[[Document], Document]
TOKEN = "secret-token"  # of Ada, in `CoreWorld`
HOST = "golden-host"
MACHINES = Capacity((Machine(4, 2**34, (), "node-1", "cpu"),))
_MODEL = "import argparse\n\nparser = argparse.ArgumentParser()\nmodel = SGDClassifier(max_iter=50)\n"
_CODE = {"train.py": _MODEL, "data/classes.txt": "cat\ndog\n"}
_CHANGED = {**_CODE, "train.py": _MODEL.replace("50", "200"), "README.md": "# Classes\n"}
_SGD = [
    {"name": "alpha", "type": "float", "min": 1e-6, "max": 0.1, "log": True},
    {"name": "penalty", "type": "categorical", "choices": ["l1", "l2", "elasticnet"]},
    {"name": "layers", "type": "int", "min": 2, "max": 8},
]
_TRACE = 'Traceback (most recent call last):\n  File "train.py", line 4, in <module>\nValueError: no data\n'


@dataclass
class StillClock(FakeClock):
    """A clock that stands still from a moment on, so that ages do not depend on how often it was read."""

    still: bool = False

    def now(self) -> float:
        return self.wall if self.still else super().now()


class _World(CoreWorld):
    """A world with such a clock."""

    def open(self) -> None:
        self.clock = self.still_clock = StillClock()
        super().open()


class Lab:
    """The world, the folder that its experiments were started from, and their handles by name."""

    def __init__(self, state: Path, folder: Path) -> None:
        self.world = _World(state, capacity=MACHINES)
        self.folder = folder
        self.handles: dict[str, str] = {}
        self._bundles: list[str] = []

    @property
    def names(self) -> dict[str, str]:
        """Each handle with a stable one of the same length (sgd-aaaa), and likewise the digests of bundles."""
        letters = "abcdefghij"
        handles = {handle: f"{handle[:-4]}{letters[at] * 4}" for at, handle in enumerate(self.handles.values())}
        digests = {digest: letters[at] * 64 for at, digest in enumerate(self._bundles)}
        return handles | digests | {digest[:12]: same[:12] for digest, same in digests.items()}

    def find_others(self) -> None:
        """Learn the handles of experiments that commands have created, the oldest first."""
        handles = set(self.handles.values())
        for status in reversed(read_experiments.statuses(self.world.core)["items"]):
            if status["handle"] not in handles:
                self.handles[status["handle"]] = status["handle"]

    def create(self, name: str, outcome: Outcome, count: int, **changes: Any) -> str:
        """Create an experiment and let `count` of its attempts end as `outcome` says of their leases; its id."""
        bundle, owner = changes.pop("bundle", None), changes.pop("owner", "ada")
        request = self.world.request(name=name, seed=1, **changes)
        launch = {"env": {"LANG": "C"}, "root": str(self.folder)}
        request = replace(request, folder=f"{HOST}:{self.folder}", bundle=bundle, launch=launch)
        principal = f"token:{owner}"
        status = create_experiment.create_experiment(self.world.core, request, owner, principal=principal)
        self.handles[name] = status["handle"]
        self.run(count, outcome)
        return str(status["id"])

    def run(self, count: int, outcome: Outcome) -> None:
        """Let so many attempts run for 3 s and end."""
        for _ in range(count):
            [(worker, lease)] = self.world.lease()
            self.begin(worker, lease)
            self.world.clock.pass_time(3.0)
            worker.call(finished=[worker.finish(lease, 0.0, **outcome(lease))])
        self.world.tick(3)

    def begin(self, worker: FakeWorker, lease: Document) -> None:
        """Report the start of a command with its first line and value."""
        text = "epoch 1/2\n"
        worker.call(beats=[worker.started(lease) | {"logs": [[0, text, 0]]}])

    def stop_clock(self) -> None:
        """Let half a minute pass, and then no time any more."""
        self.world.clock.pass_time(30.0)
        self.world.still_clock.still = True

    def bundle(self, files: Mapping[str, str]) -> str:
        """Store files as a bundle; its digest."""
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder, "project")
            for name, text in files.items():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                (project / name).write_text(text)
                (project / name).chmod(0o644)
            packed = pack(project, (), 2**20, Path(folder))
            with packed.path.open("rb") as stream:
                bundles.store(self.world.core, packed.digest, stream)
        self._bundles.append(packed.digest)
        return packed.digest


def _printed(text: str, **changes: Any) -> Document:
    """The end of a command that printed `text` behind its first line."""
    whole = f"epoch 1/2\n{text}"
    return {"logs": [[10, text, 0]], "log_bytes": len(whole), "tail": whole, **changes}


def _failed(text: str = _TRACE) -> Document:
    reason = {"code": "exit_code", "message": "the command ended with exit code 1"}
    return _printed(text, state="failed", exit_code=1, points=[], reason=reason)


def _values(**values: float) -> Document:
    points = [[place, name, value, None, None] for place, (name, value) in enumerate(values.items())]
    return _printed("".join(f"{name}={value}\n" for name, value in values.items()), points=points)


def _sgd(lease: Document) -> Document:
    parameters, number = lease["parameters"], lease["trial"]
    if number == 5:
        return _failed()
    if number == 7 and lease["number"] == 1:
        reason = {"code": "worker_stopped", "message": "its worker was asked to stop"}
        return _printed("", state="preempted", exit_code=None, signal=15, points=[], reason=reason)
    distance = abs(math.log10(parameters["alpha"]) + 3.4) / 4 + abs(parameters["layers"] - 5) / 20
    accuracy = round(0.97 - 0.25 * distance**2 - 0.02 * (parameters["penalty"] == "l1"), 4)
    if number in (9, 14):
        reason = {"code": "pruned", "message": "median: worse than half of the others"}
        points = [[0, "accuracy", round(accuracy - 0.05, 4), 1, None]]
        return _printed("", state="pruned", exit_code=None, signal=15, points=points, reason=reason)
    return _values(accuracy=accuracy, fit_seconds=round(3 + 40 * distance, 1))


def loss(lease: Document) -> Document:
    """The end of a command that printed the loss 0.5."""
    return _values(loss=0.5)


def _two(lease: Document) -> Document:
    width = lease["parameters"]["width"]
    return _values(error=round(0.05 + 20 / width, 4), latency=round(4 + width / 10, 1))


def _configurations(count: int) -> list[Document]:
    chance = random.Random(7)
    return [
        {
            "alpha": round(10 ** chance.uniform(-6, -1), 8),
            "penalty": chance.choice(["l1", "l2", "elasticnet"]),
            "layers": chance.randint(2, 8),
        }
        for _ in range(count)
    ]


def fill(lab: Lab) -> None:
    """Write every experiment: finished, with two metrics, failed, with folds, rerun, paused, running, pending."""
    core = lab.world.core
    accuracy = [{"name": "accuracy", "goal": "maximize"}]
    sgd: Document = {
        "run": "python train.py {args}", "parameters": _SGD, "metrics": accuracy, "parallelism": 1,
        "try_first": _configurations(24),
    }  # fmt: skip
    first = lab.create("sgd", _sgd, 13, **sgd, budget=24, bundle=lab.bundle(_CODE), labels={"team": "text"})
    change_code.change_code(core, first, lab.bundle(_CHANGED), {}, "ada")
    lab.run(10, _sgd)
    [(worker, lease)] = lab.world.lease()
    _keep(lab, worker, lease)
    lab.begin(worker, lease)
    worker.call(finished=[worker.finish(lease, 0.0, **_sgd(lease))])
    lab.run(1, _sgd)

    metrics = [{"name": "error", "goal": "minimize"}, {"name": "latency", "goal": "minimize"}]
    width: Document = {"name": "width", "type": "int", "min": 8, "max": 512}
    configurations = [{"width": number} for number in (16, 64, 128, 100, 256, 512)]
    lab.create(
        "front", _two, 6, parameters=[width], metrics=metrics, budget=6, parallelism=1, owner="grace",
        try_first=configurations,
    )  # fmt: skip
    lab.create("broken", lambda _: _failed(), 3, **sgd, budget=20, stop={"max_failures": 3})
    lab.create(
        "folds", lambda lease: _values(loss=lease["parameters"]["x"] + lease["fold"] / 10), 4, budget=2, parallelism=1,
        folds={"count": 2}, try_first=[{"x": 0.25}, {"x": 0.5}],
    )  # fmt: skip
    again = rerun_trial.rerun_trial(core, first, 3, Rerun(), "grace")
    lab.handles["rerun"] = again["handle"]
    lab.run(1, _sgd)
    paused = lab.create("paused", loss, 1, budget=3, parallelism=1, try_first=[{"x": 0.5}])
    change_experiment.pause(core, paused, False, "ada")
    lab.world.tick(3)
    cpu: Document = {"resources": {"cpu": 3}}
    lab.create(
        "running", loss, 1, **cpu, budget=4, parallelism=1,
        try_first=[{"x": number / 8} for number in range(4)],
    )  # fmt: skip
    [(worker, lease)] = lab.world.lease()
    lab.begin(worker, lease)
    lab.world.clock.pass_time(2.0)
    lab.create("pending", lambda _: {}, 0, **cpu, budget=2, parallelism=1, try_first=[{"x": 0.5}])
    lab.world.tick(3)
    lab.stop_clock()


def _keep(lab: Lab, worker: FakeWorker, lease: Document) -> None:
    """Hand in a file of a trial."""
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    uploads.append(lab.world.core, worker.id, digest, 0, content)
    files = [{"path": "best.pt", "digest": digest, "size": len(content)}]
    body = {"attempt": lease["attempt"], "token": lease["token"], "files": files}
    worker.keep_artifacts(body)
