"""A command that is ended by SIGTERM or a closed terminal ends the user's program, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestune.config.experiment_file import load
from tests.testbeds.processes import Process
from tests.testbeds.waiting import until
from tests.unit.cli.conftest import SOURCE
from tests.unit.client.fake_server import FakeServer, trial

PROGRAM = """\
#!/bin/sh
{first}
sleep 8890 &
echo begun > {known}
wait
"""
COMMANDS = {
    "test": ["test"],
    "try": ["try", "sgd-7f3a/2"],
    "init": ["init", "train.sh", "-o", "new.yml", "--yes"],
    "shell": ["shell", "sgd-7f3a/2", "--", "{run}"],
    "watch": ["watch"],
}

DISTURBED = """\
import os, runpy, subprocess, sys, time

class Popen(subprocess.Popen):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        while self.poll() is None and not os.path.exists({known!r}):
            time.sleep(0.01)
        if os.path.exists({known!r}):
            os.kill(os.getpid(), {number})

subprocess.Popen = Popen
runpy.run_module("orchestune", run_name="__main__", alter_sys=True)
"""


class Stage:
    """A folder whose program writes its number down and goes on for hours; commands that run it."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder, self.scratch, self.known = folder / "project", folder / "tmp", folder / "known"
        self.folder.mkdir()
        self.scratch.mkdir()
        self.environ = {**os.environ, **server.environment(), "TMPDIR": str(self.scratch), "PYTHONPATH": str(SOURCE)}
        server.world.trials["sgd-7f3a"] = [trial(2, parameters={"lr": 0.5})]
        self.server, self.commands = server, list[subprocess.Popen[bytes]]()
        self.say()

    def say(self, first: str = "", **keys: str) -> None:
        """Write the program and its experiment file."""
        script = self.folder / "train.sh"
        script.write_text(PROGRAM.format(first=first, known=self.known))
        script.chmod(0o755)
        file = {"run": str(script), "parameters": {"lr": "0.0..1.0"}, "metrics": {"loss": "minimize"}, "budget": 1}
        (self.folder / "experiment.yml").write_text(json.dumps(file | keys))
        specification = load(self.folder / "experiment.yml").specification.to_json()
        launch = {"root": str(self.folder), "links": [], "code": {"ignore": [], "limit": 1 << 20}}
        document = {"specification": specification, "launch": launch, "bundle": None, "revision": 1, "origin": None}
        self.server.world.specification = document

    def start(
        self, *words: str, program: Sequence[str] = ("-m", "orchestune"), **options: Any
    ) -> subprocess.Popen[bytes]:
        """The command, once the user's program runs, and what that starts."""
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, *program, *words],
            **{"stdin": nowhere, "stdout": nowhere, "stderr": nowhere, "preexec_fn": _hears_all, **options},
            cwd=self.folder,
            env=self.environ,
        )
        self.commands.append(process)
        until("the program", self.known.exists)
        return process

    def left(self) -> list[Process]:
        """Return the running processes of the program and its children: each has the folder in its environment."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and os.fsencode(self.scratch) in (entry / "environ").read_bytes():
                    found.append(Process.of(int(entry.name)))
            except OSError:  # it has ended, or is another user's
                continue
        return found

    def check(self) -> None:
        """Nothing is left of the program, nor its folder."""
        until("the end of what was killed", lambda: not self.left(), told=self.left)
        assert not list(self.scratch.iterdir())

    def close(self) -> None:
        for process in self.commands:
            process.kill()
            process.wait()
        for program in self.left():
            program.end()


def _hears_all() -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):  # which whoever runs the tests may ignore
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def stage(tmp_path: Path, server: FakeServer) -> Iterator[Stage]:
    with closing(Stage(tmp_path, server)) as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", COMMANDS)
def test_who_ends_the_command_ends_the_program_and_its_folder(
    stage: Stage, command: str, number: signal.Signals
) -> None:
    process = stage.start(*COMMANDS[command])
    process.send_signal(number)
    assert process.wait(120) == 128 + number
    stage.check()


@pytest.mark.parametrize(
    ("command", "number"),
    [*((command, signal.SIGTERM) for command in COMMANDS), ("test", signal.SIGINT), ("try", signal.SIGINT)],
)
def test_a_signal_while_the_program_is_being_started_ends_it_too(
    stage: Stage, command: str, number: signal.Signals
) -> None:
    disturbed = DISTURBED.format(known=str(stage.known), number=int(number))
    process = stage.start(*COMMANDS[command], program=("-c", disturbed))
    assert process.wait(120) == 128 + number
    stage.check()


@pytest.mark.parametrize("command", ["test", "shell"])
def test_a_program_that_ignores_it_is_killed_and_a_second_signal_changes_nothing(stage: Stage, command: str) -> None:
    stage.say(first="trap '' TERM HUP INT", grace="1s")
    process = stage.start(*COMMANDS[command])
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) in (128 + signal.SIGHUP, 128 + signal.SIGTERM)
    stage.check()


@pytest.mark.parametrize("command", ["test", "shell"])
def test_a_program_that_starts_others_all_the_time_ends_with_all_of_them(stage: Stage, command: str) -> None:
    stage.say(first=f"echo begun > {stage.known}; for one in $(seq 300); do sleep 8890 & done")
    process = stage.start(*COMMANDS[command])
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    stage.check()


@pytest.mark.parametrize(
    ("word", "said"),
    [("echo $ORCHESTUNE_PARAM_LR; exit 3", b"0.5\n"), ("{run} | cat", b"")],
)
def test_a_single_word_with_spaces_is_for_a_shell(stage: Stage, word: str, said: bytes) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestune", "shell", "sgd-7f3a/2", "--", word],
        cwd=stage.folder, env=stage.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(timeout=120)
    assert (out, process.returncode) == (said, 3 if said else 2)
    assert said or b"cannot expand {run}" in err


def test_without_a_terminal_by_choice_it_goes_on_when_that_closes(stage: Stage) -> None:
    process = stage.start("test", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as by `nohup`
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    stage.check()
