from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.local import backend as local
from orchestune.backends.local import client
from orchestune.backends.local.backend import LocalBackend
from orchestune.backends.local.termination import WorkerTerminator
from orchestune.errors import TemporaryError, UsageError
from orchestune.ports.backend import Phase, WorkerOrder
from orchestune.system.process import Process
from orchestune.worker.journal import DONE
from orchestune.worker.processes.tree import WORKER_VARIABLE
from tests.contract.backend_contract import BackendContract, new_id, new_order, wait_for_phase, wait_until
from tests.contract.backends.places import STAND_IN, ThisMachine
from tests.testbeds.deep import dig
from tests.testbeds.proving import answer_to


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ThisMachine]:
    machine = ThisMachine(tmp_path / "state")
    yield machine
    machine.clear()


class TestLocalBackend(BackendContract):
    """The contract, with a worker that does nothing."""


class TestLocalBackendWithTheRealWorker:
    """Its server is away, which it rides out."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[ThisMachine]:
        machine = ThisMachine(tmp_path / "state", ())
        yield machine
        machine.clear()

    def test_it_speaks_to_the_server_whatever_the_users_python_variables_say(
        self, place: ThisMachine, tmp_path: Path
    ) -> None:
        (tmp_path / "json.py").write_text("raise SystemExit('a module of the user')")
        env = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere", "VIRTUAL_ENV": "/nowhere", "PATH": "/nowhere"}
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60.0)
            place.url = f"http://127.0.0.1:{server.getsockname()[1]}"
            order = new_order({"env": env})
            place.backend().start(order)
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60.0)
                connection.sendall(answer_to(connection.recv(4096), order.token))
                assert f"/api/v1/workers/{order.worker}/register".encode() in connection.recv(4096)

    def test_it_ends_when_it_is_told_to(self, place: ThisMachine) -> None:
        backend, order = place.backend(), new_order()
        handle = backend.start(order)
        wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
        backend.terminate(order.worker, handle, 60.0)
        wait_for_phase(backend, order.worker, handle, Phase.GONE)
        wait_until(lambda: not place.pids(order.worker))


def launch_record(place: ThisMachine, order: WorkerOrder) -> dict[str, Any]:
    path = place.state / "workers" / order.worker / "state" / "seen.json"
    record: dict[str, Any] = {}

    def complete() -> bool:
        try:
            record.update(json.loads(path.read_text()))
        except (OSError, ValueError):
            return False
        return True

    wait_until(complete)
    return record


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_worker_is_told_can_be_read_by_its_owner_alone(place: ThisMachine) -> None:
    order, before = new_order(), os.umask(0o022)
    place.backend().start(order)
    os.umask(before)
    folder = place.state / "workers" / order.worker
    assert [mode(path) for path in (folder.parent, folder, folder / "state")] == [0o700] * 3
    assert [mode(folder / name) for name in ("worker.json", "worker.log", "handle.json")] == [0o600] * 3


def test_the_worker_finds_server_token_slots_and_gpus_in_its_file(place: ThisMachine, tmp_path: Path) -> None:
    order = new_order()
    LocalBackend(place.state, tmp_path / "endpoint.json", None, STAND_IN).start(order)
    order_document = launch_record(place, order)["order"]
    assert order_document == {
        "url": None,
        "endpoint": str(tmp_path / "endpoint.json"),
        "token": order.token,
        "worker": order.worker,
        "slots": 2,
        "state": str(place.state / "workers" / order.worker / "state"),
        "cores": str(place.state / "cores"),
        "gpus": ["0", "1"],
        "tags": {},
        "retained": str(place.state / "workers" / order.worker / "retained"),
    }


def test_the_worker_has_the_environment_of_the_shell_and_nothing_that_opens_the_server(
    place: ThisMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_THE_SERVERS", "x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    env = {
        "PATH": "/mine",
        "PYTHONPATH": "/lib",
        "CONDA_PREFIX": "/c",
        "ORCHESTUNE_TOKEN": "t",
        "ORCHESTUNE_SERVER": "s",
    }
    order = new_order({"env": env})
    place.backend().start(order)
    environment = launch_record(place, order)["environment"]
    assert (environment["PATH"], environment["PYTHONPATH"], environment["CONDA_PREFIX"]) == ("/mine", "/lib", "/c")
    assert environment["LC_ALL"] == "C.UTF-8"
    assert not {"ONLY_THE_SERVERS", "ORCHESTUNE_TOKEN", "ORCHESTUNE_SERVER"} & set(environment)


def test_a_worker_that_dies_at_once_is_gone_with_its_exit_code_and_last_words(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order({"env": {"STAND_IN": "dies"}})
    handle = backend.start(order)
    reason = wait_for_phase(backend, order.worker, handle, Phase.GONE).reason
    assert "exit code 3" in reason
    assert "the moon is full" in reason


def test_a_worker_that_was_killed_is_gone_with_its_signal(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    os.kill(handle["pid"], signal.SIGKILL)
    assert "SIGKILL" in wait_for_phase(backend, order.worker, handle, Phase.GONE).reason


def test_the_token_of_a_worker_that_is_gone_is_removed_and_its_log_stays(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order({"env": {"STAND_IN": "dies"}})
    handle = backend.start(order)
    wait_for_phase(backend, order.worker, handle, Phase.GONE)
    folder = place.state / "workers" / order.worker
    assert not (folder / "worker.json").exists()
    wait_until(lambda: not (folder / "state").exists())
    assert "the moon" in (folder / "worker.log").read_text()


def test_what_a_worker_left_while_no_server_ran_is_cleaned_up(place: ThisMachine) -> None:
    order = new_order()
    handle = place.backend().start(order)
    place.kill(order.worker, handle)
    os.waitpid(handle["pid"], 0)
    folder = place.state / "workers" / order.worker
    (folder.parent / ".not a worker").mkdir()
    place.backend().observe({})
    wait_until(lambda: not (folder / "worker.json").exists() and not (folder / "state").exists())


def test_what_was_cleaned_up_is_left_alone_by_later_servers_until_its_log_is_old(
    place: ThisMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, order = place.backend(), new_order({"env": {"STAND_IN": "dies"}})
    wait_for_phase(backend, order.worker, backend.start(order), Phase.GONE)
    folder = place.state / "workers" / order.worker
    wait_until(lambda: not (folder / "state").exists())
    folders = list[Path]()
    monkeypatch.setattr(
        WorkerTerminator, "take", lambda _, process, folder_entry, kill_at, **how: folders.append(folder_entry.path)
    )
    monkeypatch.setattr(local, "_SWEEP_SECONDS", 0.0)
    later = place.backend()
    later.observe({})
    assert folders == [] and folder.is_dir()
    os.utime(folder, (0.0, 0.0))
    later.observe({order.worker: {}})
    assert folder.is_dir()
    later.observe({})
    assert not folder.exists()


def test_what_trials_wrote_outlives_their_worker_for_a_day(place: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, order = place.backend(), new_order({"env": {"STAND_IN": "dies"}})
    retained = place.state / "workers" / order.worker / "retained"
    retained.mkdir(parents=True)
    wait_for_phase(backend, order.worker, backend.start(order), Phase.GONE)
    wait_until(lambda: not (retained.parent / "state").exists())
    monkeypatch.setattr(local, "_SWEEP_SECONDS", 0.0)
    later = place.backend()
    later.observe({})
    assert retained.is_dir()
    os.utime(retained, (0.0, 0.0))
    later.observe({})
    assert not retained.exists() and retained.parent.is_dir()


def test_more_folders_in_folders_than_python_recurses_that_a_killed_worker_left_are_removed(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    state = place.state / "workers" / order.worker / "state"
    dig(state, 1200, 0o700)
    place.kill(order.worker, handle)
    wait_for_phase(backend, order.worker, handle, Phase.GONE)
    wait_until(lambda: not state.exists())


def test_what_a_killed_worker_leaves_behind_is_killed_too(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    launch_record(place, order)
    wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
    survivor = subprocess.Popen(  # as a guard or a process group of the worker would be: of its environment
        ["sleep", "3600"], env={"ORCHESTUNE_WORKER_FILE": f"{place.state}/workers/{order.worker}/worker.json"}
    )
    place.kill(order.worker, handle)
    wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert survivor.wait(60) == -signal.SIGKILL


def start_survivor(worker: str) -> subprocess.Popen[bytes]:
    """Forgets its worker but for a parent, as programs do that are started in an environment of their own."""
    script = "env -i sleep 3600 & setsid sleep 3600 & wait"
    return subprocess.Popen(["sh", "-c", script], env={"PATH": os.environ["PATH"], WORKER_VARIABLE: worker})


def test_trials_of_a_worker_that_was_killed_with_its_guard_are_killed_before_it_counts_as_gone(
    place: ThisMachine,
) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    launch_record(place, order)
    other_worker = new_id()
    survivor, other = start_survivor(order.worker), start_survivor(other_worker)
    wait_until(lambda: len(client.left_by_trials(order.worker)) == 3)
    below = client.left_by_trials(order.worker)
    place.kill(order.worker, handle)
    try:
        wait_for_phase(backend, order.worker, handle, Phase.GONE)
        assert survivor.wait(10) == -signal.SIGKILL
        wait_until(lambda: not any(process.alive() for process in below))
        assert other.poll() is None
    finally:
        client.kill_all(lambda: client.left_by_trials(other_worker))
        other.wait()


def test_a_server_that_a_trial_started_ends_neither_itself_nor_what_it_started() -> None:
    script = (
        "import subprocess; from orchestune.backends.local.client import left_by_trials\n"
        "child = subprocess.Popen(['sleep', '3600'], env={})\n"
        "print(left_by_trials('w')); child.kill()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), WORKER_VARIABLE: "w"}
    assert subprocess.check_output([sys.executable, "-c", script], env=env) == b"set()\n"


def test_what_trials_of_a_worker_that_ended_in_good_order_handed_to_others_goes_on(place: ThisMachine) -> None:
    worker = new_id()
    handle = started_by_another_server(place, worker, sys.executable, "-c", f"print({DONE!r})")
    process = subprocess.Popen(["sleep", "3600"], env={WORKER_VARIABLE: worker})
    assert wait_for_phase(place.backend(), worker, handle, Phase.GONE).reason == "the worker ended"
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_process_that_got_the_pid_of_a_worker_is_not_taken_for_it_nor_ended(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    try:
        stranger = {**handle, "pid": other.pid, "started": handle["started"] - 1}
        (sighting,) = backend.observe({order.worker: stranger})
        assert sighting.phase is Phase.GONE
        backend.terminate(order.worker, stranger, 0.0)
        backend.terminate(order.worker, handle, 0.0)
        wait_until(lambda: not place.pids(order.worker))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_worker_of_another_run_of_the_machine_is_gone(place: ThisMachine) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    (sighting,) = backend.observe({order.worker: {**handle, "boot": "another"}})
    assert sighting.phase is Phase.GONE
    assert "machine" in sighting.reason


def test_a_server_that_dies_between_spawn_and_note_finds_the_worker_again(place: ThisMachine) -> None:
    order = new_order()
    handle = place.backend().start(order)
    (place.state / "workers" / order.worker / "handle.json").unlink()
    assert place.backend().start(order) == handle
    assert len(place.pids(order.worker)) == 1


def test_a_server_that_dies_between_claim_and_spawn_starts_the_worker_later(place: ThisMachine) -> None:
    order = new_order()
    folder = place.state / "workers" / order.worker
    folder.mkdir(parents=True)
    (folder / "claim").touch()
    handle = place.backend().start(order)
    assert wait_for_phase(place.backend(), order.worker, handle, Phase.RUNNING).backend_ref == handle


def test_many_starts_of_one_id_at_once_start_one_worker(place: ThisMachine) -> None:
    order, handles = new_order(), []
    threads = [threading.Thread(target=lambda: handles.append(place.backend().start(order))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 8
    assert all(handle == handles[0] for handle in handles)
    assert len(place.pids(order.worker)) == 1


def started_by_another_server(place: ThisMachine, worker: str, *program: str) -> Any:
    """The handle of a worker whose server was killed right after."""
    server = (
        "import json, os, sys; from pathlib import Path\n"
        "from orchestune.backends.local.backend import LocalBackend; from orchestune.ports.backend import WorkerOrder\n"
        "backend = LocalBackend(Path(sys.argv[1]), None, 'http://127.0.0.1:9', sys.argv[3:])\n"
        "print(json.dumps(backend.start(WorkerOrder(sys.argv[2], 'e', 't', 1))), flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", server, str(place.state), worker, *program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


def test_a_worker_outlives_the_server_that_started_it(place: ThisMachine) -> None:
    worker, backend = new_id(), place.backend()
    handle = started_by_another_server(place, worker, *STAND_IN)
    assert wait_for_phase(backend, worker, handle, Phase.RUNNING).backend_ref == handle
    backend.terminate(worker, handle, 60.0)
    assert wait_for_phase(backend, worker, handle, Phase.GONE).reason == "the worker was asked to terminate"


@pytest.mark.parametrize(
    ("words", "reason"),
    [("2026 " + DONE, "the worker ended"), ("boom", "the worker's process is gone; its last lines:\nboom")],
)
def test_how_a_worker_of_an_earlier_server_ended_is_read_in_its_log(
    place: ThisMachine, words: str, reason: str
) -> None:
    worker = new_id()
    handle = started_by_another_server(place, worker, sys.executable, "-c", f"print({words!r})")
    assert wait_for_phase(place.backend(), worker, handle, Phase.GONE).reason == reason


def test_a_program_that_is_not_there_may_be_tried_again_and_leaves_no_token(tmp_path: Path) -> None:
    backend, order = LocalBackend(tmp_path, None, None, ("/no/such/program",)), new_order()
    with pytest.raises(TemporaryError, match=r"^it cannot be started"):
        backend.start(order)
    assert not (tmp_path / "workers" / order.worker / "worker.json").exists()


def test_a_state_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TemporaryError, match="Not a directory"):
        LocalBackend(tmp_path / "file", None, None, STAND_IN).start(new_order())


def test_an_id_that_is_no_name_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        LocalBackend(tmp_path, None, None, STAND_IN).start(WorkerOrder("../x", "e", "t", 1))


def test_processes_are_found_and_signalled_by_identity_and_not_by_number() -> None:
    child = subprocess.Popen(["sleep", "3600"])
    process = Process.of(child.pid)
    assert process is not None
    assert process.alive()
    former = Process(process.pid, process.started - 1, process.boot)
    assert not former.alive()
    assert not former.send(signal.SIGKILL)
    assert process.send(signal.SIGKILL)
    child.wait()
    assert not process.alive()
    assert not process.send(signal.SIGKILL)
    assert Process.of(child.pid) != process
    assert Process.from_json(process.to_json()) == process
    assert Process.from_json({"pid": "x"}) is None


def test_a_process_that_ended_and_was_not_waited_for_does_not_run(tmp_path: Path) -> None:
    process = client.spawn(["true"], {}, tmp_path, tmp_path / "log")
    wait_until(lambda: not process.alive())
    assert Process.of(process.pid) == process
    assert client.exit_code(process) == 0
    assert client.exit_code(process) is None
