from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.docker.client import DaemonError, DaemonUnreachable, DockerEngine
from orchestune.backends.docker.plan import ContainerDefaults, DockerHost
from orchestune.backends.docker.startup import ContainerStarter
from orchestune.backends.docker.worker_folder import WorkerFolder
from orchestune.backends.worker_notes import WorkerEnd
from orchestune.domain.resources.placement import Placement
from orchestune.ports.backend import WorkerLoss, WorkerOrder
from tests.contract.backend_contract import wait_until

SITE = ContainerDefaults("x", DockerHost("lab", 2.0, 2**30, "amd64"), "/runtime", "http://127.0.0.1:1")


class Daemon(DockerEngine):
    """Does what it is ordered to and remembers it. `pulled` is set once the image may come."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.pulled = threading.Event()
        self.answer: DaemonError | None = None
        self.failures: list[Exception] = []

    def image(self, reference: str) -> Mapping[str, Any] | None:
        return {"Id": "sha256:1"} if self.pulled.is_set() and self.answer is None else None

    def pull(self, reference: str) -> Iterator[Mapping[str, Any]]:
        self.calls.append(f"pull {reference}")
        while not self.pulled.wait(0.01):
            yield {"status": "Waiting"}
        if self.answer is not None:
            raise self.answer

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        return None

    def create(self, name: str, config: Mapping[str, Any]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(f"create {config['Image']}")

    def put(self, name: str, folder: str, archive: bytes) -> None:
        self.calls.append(f"put {folder}")

    def start(self, name: str) -> None:
        self.calls.append("start")

    def remove(self, name: str) -> None:
        self.calls.append("remove")


def take(starting: ContainerStarter, tmp_path: Path, name: str) -> WorkerFolder:
    order = WorkerOrder(name, "e", "token", 1, placement=Placement("lab/train:1"))
    folder = WorkerFolder(tmp_path, name)
    folder.take(order)
    starting.take(folder, order)
    return folder


def new(daemon: Daemon, tmp_path: Path) -> ContainerStarter:
    return ContainerStarter(daemon, lambda: SITE, lambda: tmp_path)


def test_of_many_workers_that_wait_for_an_image_one_pulls_it(tmp_path: Path) -> None:
    daemon = Daemon()
    starting = new(daemon, tmp_path)
    folders = [take(starting, tmp_path, f"w{index}") for index in range(5)]
    wait_until(lambda: daemon.calls)
    assert starting.waiting("w4") == "pulling the image lab/train:1"
    daemon.pulled.set()
    wait_until(lambda: all(folder.started() for folder in folders))
    wait_until(lambda: starting.waiting("w4") is None)
    assert daemon.calls.count("pull lab/train:1") == 1
    assert daemon.calls.count("start") == 5
    assert daemon.calls.index("put /orchestune/worker") < daemon.calls.index("start")


def test_an_image_that_cannot_be_had_is_asked_for_once_for_all_that_wait(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.answer = DaemonError("manifest unknown", answer=404)
    starting = new(daemon, tmp_path)
    folders = [take(starting, tmp_path, f"w{index}") for index in range(5)]
    daemon.pulled.set()
    wait_until(lambda: all(folder.end() for folder in folders))
    ends = [folder.end() for folder in folders]
    assert all(end and end.loss is WorkerLoss.REFUSED and "manifest unknown" in end.reason for end in ends)
    assert daemon.calls == ["pull lab/train:1"]


def test_a_worker_that_is_dropped_while_its_image_is_pulled_is_never_created(tmp_path: Path) -> None:
    daemon = Daemon()
    starting = new(daemon, tmp_path)
    folder = take(starting, tmp_path, "w")
    wait_until(lambda: daemon.calls)
    starting.drop("w")
    wait_until(lambda: starting.waiting("w") is None)
    assert daemon.calls == ["pull lab/train:1"]
    assert folder.started() is None


def test_a_daemon_that_is_away_is_waited_for(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.pulled.set()
    daemon.failures = [DaemonUnreachable("Docker does not run", "start it")]
    starting = new(daemon, tmp_path)
    folder = take(starting, tmp_path, "w")
    wait_until(lambda: folder.started())
    assert folder.end() is None


def test_what_the_daemon_says_of_an_order_is_final_and_its_own_failure_is_not(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.pulled.set()
    cases = {
        "invalid mount": (DaemonError("invalid mount", answer=400), WorkerLoss.REFUSED),
        "no space left": (DaemonError("no space left", answer=500), WorkerLoss.UNKNOWN),
        "driver": (
            DaemonError('could not select device driver "" with capabilities: [[gpu]]', answer=500),
            WorkerLoss.REFUSED,
        ),
    }
    for index, (error, loss) in enumerate(cases.values()):
        daemon.failures = [error]
        folder = take(new(daemon, tmp_path), tmp_path, f"w{index}")
        wait_until(lambda folder=folder: folder.end())  # type: ignore[misc]
        assert folder.end() == WorkerEnd(loss, error.message)
    assert "remove" in daemon.calls


class Full(WorkerFolder):
    """On a disk that takes nothing more."""

    def note_end(self, end: WorkerEnd, lines: list[str]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_verdicts_that_a_full_disk_does_not_take_keep_nobody_from_being_started(tmp_path: Path) -> None:
    daemon = Daemon()
    daemon.pulled.set()
    starting = new(daemon, tmp_path)
    daemon.failures = [DaemonError("invalid mount", answer=400) for _ in range(3)]
    for index in range(3):
        order = WorkerOrder(f"full{index}", "e", "token", 1, placement=Placement("lab/train:1"))
        full = Full(tmp_path, order.worker)
        full.take(order)
        starting.take(full, order)
    wait_until(lambda: all(starting.waiting(f"full{index}") is None for index in range(3)))
    folder = take(starting, tmp_path, "w")
    wait_until(lambda: folder.started())


def test_images_that_run_as_another_user_of_the_machine_are_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class OfMallory(Daemon):
        def image(self, reference: str) -> Mapping[str, Any] | None:
            return {"Id": "sha256:1", "Config": {"User": "1001"}}

    monkeypatch.setattr("orchestune.backends.docker.preflight.account_of_image", lambda user, host: "mallory")
    daemon = OfMallory()
    starting = new(daemon, tmp_path)
    for name in ("a" * 8, "b" * 8):
        take(starting, tmp_path, name)
    wait_until(lambda: daemon.calls.count("start") == 2)
    warnings = [record.getMessage() for record in caplog.records if "mallory" in record.getMessage()]
    assert len(warnings) == 1 and "run with the uid 1001, which is the user 'mallory'" in warnings[0]
