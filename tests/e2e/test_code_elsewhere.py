"""`shell` and `try` where trials do not run on this machine, as far as the command line knows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.scene import eventually, write
from tests.testbeds.home import Home
from tests.unit.cli.conftest import Terminal

RUN = "python train.py {x}"
TRAIN = """
import os, sys
print(open("note.txt").read(), sys.argv[1], os.environ["ORCHESTUNE_SEED"])
print(f"loss={sys.argv[1]}")
"""
STARTING_NOTE = b"no suitable idle worker in team: starting one\n"
"""printed if the machine is so busy that the start can be seen"""


class Team:
    """A hosted server, joined as the cluster `team`, with a finished experiment."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.state = home, home.folder / "hosted"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.server = self.start()
        token = self.state / "token"
        eventually(lambda: token.exists() and self.answers(), "the server answers", home)
        home.env["ORCHESTUNE_TOKEN"] = token.read_text().split()[-1]
        home.run("cluster", "connect", "-n", "team", "--server", f"http://127.0.0.1:{self.port}")
        project = write(folder / "there", RUN, budget=2)
        (project / "train.py").write_text(TRAIN)
        (project / "note.txt").write_text("as it was")
        home.run("run", "--cluster", "team", cwd=project)
        (project / "note.txt").write_text("as it is")
        (status,) = home.json("status", "--cluster", "team")
        self.handle: str = status["handle"]
        self.project = project

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestune", "server", "--port", str(self.port), "--state", str(self.state)]
        return subprocess.Popen(command, env=self.home.env, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Until `server` is set to what `start` returns, connections are refused."""
        self.server.kill()
        self.server.wait()

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with Home() as home:
        new_team = Team(home, tmp_path_factory.mktemp("shell"))
        yield new_team
        new_team.kill()


def only_that_one(team: Team) -> bool:
    return [status["handle"] for status in team.home.json("status", "--cluster", "team")] == [team.handle]


def test_it_has_the_code_the_parameters_and_the_seed_of_the_trial_and_leaves_nothing(team: Team) -> None:
    trial = team.home.json("trials", f"{team.handle}/2")
    logged = team.home.run("logs", f"{team.handle}/2", cwd=team.project).stdout
    printed = team.home.run("shell", f"{team.handle}/2", "--", "{run}").stdout
    assert printed.splitlines()[0] == f"as it was {trial['parameters']['x']!r} {trial['seed']}"
    assert printed.splitlines()[0] in logged
    command = ("sh", "-c", "echo $ORCHESTUNE_TRIAL; env | grep -c ORCHESTUNE_TERMINAL; exit 6")
    assert team.home.run("shell", f"{team.handle}/2", "--", *command, expect=6).stdout.split() == ["2", "0"]
    assert "not found" in team.home.run("shell", f"{team.handle}/2", "--", "nonsense", expect=127).stdout
    assert only_that_one(team)


def test_changed_code_is_tried_there_with_the_seed_of_the_trial_and_handed_over(team: Team) -> None:
    trial = team.home.json("trials", f"{team.handle}/2")
    output = team.home.run("try", f"{team.handle}/2", "--into", team.handle, cwd=team.project).stdout
    assert f"as it is {trial['parameters']['x']!r} {trial['seed']}" in output
    assert f"{team.handle} switched to this code" in output and f"orchestune extend {team.handle} --budget 4" in output
    assert "; 2 results of the old code stay, and the search uses them; " in output
    team.home.run("extend", team.handle, "--budget", "3")
    team.home.run("wait", team.handle)
    assert "as it is" in team.home.run("logs", f"{team.handle}/3").stdout
    assert "as it was" in team.home.run("shell", f"{team.handle}/2", "--", "cat", "note.txt").stdout
    assert only_that_one(team)


def test_every_byte_arrives_in_both_directions(team: Team) -> None:
    content = bytes(range(256)) * 8000
    done = subprocess.run(
        [*team.home.command, "shell", f"{team.handle}/1", "--", "cat"],
        input=content,
        env=team.home.env,
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr.replace(STARTING_NOTE, b"")) == (0, b"")
    assert done.stdout == content


def test_a_command_may_end_without_reading_what_is_typed(team: Team) -> None:
    done = subprocess.run(
        [*team.home.command, "shell", f"{team.handle}/1", "--", "head", "-c", "3"],
        input=b"abcdef\n" * 500_000,
        env=team.home.env,
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr.replace(STARTING_NOTE, b"")) == (0, b"abc", b"")


def test_it_is_a_terminal_with_its_size_its_keys_and_its_ctrl_c(team: Team) -> None:
    environ = {**team.home.env, "SHELL": "/bin/sh", "PS1": "here> ", "ENV": ""}
    with closing(Terminal(["shell", f"{team.handle}/1"], environ, columns=111, lines=33)) as screen:
        screen.wait_for(r"[#$>] $")
        screen.press("stty size\r")
        screen.wait_for("33 111")
        screen.resize(90, 40)
        os.kill(screen.process.pid, signal.SIGWINCH)
        # what says that it begins is what Ctrl-C ends: a shell that is about to start something may miss it
        screen.press("while ! stty size | grep '40 90'; do sleep 0.1; done; sh -c \"echo begin''s; exec sleep 1000\"\r")
        screen.wait_for("begins")
        screen.press("\x03")
        screen.press("echo aft''er\r")
        screen.wait_for("after")
        screen.press("exit 9\r")
        assert screen.end() == 9
    assert only_that_one(team)


def test_it_goes_on_after_a_restart_of_the_server(team: Team) -> None:
    command = [*team.home.command, "shell", f"{team.handle}/1", "--", "sh", "-c", "echo ready; read x; echo got $x"]
    with subprocess.Popen(
        command, env=team.home.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            team.kill()
            while "the server is unreachable" not in (line := process.stderr.readline()):
                assert line, "it has ended"
            team.server = team.start()
            process.stdin.write("two\n")
            process.stdin.flush()
            heard = process.stdout.readline()
            assert heard == "got two\n", process.stderr.read()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert only_that_one(team)


def test_ctrl_c_leaves_while_the_server_is_away(team: Team) -> None:
    environ = {**team.home.env, "SHELL": "/bin/sh", "PS1": "here> ", "ENV": ""}
    with closing(Terminal(["shell", f"{team.handle}/1"], environ)) as screen:
        screen.wait_for(r"[#$>] $")
        team.kill()
        try:
            screen.wait_for("the server is unreachable")
            screen.press("echo typed\x03")
            assert screen.end() == 3
        finally:
            team.server = team.start()
    assert "detached while the server was unreachable" in screen.screen
