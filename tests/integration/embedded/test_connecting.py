"""Commands find the embedded server, or start exactly one, after any failure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from orchestune.cli.main import main
from orchestune.client.local.embedded import connect, end
from orchestune.client.local.endpoint import EmbeddedEndpoint, SocketAddress
from orchestune.client.local.home import state_folder
from orchestune.client.local.outdated import changed
from orchestune.errors import Unreachable, UsageError
from orchestune.system.process import Process, boot_id, has_variable
from tests.testbeds.disks import small_disk
from tests.testbeds.waiting import until

SERVER = Path(__file__).with_name("stand_in_server.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Home:
    """One user's state folder, and the servers that were started for it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.environ = {"ORCHESTUNE_HOME": str(state), "PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
        self.notes: list[str] = []

    def program(self, *wrong: str, version: str = "1.0") -> Sequence[str]:
        return (sys.executable, str(SERVER), str(self.state), version, *wrong)

    def connect(
        self,
        *wrong: str,
        timeout: float = 60.0,
        version: str = "1.0",
        hang: float = 60.0,
        restart: bool = False,
    ) -> SocketAddress:
        program = self.program(*wrong, version=version)
        return connect(
            timeout,
            note=self.notes.append,
            environ=self.environ,
            program=program,
            version=version,
            hang=hang,
            restart=restart,
        )

    def endpoint(self) -> EmbeddedEndpoint:
        current = EmbeddedEndpoint.read(self.state / "endpoint.json")
        assert current is not None
        return current

    def pids(self, name: str = "serving") -> list[int]:
        path = self.state / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def kill(self) -> None:
        """Kill every server of this folder, and wait for the end of those that are children of this process."""
        for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal()]:
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if str(SERVER).encode() in words and str(self.state).encode() in words:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, to be mounted again as a test wants it."""
    with small_disk(tmp_path / "disk", 4) as disk:
        yield disk


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "state")
    yield place
    place.kill()


def test_the_first_command_starts_the_server_and_the_next_one_uses_it(home: Home) -> None:
    first = home.connect()
    assert home.connect() == first
    assert len(home.pids("starts")) == 1
    assert first == home.endpoint().address


def test_ten_commands_that_race_start_one_server(home: Home) -> None:
    script = (
        "import sys; from orchestune.client.local.embedded import connect; "
        "print(*connect(timeout=90, program=sys.argv[1:]))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, *home.program(version="0.1.0")],
            env={**ENVIRONMENT, **home.environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    answers = {racer.communicate()[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 10
    assert answers == {f"{home.endpoint().url} {home.endpoint().token} \n"}
    assert len(home.pids("starts")) == 1


def test_the_server_has_the_environment_that_was_given(home: Home) -> None:
    home.environ["ORCHESTUNE_LEASE_SECONDS"] = "7"
    home.connect()
    assert has_variable(home.endpoint().process.pid, b"ORCHESTUNE_LEASE_SECONDS=7")


def test_the_name_of_another_server_is_not_for_this_one(home: Home) -> None:
    home.environ["ORCHESTUNE_SERVER"] = "https://tune.example.org"
    assert home.connect()[0] == home.endpoint().url
    assert not has_variable(home.endpoint().process.pid, b"ORCHESTUNE_SERVER=https://tune.example.org")


def test_the_configuration_file_of_a_trial_is_not_for_the_server_that_its_command_starts(home: Home) -> None:
    home.environ.update(ORCHESTUNE_PARAMS="parameters.json", ORCHESTUNE_CONFIG="base.yml")
    home.connect()
    assert not has_variable(home.endpoint().process.pid, b"ORCHESTUNE_CONFIG=base.yml")


def test_a_server_is_started_anew_with_the_environment_of_now(home: Home) -> None:
    first = home.connect()
    former = home.endpoint().process
    home.environ["DOCKER_HOST"] = "unix:///another"
    assert home.connect(restart=True) == first  # the address stays
    assert not former.alive()
    assert has_variable(home.endpoint().process.pid, b"DOCKER_HOST=unix:///another")
    assert len(home.pids("starts")) == 2


def test_anew_where_none_runs_is_a_start(home: Home) -> None:
    home.connect(restart=True)
    assert len(home.pids("starts")) == 1


def test_code_that_was_changed_after_the_server_began_is_noticed(home: Home, tmp_path: Path) -> None:
    module = tmp_path / "orchestune/engines/samplers/gp.py"
    module.parent.mkdir(parents=True)
    module.touch()
    assert changed(home.state, module.parents[2]) == ""  # nothing runs
    home.connect()
    began = (home.state / "endpoint.json").stat().st_mtime
    os.utime(module, (began - 1, began - 1))
    assert changed(home.state, module.parents[2]) == ""
    os.utime(module, (began + 1, began + 1))
    assert changed(home.state, module.parents[2]) == "orchestune/engines/samplers/gp.py"


def test_code_that_cannot_be_read_fails_no_command(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, scan = tmp_path / "orchestune", os.scandir
    for name in ("closed", "open"):
        (package / name).mkdir(parents=True)
    (package / "open/gone.py").symlink_to(tmp_path / "nowhere")
    home.connect()

    def scandir(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert changed(home.state, package) == ""
    began = (home.state / "endpoint.json").stat().st_mtime
    (package / "open/last.py").touch()
    os.utime(package / "open/last.py", (began + 1, began + 1))
    assert changed(home.state, package) == "orchestune/open/last.py"


def test_the_server_outlives_the_command_in_a_session_of_its_own(home: Home) -> None:
    home.connect()
    pid = home.endpoint().process.pid
    assert os.getsid(pid) == pid


def test_after_kill_minus_nine_the_next_command_starts_a_new_server_at_the_same_address(home: Home) -> None:
    first = home.connect()
    former = home.endpoint().process
    former.send(signal.SIGKILL)
    until("its end", lambda: not former.alive())
    assert home.connect() == first
    assert home.endpoint().process != former
    assert len(home.pids()) == 2


def test_a_file_of_a_server_that_is_gone_is_not_believed(home: Home) -> None:
    home.state.mkdir()
    child = subprocess.Popen(["true"])
    dead = Process.of(child.pid)
    assert dead is not None
    child.wait()
    EmbeddedEndpoint("http://127.0.0.1:9", "t", dead, "1.0").write(home.state / "endpoint.json")
    assert home.connect()[0] != "http://127.0.0.1:9"


def test_a_process_that_got_the_pid_of_the_server_is_left_alone(home: Home) -> None:
    home.state.mkdir()
    stranger = subprocess.Popen(["sleep", "3600"])
    try:
        reused = Process(stranger.pid, 1, boot_id())
        EmbeddedEndpoint("http://127.0.0.1:9", "t", reused, "1.0").write(home.state / "endpoint.json")
        home.connect(hang=0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"url": "http://127.0.0.1:9"}', "\x00\x01"])
def test_a_file_that_is_no_endpoint_is_replaced(home: Home, text: str) -> None:
    home.state.mkdir()
    (home.state / "endpoint.json").write_text(text)
    home.connect()
    assert len(home.pids()) == 1


def test_a_server_that_hangs_is_ended_and_another_one_started(home: Home) -> None:
    home.state.mkdir()
    lazy = subprocess.Popen(home.program("hangs"), env=ENVIRONMENT)
    until("its address", (home.state / "endpoint.json").exists)
    home.connect(hang=0.3)
    assert lazy.wait(60) == -signal.SIGKILL
    assert home.endpoint().process.pid != lazy.pid
    assert any("does not answer" in note for note in home.notes)


def test_a_server_that_is_frozen_is_replaced(home: Home) -> None:
    first = home.connect()
    former = home.endpoint().process
    former.send(signal.SIGSTOP)
    assert home.connect(hang=0.5) == first
    assert not former.alive()
    assert home.notes == [
        f"waiting for the server (pid {former.pid}), which does not answer",
        f"the server (pid {former.pid}) does not answer; restarting it",
    ]


def test_an_older_server_is_asked_to_end_and_replaced(home: Home) -> None:
    token = home.connect(version="1.0").token
    former = home.endpoint().process
    assert home.connect(version="1.1").token == token
    assert home.endpoint().version == "1.1"
    assert not former.alive()
    assert any("replacing" in note for note in home.notes)


def test_an_older_server_that_does_not_understand_is_told_by_signal(home: Home) -> None:
    home.connect("deaf", version="1.0")
    home.connect(version="1.0.1")
    assert home.endpoint().version == "1.0.1"


@pytest.mark.parametrize("wrong", [(), ("deaf",)])
def test_a_server_is_ended_by_order_or_by_signal_and_the_next_command_starts_one(home: Home, wrong: str) -> None:
    home.connect(*wrong)
    former = home.endpoint().process
    assert end(home.state) == former.pid
    assert not former.alive()
    assert end(home.state) is None
    home.connect()
    assert home.endpoint().process != former


def test_the_command_that_ends_a_server_says_what_it_did(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.connect()
    former = home.endpoint().process.pid
    assert main(["server", "--stop", "--state", str(home.state)]) == 0
    assert main(["server", "--state", str(home.state), "--stop"]) == 0
    message = f"the server (pid {former}) was shut down; running trials continue, and the next command restarts it"
    assert capsys.readouterr().out.splitlines() == [message, "no server of this user is running"]


def test_a_newer_server_is_used_with_a_note(home: Home) -> None:
    newer = home.connect(version="1.10")
    assert home.connect(version="1.9") == newer
    assert any("newer" in note for note in home.notes)
    assert len(home.pids()) == 1


def test_a_server_that_cannot_start_is_an_error_with_its_last_words(home: Home) -> None:
    with pytest.raises(Unreachable, match="the cellar is flooded") as caught:
        home.connect("dies")
    assert "doctor" in caught.value.hint
    home.connect()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=300k", "the server cannot run: not enough free space for DISK: 2.. KiB"),
        ("size=4m,nr_inodes=12", "the server cannot run: almost no free inodes on the disk of DISK: ."),
    ],
)
def test_a_server_that_ends_for_want_of_room_is_told_with_its_disk(disk: Path, options: str, message: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
    home = Home(disk)
    with pytest.raises(Unreachable, match=message.replace("DISK", str(disk))) as caught:
        home.connect("dies")
    assert "on another disk" in caught.value.hint


def test_a_disk_that_is_mounted_read_only_is_told(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for folder in (disk, disk / "home" / "below"):  # one that is there, and one that cannot be made
        with pytest.raises(UsageError, match=f"^{disk} is on a disk that is mounted read-only") as caught:
            state_folder({"ORCHESTUNE_HOME": str(folder)})
        assert caught.value.hint == "mount it writable, or set ORCHESTUNE_HOME to a folder on another disk"
    with pytest.raises(UsageError, match="is on a disk that is mounted read-only"):
        Home(disk).connect()


def test_a_server_that_does_not_get_ready_is_an_error_after_the_timeout(home: Home) -> None:
    with pytest.raises(Unreachable, match="did not start within"):
        home.connect("never", timeout=1.0)


def test_a_program_that_cannot_be_started_is_an_error(home: Home) -> None:
    with pytest.raises(Unreachable, match="cannot start the server"):
        connect(environ=home.environ, program=("/no/such/program",))


def test_a_server_that_still_starts_is_waited_for(home: Home) -> None:
    home.state.mkdir()
    other = subprocess.Popen(home.program(), env=ENVIRONMENT)
    until("its lock", (home.state / "server.lock").exists)
    home.connect()
    assert home.endpoint().process.pid in home.pids()
    home.kill()
    other.wait(60)


def test_a_server_on_another_machine_that_holds_the_folder_is_named(home: Home) -> None:
    home.connect()
    current = home.endpoint()
    elsewhere = Process(current.process.pid, current.process.started, "another machine")
    EmbeddedEndpoint(current.url, current.token, elsewhere, current.version).write(home.state / "endpoint.json")
    with pytest.raises(Unreachable, match="another host"):
        home.connect(timeout=0.5)


def test_what_tells_the_token_can_be_read_by_its_owner_alone(home: Home) -> None:
    home.connect()
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o700
    for name in ("endpoint.json", "token", "server.log"):
        assert stat.S_IMODE((home.state / name).stat().st_mode) == 0o600, name
    assert home.endpoint().token not in repr(home.endpoint())
    assert set(json.loads((home.state / "endpoint.json").read_text())) == {
        "url", "socket", "token", "pid", "started", "version", "boot",
    }  # fmt: skip


def test_a_state_folder_that_cannot_be_made_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot create the folder") as caught:
        connect(environ={"ORCHESTUNE_HOME": str(tmp_path / "file" / "state")})
    assert "ORCHESTUNE_HOME" in caught.value.hint


def test_the_module_is_imported_without_what_only_a_start_needs() -> None:
    heavy = ("subprocess", "http.client", "urllib.request", "asyncio", "importlib.metadata", "ssl", "email")
    script = f"import sys, orchestune.client.local.embedded; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
