"""A core in this process with a fake clock, and worker processes of which each call and its answer is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from orchestune.errors import OrchestuneError
from orchestune.services.commands import create_experiment
from orchestune.services.execution import register_worker, report_metrics, uploads
from orchestune.services.execution.worker_call import CallResult, work
from orchestune.services.queries import read_experiments, read_trials
from orchestune.services.signatures import report_signature
from orchestune.wire import files, registration
from orchestune.wire.answers import encode
from orchestune.wire.registration import PROTOCOL
from orchestune.wire.work import decode
from orchestune.worker.connection.api import encoded
from tests.contract.world import SMALL, CoreWorld, FakeBackend
from tests.golden.normalize import Placeholders, rounded

Document = dict[str, Any]
HELLO = hashlib.sha256(b"hello").hexdigest()
FAILED: Document = {
    "state": "failed",
    "exit_code": 1,
    "points": [],
    "reason": {"code": "exit_code", "message": "exited with code 1"},
}
PREEMPTED: Document = {
    "state": "preempted",
    "points": [],
    "reason": {"code": "worker_stopped", "message": "the worker was asked to stop"},
}


def _sent(answer: Any) -> Any:
    """Return an answer as the worker receives it."""
    if isinstance(answer, CallResult):
        answer = answer.answer
    return msgspec.json.decode(encode(answer)) if isinstance(answer, msgspec.Struct) else answer


class Stage:
    """A world of one scenario and its transcript.

    Configurations come from `try_first`, so that no engine decides what a transcript says.
    """

    def __init__(self, folder: Path) -> None:
        self.world = CoreWorld(folder, backend=FakeBackend(SMALL))
        self.core = self.world.core
        self.experiments: list[str] = []
        self._handles: dict[str, str] = {}
        self._blocks: list[str] = []

    def close(self) -> None:
        """Close the store."""
        self.world.close()

    def create(self, **changes: Any) -> str:
        """Create an experiment with configurations x = 0.1, 0.2, …; return its id. `CoreWorld.request` has the rest."""
        budget = changes.get("budget", 3)
        first = [{"x": round((number + 1) / 10, 1)} for number in range(min(budget, 9))]
        owner = changes.pop("owner", "ada")
        secrets = changes.pop("secret_values", {})
        specification = {"budget": budget, "parallelism": 1, "seed": 1, "try_first": first} | changes
        request = replace(self.world.request(**specification), secrets=secrets)
        return self.named(create_experiment.create_experiment(self.core, request, owner))

    def named(self, status: Mapping[str, Any]) -> str:
        """Give the handle of an experiment a stable ending (test-aaaa, test-bbbb, …); its id."""
        handle = str(status["handle"])
        self._handles[handle] = f"{handle[:-4]}{chr(ord('a') + len(self._handles)) * 4}"
        self.experiments.append(str(status["id"]))
        return self.experiments[-1]

    def tick(self, times: int = 1) -> None:
        """Let every controller act; workers that were started wait for `process`."""
        for _ in range(times):
            for controller in self.world.controllers:
                controller.tick()

    def process(self, place: int = -1, boot: int = 1) -> Process:
        """The process number `boot` of a worker that was started: by default of the last one that was."""
        return Process(self, list(self.world.backend.orders)[place], boot)

    def worker(self, **changes: Any) -> Process:
        """Start the workers that are missing, and register the last one."""
        self.tick()
        process = self.process()
        process.register(**changes)
        return process

    def two(self) -> tuple[Process, Process]:
        """Start the first two workers, of one slot each, and register both."""
        self.tick()
        first, second = self.process(0), self.process(1)
        first.register()
        second.register()
        return first, second

    def silence(self, seconds: float) -> None:
        """Let time pass in which no worker calls and the server listens, without work for the other controllers."""
        self.note(f"no call arrives for {seconds:g} s")
        self.world.hear_nothing(seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.pass_time(seconds)

    # the transcript

    def note(self, text: str) -> None:
        """Write a comment."""
        self._blocks.append(f"# {text}\n")

    def record(self, title: str, call: Mapping[str, Any], action: Callable[[], Any]) -> Any:
        """Write a call with its answer, or with the error that it raised; None for an error."""
        try:
            answer = _sent(action())
        except OrchestuneError as error:
            answer, written = None, {"error": {"status": error.status, "code": error.code, **_words(error)}}
        else:
            written = {"answer": answer}
        call = {name: value for name, value in call.items() if value not in ([], None)}
        self._blocks.append(f"{title}\n{_indented(_yaml({'call': call}) + _yaml(written))}")
        return answer

    def clear(self) -> None:
        """Forget the transcript so far: the calls are of no interest to a test of what they cause."""
        self._blocks.clear()

    def show(self, title: str, document: Any) -> None:
        """Write a document."""
        self._blocks.append(f"{title}\n{_indented(_yaml(document))}")

    def outcome(self, experiment: str) -> None:
        """Write what became of an experiment: its state, its trials and their attempts."""
        status = read_experiments.status(self.core, experiment)
        trials = [self._trial(experiment, item["number"]) for item in self.world.trials(experiment)]
        counts = {state: count for state, count in status["counts"].items() if count}
        self.show(
            "outcome",
            {"state": status["state"], "reason": _message(status["reason"]), "counts": counts, "trials": trials},
        )

    def _trial(self, experiment: str, number: int) -> Document:
        trial = read_trials.trial(self.core, experiment, number)
        return {
            "trial": number,
            "state": trial["state"],
            "reason": _message(trial["reason"]),
            "metrics": {name: value["value"] for name, value in trial["metrics"].items()},
            "attempts": [
                {
                    "number": attempt["number"],
                    "fold": attempt["fold"],
                    "state": attempt["state"],
                    "reason": _message(attempt["reason"]),
                }
                for attempt in trial["attempts"]
            ],
        }

    def events(self, experiment: str) -> None:
        """Write every event of an experiment, one a line: number, actor, kind, data."""
        items = read_experiments.events(self.core, experiment, 0, 10_000)["items"]
        self._blocks.append("".join(_event(item) for item in items))

    @property
    def text(self) -> str:
        """The transcript with placeholders."""
        return Placeholders(self._handles).of("\n".join(self._blocks))


class Process:
    """One process of a worker: it sends what a test orders, and remembers its leases."""

    def __init__(self, stage: Stage, worker: str, boot: int = 1) -> None:
        self.stage, self.id, self.boot = stage, worker, f"boot-{boot}"
        self.name = f"worker {list(stage.world.backend.orders).index(worker) + 1}" if worker else "worker"
        self.beat = 0
        self.leases: dict[str, Document] = {}

    def register(self, *, full: bool = False, **changes: Any) -> Document | None:
        """Register. The answer's token and `job` are written down with `full` alone."""
        body = {"protocol": PROTOCOL, "boot": self.boot, "node": "node-1"} | changes
        answers: list[Document] = []

        def action() -> Document:
            answers.append(
                _sent(register_worker.register(self.stage.core, self.id, registration.decode(encoded(body))))
            )
            left_out = () if full else ("job", "token", "protocol", "beat_seconds", "lease_seconds")
            return {name: value for name, value in answers[0].items() if name not in left_out}

        self.stage.record(f"{self.name} register", body, action)
        return answers[0] if answers else None

    def work(
        self,
        want: int = 0,
        finished: Sequence[Document] = (),
        beats: Sequence[Document] = (),
        *,
        lost: bool = False,
        **more: Any,
    ) -> Document:
        """Call `work`; the answer, which is empty for an error. `lost`: the answer never reaches the worker."""
        self.beat += 1
        body: Document = {"boot": self.boot, "beat": self.beat, "want": want, "live": list(self.leases)}
        body |= {"finished": list(finished), "beats": list(beats)} | more
        body = {name: value for name, value in body.items() if value is not None}
        title = f"{self.name} work" + (" (the answer is lost)" if lost else "")
        answer: Document | None = self.stage.record(title, body, lambda: self._send(work, decode, body))
        if answer is None:
            return {"acks": [], "orders": [], "leases": []}
        if not lost:
            for item in finished:
                self.leases.pop(item["attempt"], None)
            self.leases |= {lease["attempt"]: lease for lease in answer["leases"]}
        return answer

    def _send(self, service: Callable[..., Any], decoder: Callable[[bytes], Any], body: Document) -> Any:
        """Call a service with the decoded body, as its route does."""
        return service(self.stage.core, self.id, decoder(encoded(body)))

    def lease(self) -> Document:
        """Call `work` for one lease."""
        [lease] = self.work(want=1)["leases"]
        assert isinstance(lease, dict)
        return lease

    def end(self, lease: Document, value: float | None = None, **changes: Any) -> Document:
        """The report of a command that printed `loss=…` and succeeded, with `changes`."""
        value = lease["parameters"]["x"] if value is None else value
        text = f"loss={value}\n"
        report: Document = {
            "attempt": lease["attempt"], "token": lease["token"], "state": "succeeded", "exit_code": 0, "signal": None,
            "reason": None, "wall": 0.5, "cpu": 0.25, "memory": 1 << 20, "points": [[0, "loss", value, None, None]],
            "logs": [[0, text, 0]], "log_bytes": len(text), "tail": text,
        }  # fmt: skip
        return report | changes

    def started(self, lease: Document, **more: Any) -> Document:
        """The report of a command that has started."""
        return {"attempt": lease["attempt"], "token": lease["token"], "started": True, "age": 0.1, **more}

    def measured(self, lease: Document, value: float | str, step: float, sequence: int = 0) -> Document:
        """The report of one value at a step."""
        return self.started(lease, points=[[sequence, "loss", value, step, None]])

    def finish(self, lease: Document, value: float | None = None, **changes: Any) -> Document:
        """Report the end of a lease."""
        return self.work(finished=[self.end(lease, value, **changes)])

    def upload(self, content: bytes = b"hello") -> str:
        """Upload a file; its digest."""
        digest = hashlib.sha256(content).hexdigest()
        call = {"digest": digest, "offset": 0, "content": content.decode()}
        self.stage.record(
            f"{self.name} upload", call, lambda: uploads.append(self.stage.core, self.id, digest, 0, content)
        )
        return digest

    def checkpoint(self, lease: Document, **fields: Any) -> None:
        """Publish a checkpoint."""
        body = {"attempt": lease["attempt"], "token": lease["token"], "digest": HELLO, "size": 5, **fields}
        self.stage.record(
            f"{self.name} checkpoint",
            body,
            lambda: self._send(uploads.checkpoint, files.decode_checkpoint, body),
        )

    def artifacts(self, lease: Document, *paths: str, **fields: Any) -> None:
        """Hand in files, all with the content `hello`."""
        documents = [{"path": path, "digest": HELLO, "size": 5} for path in paths]
        body = {"attempt": lease["attempt"], "token": lease["token"], "files": documents, **fields}
        self.stage.record(
            f"{self.name} artifacts",
            body,
            lambda: self._send(uploads.keep_artifacts, files.decode_artifacts, body),
        )

    def job(self, revision: int = 1) -> None:
        """Fetch the job of a revision."""
        self.stage.record(
            f"{self.name} job",
            {"revision": revision},
            lambda: register_worker.job(self.stage.core, self.id, revision),
        )

    def http(self, lease: Document, values: Mapping[str, Any], signature: str = "") -> None:
        """Report values by HTTP, as the user's command does."""
        attempt, core = lease["attempt"], self.stage.core
        signature = signature or report_signature(core, attempt)
        call = {"attempt": attempt, "signature": signature, "values": dict(values)}
        self.stage.record("command report", call, lambda: report_metrics.report(core, attempt, signature, values))

    def should_stop(self, lease: Document) -> None:
        """Ask by HTTP whether the trial should stop."""
        attempt, core = lease["attempt"], self.stage.core
        signature = report_signature(core, attempt)
        call = {"attempt": attempt}
        self.stage.record("command should_stop", call, lambda: report_metrics.should_stop(core, attempt, signature))


def _message(reason: Mapping[str, Any] | None) -> str | None:
    return None if reason is None else f"{reason['code']}: {reason['message']}"


def _words(error: OrchestuneError) -> Document:
    return {"message": error.message, "hint": error.hint}


def _event(item: Mapping[str, Any]) -> str:
    data = json.dumps(rounded(item["data"]), sort_keys=True, ensure_ascii=False)
    return f"{item['seq']:>3} {item['actor']:<6} {item['kind']:<20} {data}\n"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as one line with escapes, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _yaml(document: Any) -> str:
    return yaml.dump(
        rounded(document), Dumper=_Dumper, sort_keys=True, default_flow_style=None, width=10_000, allow_unicode=True
    )


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
