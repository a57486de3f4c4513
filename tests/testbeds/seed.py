"""Experiments of every kind for the pages, written as rows: `python -m tests.testbeds.seed FOLDER [--large N]`.

Nothing runs: `serve` answers requests from such a store without the controllers, so that what is seeded stays as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from orchestune.bundles.pack import pack
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.domain.specification.experiment import Specification
from orchestune.files.folder import FolderFiles
from orchestune.files.secrets import FolderSecrets
from orchestune.ports.clock import SystemClock, new_id
from orchestune.server.app import create_app
from orchestune.server.context import ServerTimeouts
from orchestune.server.draining import DrainSignal
from orchestune.server.serving import UvicornServer
from orchestune.server.settings import Settings
from orchestune.services import bundles
from orchestune.services.core import Core
from orchestune.store import experiments, quarantines, tables
from orchestune.store.database import Store, open_store
from orchestune.store.quarantines import Quarantine
from tests.contract.world import FakeBackend

TOKEN = "the-token-of-the-owner-of-the-pages"
HOSTILE = '<script>document.title="pwned"</script><img src=x onerror=document.title="pwned">'
WIDE = "a-very-long-name-that-somebody-made-with-a-program-" * 5 + "ünïcode 实验 \u202eעברית"

Outcome = tuple[str, dict[str, float], dict[str, Any] | None]


@dataclass
class Plan:
    """One experiment to be written."""

    name: str
    parameters: Sequence[Mapping[str, Any]]
    metrics: Sequence[Mapping[str, Any]]
    outcome: Callable[[dict[str, Any], random.Random], Outcome]
    finished: int
    budget: int
    running: int = 0
    state: str = "completed"
    parallelism: int = 8
    reason: Mapping[str, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = "ada"
    run: str = "python train.py {args}"
    log: str = "epoch {epoch}/3 loss={loss:.4f}\n"
    steps: int = 0
    """values that trials reported while they ran"""
    node: str = "gpu-node-1"
    ago: float = 3600.0
    engine: str = "auto"
    code: Sequence[Mapping[str, str]] = ()
    """its files; several: the code was changed meanwhile, each has as many trials"""
    image: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    gpus: Sequence[str] = ()
    """cards, dealt out to its workers"""


def _number(name: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "float", "min": low, "max": high, **more}


def _words(name: str, *choices: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "categorical", "choices": list(choices), **more}


SGD = (
    _number("alpha", 1e-6, 0.1, log=True),
    _words("penalty", "l1", "l2", "elasticnet"),
    _number("l1_ratio", 0, 1, when={"penalty": ["elasticnet"]}),
    {"name": "layers", "type": "int", "min": 2, "max": 8},
)
MODEL = """\
import argparse

from sklearn.linear_model import SGDClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float)
parser.add_argument("--penalty")
parser.add_argument("--l1_ratio", type=float, default=0.15)
parser.add_argument("--layers", type=int)
args = parser.parse_args()

model = SGDClassifier(alpha=args.alpha, penalty=args.penalty, l1_ratio=args.l1_ratio, max_iter=50)
for epoch in range(3):
    print(f"epoch {epoch + 1}/3")
"""
CODE = {"train.py": MODEL, "data/classes.txt": "cat\ndog\n", "setup.sh": "pip install scikit-learn\n"}
CHANGED = {**CODE, "train.py": MODEL.replace("max_iter=50", "max_iter=200"), "README.md": "# Classes of texts\n"}
CARDS = tuple(Gpu(f"GPU-{n}c6f19b4-8a{n}3", "NVIDIA A100-SXM4-40GB", 40 * 2**30) for n in range(4))
MACHINES = (Machine(32, 2**37, CARDS, "gpu-node-1", "gpu"), Machine(16, 2**36, (), "cpu-node-1", "cpu"))
QUARANTINE_REASON = "3 of 3 trials failed here, and none elsewhere: no space left on device"
IMAGE = "registry.example.org/vision/train@sha256:" + "5e0c" * 16
LIMITED = {"goal": "maximize", "optimized": False, "constraint": ">= -10"}
ACCURACY = ({"name": "accuracy", "goal": "maximize"},)


def _sgd(parameters: dict[str, Any], chance: random.Random) -> Outcome:
    distance = abs(math.log10(parameters["alpha"]) + 3.4) / 4 + abs(parameters["layers"] - 5) / 20
    value = 0.97 - 0.25 * distance**2 - (0.02 if parameters["penalty"] == "l1" else 0) + chance.gauss(0, 0.006)
    if chance.random() < 0.04:
        return "failed", {}, {"code": "out_of_memory", "message": "the trial used more than its 2 GiB of memory"}
    if chance.random() < 0.15:
        return "pruned", {"accuracy": value - 0.05}, {"code": "pruned", "message": "worse than half of the others"}
    return "completed", {"accuracy": value, "fit_seconds": 3 + 40 * distance}, None


def _fails(parameters: dict[str, Any], chance: random.Random) -> Outcome:
    if chance.random() < 0.7:
        return "failed", {}, {"code": "exit_code", "message": "the command ended with exit code 1"}
    return "failed", {}, {"code": "metric_missing", "message": "no value of accuracy was reported"}


def _two(parameters: dict[str, Any], chance: random.Random) -> Outcome:
    size = parameters["width"] / 512
    error = 0.05 + 0.4 * math.exp(-5 * size) + abs(chance.gauss(0, 0.03))
    return "completed", {"error": error, "latency": 4 + 60 * size + abs(chance.gauss(0, 3))}, None


def _wide(parameters: dict[str, Any], chance: random.Random) -> Outcome:
    return "completed", {f"metric_{n}": chance.gauss(n, 1) for n in range(30)}, None


def plans(large: int) -> list[Plan]:
    """Return the plans of the experiments to write, oldest first."""
    width = ({"name": "width", "type": "int", "min": 8, "max": 512}, _number("rate", 1e-5, 0.1, log=True))
    two = ({"name": "error", "goal": "minimize"}, {"name": "latency", "goal": "minimize"})
    hostile = replace(
        Plan(HOSTILE, [_words("x", HOSTILE, "b"), _number("y", 0, 1)], [{"name": HOSTILE, "goal": "maximize"}],
             lambda p, c: ("completed" if c.random() < 0.6 else "failed", {HOSTILE: c.random()},
                           {"code": "exit_code", "message": HOSTILE}), 12, 40, running=2, state="running"),
        labels={HOSTILE: HOSTILE}, owner=HOSTILE, run=HOSTILE, log=HOSTILE + "\n", node=HOSTILE,
        code=[{"page.html": f"<b>1</b>\n{HOSTILE}\n", "<img src=x>.py": HOSTILE}, {"page.html": "<b>2</b>\n"}],
    )  # fmt: skip
    all_plans = [
        Plan(WIDE, [_number(f"parameter_{n:03}", 0, 1) for n in range(200)],
             [{"name": f"metric_{n}", **(LIMITED if n else {"goal": "maximize"})} for n in range(30)], _wide, 40, 40,
             ago=900000),
        Plan("nothing yet", SGD, ACCURACY, _sgd, 0, 40, state="pending", ago=80000,
             reason={"code": "waiting_for_resources", "message": "no machine has 8 free GPUs; the largest has 4"}),
        Plan("one trial", SGD, ACCURACY, _sgd, 1, 1, ago=70000),
        hostile,
        Plan("broken script", SGD, ACCURACY, _fails, 30, 40, state="failed", ago=50000, owner="grace",
             reason={"code": "max_failures", "message": "30 trials failed, which is the most that were allowed"}),
        Plan("size against speed", width, two, _two, 150, 150, ago=30000, labels={"team": "vision"}),
        Plan("sgd classifier", SGD, ACCURACY, _sgd, 120, 120, steps=12, ago=20000, labels={"team": "text"},
             code=[CODE, CHANGED]),
        Plan("image model", SGD, ACCURACY, _sgd, 57, 200, running=8, state="running", steps=10, ago=5000,
             code=[CODE], image=IMAGE, resources={"cpu": 2, "memory": 4 * 2**30, "gpu": 0.25},
             gpus=[card.id for card in CARDS[:3]]),
    ]  # fmt: skip
    if large:
        all_plans.insert(0, Plan("large sweep", SGD, ACCURACY, _sgd, large, large, parallelism=200, ago=400000, log=""))
    return all_plans


def draw(parameters: Sequence[Mapping[str, Any]], chance: random.Random) -> dict[str, Any]:
    """A configuration."""
    drawn: dict[str, Any] = {}
    for each in parameters:
        if any(drawn.get(parent) not in values for parent, values in each.get("when", {}).items()):
            continue
        if "choices" in each:
            drawn[each["name"]] = chance.choice(each["choices"])
        elif each["type"] == "int":
            drawn[each["name"]] = chance.randint(each["min"], each["max"])
        elif each.get("log"):
            drawn[each["name"]] = math.exp(chance.uniform(math.log(each["min"]), math.log(each["max"])))
        else:
            drawn[each["name"]] = chance.uniform(each["min"], each["max"])
    return drawn


class Writer:
    """Writes the rows of one plan."""

    def __init__(self, store: Store, plan: Plan, chance: random.Random, bundles: Sequence[str] = ()) -> None:
        self.store, self.plan, self.chance = store, plan, chance
        self.bundles = bundles
        self.clock = SystemClock()
        self.id = new_id(self.clock)
        self.begin = self.clock.now() - plan.ago
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in ("trials", "trial_metrics", "folds", "attempts", "points", "usage", "log_segments", "workers")
        }
        self.counts = dict.fromkeys(("queued", "running", "completed", "failed", "pruned", "cancelled"), 0)
        self.best: tuple[int, float] | None = None
        self.free = [self.begin] * plan.parallelism
        self.workers = [new_id(self.clock) for _ in range(min(plan.parallelism, 8))]

    def write(self) -> str:
        """All rows, in one transaction; the handle."""
        plan = self.plan
        specification = Specification.from_json(
            {
                "name": plan.name, "run": plan.run, "parameters": list(plan.parameters), "metrics": list(plan.metrics),
                "budget": plan.budget, "parallelism": plan.parallelism, "labels": dict(plan.labels),
                "engine": plan.engine, "resources": dict(plan.resources),
                **({"placement": {"image": plan.image}} if plan.image else {}),
            }
        )  # fmt: skip
        for number in range(1, plan.finished + plan.running + 1):
            self._trial(number)
        handle = f"{specification.name[:20].strip().lower().replace(' ', '-')}-{self.id[-4:]}"
        handle = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "x" for c in handle)
        over = plan.state in ("completed", "failed", "stopped")
        values = {
            "id": self.id, "handle": handle, "name": plan.name, "owner": plan.owner, "cluster": "local",
            "folder": "laptop:/home/ada/project", "specification": json.dumps(specification.to_json()),
            "launch": json.dumps({"env": {}, "root": "/home/ada/project"}),
            "bundle": self.bundles[-1] if self.bundles else None, "budget": plan.budget,
            "parallelism": plan.parallelism, "priority": 0, "labels": json.dumps(dict(plan.labels)),
            "desired": "running", "state": plan.state, "reason": json.dumps(dict(plan.reason)) if plan.reason else None,
            "waiting": json.dumps(dict(plan.reason)) if plan.reason and not over else None,
            "ended_by": ("budget" if plan.state == "completed" else "max_failures") if over else None,
            "last_trial": plan.finished + plan.running, "live_attempts": plan.running, "history_seq": plan.finished,
            "event_seq": 1, "log_seq": len(self.rows["log_segments"]), "worker_seq": len(self.workers),
            "best_trial": self.best[0] if self.best else None, "best_value": self.best[1] if self.best else None,
            "created_at": self.begin - 5, "started_at": self.begin if plan.finished + plan.running else None,
            "finished_at": self.begin + plan.ago * 0.9 if over else None, **self.counts,
        }  # fmt: skip
        self._workers(over or (plan.state == "running" and not plan.running))
        with self.store.transaction() as session:
            session.change(insert(tables.experiments).values(**values))
            experiments.add_revision(session, self.id, 1, json.dumps(specification.to_json()), plan.owner)
            for name, rows in self.rows.items():
                if rows:
                    session.connection.execute(insert(tables.metadata.tables[name]), rows)
        return handle

    def _trial(self, number: int) -> None:
        plan, chance = self.plan, self.chance
        parameters = draw(plan.parameters, chance)
        outcome = plan.outcome(parameters, chance)
        running = number > plan.finished
        state, metrics, reason = ("running", {}, None) if running else outcome
        rounds = max(1.0, (plan.finished + plan.running / 2) / plan.parallelism)
        lasted = plan.ago * (0.97 if plan.running else 0.85) / rounds * chance.uniform(0.5, 1.4)
        slot = min(range(plan.parallelism), key=self.free.__getitem__)
        started = self.free[slot] + 1
        finished = None if running else started + lasted
        self.free[slot] = math.inf if running else started + lasted
        self.counts[state] += 1
        if state == "completed":
            metric = plan.metrics[0]
            value = metrics[metric["name"]]
            if self.best is None or (value > self.best[1]) == (metric["goal"] == "maximize"):
                self.best = number, value
        self.rows["trials"].append(
            {
                "experiment": self.id, "number": number, "state": state,
                "reason": json.dumps(reason) if reason else None, "parameters": json.dumps(parameters),
                "source": "sobol" if number < 9 else chance.choice(["gp", "tpe"]),
                "suggested_after": max(0, number - 9), "history_seq": None if running else number,
                "bundle": self._bundle_of(number),
                "seed": chance.randrange(2**31), "revision": 1, "created_at": started - 1, "started_at": started,
                "finished_at": finished,
            }
        )  # fmt: skip
        declared = {metric["name"] for metric in plan.metrics}
        self.rows["trial_metrics"] += [
            {"experiment": self.id, "trial": number, "name": name, "value": value, "stddev": None,
             "is_declared": name in declared}
            for name, value in metrics.items()
        ]  # fmt: skip
        self._attempts(number, state, reason, slot, started, finished, outcome)

    def _bundle_of(self, number: int) -> str | None:
        share = (number - 1) * len(self.bundles) // max(self.plan.finished + self.plan.running, 1)
        return self.bundles[share] if self.bundles else None

    def _attempts(
        self, number: int, state: str, reason: Any, slot: int, started: float, finished: float | None, outcome: Outcome
    ) -> None:
        ends = {"completed": "succeeded", "failed": "failed", "pruned": "pruned", "running": "running"}
        lost = self.plan.finished < 1000 and self.chance.random() < 0.05 and finished is not None
        tokens = [("lost", started - 20, started - 2), (ends[state], started, finished)] if lost else []
        for token, (end, begin, until) in enumerate(tokens or [(ends[state], started, finished)], 1):
            identity = new_id(self.clock)
            text = (
                "".join(
                    self.plan.log.format(epoch=epoch, loss=1 / epoch) for epoch in range(1, 4) if "{" in self.plan.log
                )
                or self.plan.log
            )
            values = self._points(identity, outcome, begin) if end != "lost" else 0
            why = (
                {"code": "worker_lost", "message": "the worker was not heard of for 15 s"} if end == "lost" else reason
            )
            self.rows["attempts"].append(
                {
                    "id": identity, "experiment": self.id, "trial": number, "fold": 0, "attempt_number": token,
                    "state": end, "reason": json.dumps(why) if why else None,
                    "worker": self.workers[slot % len(self.workers)],
                    "lease_call": 1, "node": self.plan.node, "gpus": json.dumps([str(slot % 4)]),
                    "exit_code": None if until is None else int(end == "failed"), "leased_at": begin,
                    "started_at": begin, "finished_at": until, "wall_seconds": until and until - begin,
                    "cpu_seconds": until and (until - begin) * 0.9, "peak_memory": 380 * 2**20, "point_count": values,
                    "log_end": len(text), "log_bytes": None if until is None else len(text), "log_tail": text,
                }
            )  # fmt: skip
            if text and self.plan.finished < 1000:
                seq = len(self.rows["log_segments"]) + 1
                self.rows["log_segments"].append(
                    {"experiment": self.id, "seq": seq, "attempt": identity, "trial": number, "offset": 0,
                     "length": len(text.encode()), "gap": 0, "at": begin + 1, "data": text.encode()}
                )  # fmt: skip
        done = {"completed": "done", "failed": "failed", "pruned": "cancelled", "running": "active"}
        self.rows["folds"].append(
            {"experiment": self.id, "trial": number, "fold": 0, "state": done[state], "lease_token": len(tokens) or 1}
        )

    def _points(self, attempt: str, outcome: Outcome, begin: float) -> int:
        if self.plan.steps:
            samples = [
                [
                    n,
                    4.0 * n,
                    round(1.8 + math.sin(n / 4), 2),
                    (900 + 12 * n) * 2**20,
                    0.7 + 0.2 * math.sin(n),
                    9 * 2**30,
                ]
                for n in range(1, 60)
            ]
            row = {"attempt": attempt, "experiment": self.id, "samples": json.dumps(samples)}
            self.rows["usage"].append(row)
        final = next(iter(outcome[1].values()), 0.7)
        steps = self.plan.steps if outcome[0] != "pruned" else self.plan.steps // 2
        for step in range(1, steps + 1):
            value = final * (1 - math.exp(-step / 2.5)) + self.chance.gauss(0, 0.006)
            self.rows["points"].append(
                {"attempt": attempt, "name": self.plan.metrics[0]["name"], "sequence": step, "value": value,
                 "step": float(step), "at": begin + step}
            )  # fmt: skip
        return steps

    def _workers(self, is_ended: bool) -> None:
        cards = self.plan.gpus
        for index, worker in enumerate(self.workers, 1):
            self.rows["workers"].append(
                {
                    "id": worker, "experiment": self.id, "cluster": "local", "name": f"w{index}",
                    "state": "ended" if is_ended else "alive", "node": self.plan.node, "slots": 1,
                    "gpus": json.dumps([cards[index % len(cards)]]) if cards else None,
                    "succeeded": self.plan.finished // len(self.workers), "created_at": self.begin,
                    "ended_at": self.begin + self.plan.ago if is_ended else None,
                }
            )  # fmt: skip


def seed(core: Core, large: int = 0, odd: bool = True) -> dict[str, str]:
    """Write everything, names that only tests want to see too unless not `odd`; name → handle."""
    chance = random.Random(7)
    with core.store.transaction() as session:
        quarantines.put(session, "local", Quarantine("cpu-node-1", QUARANTINE_REASON, session.now + 1800))
    return {
        plan.name: Writer(core.store, plan, chance, [_bundle(core, files) for files in plan.code]).write()
        for plan in plans(large)
        if odd or plan.name not in (WIDE, HOSTILE)
    }


def _bundle(core: Core, files: Mapping[str, str]) -> str:
    """The digest of the files as a bundle, which is put into the store."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
            (project / name).chmod(0o755 if name.endswith(".sh") else 0o644)
        packed = pack(project, (), 2**20, Path(folder))
        with packed.path.open("rb") as stream:
            bundles.store(core, packed.digest, stream)
    return packed.digest


def core_of(folder: Path, url: str = "") -> Core:
    """A core on the store in `folder` behind which nothing acts."""
    return Core(
        store=open_store(f"sqlite:///{folder / 'orchestune.db'}"),
        files=FolderFiles(folder / "files"),
        secrets=FolderSecrets(folder / "secrets"),
        environments=FolderSecrets(folder / "environments"),
        clock=SystemClock(),
        key=b"k" * 32,
        backends={"local": FakeBackend(Capacity(MACHINES))},
        owners={TOKEN: "ada"},
        url=url,
    )


@contextmanager
def serve(
    core: Core,
    port: int = 0,
    pace: ServerTimeouts = ServerTimeouts(ping=2.0, page_interval=0.2, shared=0.1),  # noqa: B008 (frozen)
) -> Iterator[str]:
    """Answer requests until the block ends; the address."""
    draining, started = DrainSignal(), threading.Event()
    app = create_app(core, on_shutdown=lambda: None, draining=draining, pace=pace)
    server = UvicornServer(Settings(), app, on_started=started.set, on_draining=draining.begin)
    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()
        try:
            assert started.wait(60)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.end()
            thread.join()


def main() -> None:
    """Seed a folder, and serve it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", type=int, default=0, help="trials of the largest experiment")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    new = not (args.folder / "orchestune.db").exists()
    args.folder.mkdir(parents=True, exist_ok=True)
    core = core_of(args.folder)
    if new:
        for name, handle in seed(core, args.large).items():
            print(handle, name[:40])
    with serve(core, args.port) as url:
        print(url, "token", TOKEN, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
