"""A command that runs the user's program terminates it when it is terminated itself, by a signal or a hang-up."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestune.domain.specification.experiment import TEST_LABEL
from tests.e2e.scene import eventually, new_nap, sleepers
from tests.testbeds.home import Home

QUICK = "#!/bin/sh\necho loss=1\n"
SLOW = """\
#!/bin/sh
lr=${{LR:-0.1}}
{first}
sleep {nap} &
echo begun > {started}
wait
"""
COMMANDS = {
    "test": ["test"],
    "try": ["try", "{trial}"],
    "init": ["init", "train.sh", "-o", "new.yml", "--yes"],
    "shell": ["shell", "{trial}", "--", "{run}"],
    "watch": ["watch"],
}


class Stage:
    """A folder with a finished experiment, whose program now runs for hours; commands that run it."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.folder, self.started, self.nap = home, folder / "project", folder / "started", new_nap()
        self.folder.mkdir()
        self.commands = list[subprocess.Popen[str]]()
        self.set_program(QUICK)
        self.handle = home.run("run", "--detach", cwd=self.folder).stdout.strip()
        home.run("wait", self.handle)
        self.set_slow_program()

    def set_slow_program(self, first: str = "", **keys: str) -> None:
        """Let the program run `first`, then sleep; `keys` are added to the experiment file."""
        self.set_program(SLOW.format(first=first, nap=self.nap, started=self.started), **keys)

    def set_program(self, text: str, **keys: str) -> None:
        """Write the program and its experiment file."""
        script = self.folder / "train.sh"
        script.write_text(text)
        script.chmod(0o755)
        file = {"run": str(script), "parameters": {"lr": "0.0..1.0"}, "metrics": {"loss": "minimize"}, "budget": 1}
        (self.folder / "experiment.yml").write_text(json.dumps(file | keys))

    def words(self, command: str) -> list[str]:
        """Return the words of a command."""
        return [word.replace("{trial}", f"{self.handle}/1") for word in COMMANDS[command]]

    def start(self, command: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command, and wait until its program runs."""
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "preexec_fn": _hears_all, **options}
        process = self.home.start(*self.words(command), cwd=self.folder, **options)
        self.commands.append(process)
        eventually(self.started.exists, "the program runs", self.home)
        return process

    def check(self) -> None:
        """Check that nothing is left of the program, nor of the ephemeral experiment."""
        eventually(lambda: not sleepers(self.nap), "the program has ended", self.home)
        eventually(lambda: not self.ephemeral(), "the ephemeral experiment is gone", self.home)

    def ephemeral(self) -> list[str]:
        """Return the handles of all ephemeral experiments."""
        return [one["handle"] for one in self.home.json("status") if TEST_LABEL in one["labels"]]

    def close(self) -> None:
        for process in self.commands:
            process.kill()
            process.wait()
        self.home.run("delete", self.handle, "--yes", expect=None)


def _hears_all() -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):  # which the shell that runs the tests may ignore
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def stage(tmp_path: Path, shared_home: Home) -> Iterator[Stage]:
    with closing(Stage(shared_home, tmp_path)) as new_stage:
        yield new_stage


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminated_command_terminates_its_program(stage: Stage, command: str, number: signal.Signals) -> None:
    process = stage.start(command)
    process.send_signal(number)
    assert process.wait(120) == 128 + number
    stage.check()


@pytest.mark.parametrize("command", ["test", "try", "init"])
def test_ctrl_c_terminates_the_program_before_the_command_exits(stage: Stage, command: str) -> None:
    process = stage.start(command)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert not sleepers(stage.nap)
    stage.check()


@pytest.mark.parametrize("command", ["test", "shell"])
def test_a_program_that_ignores_it_is_killed_and_a_second_signal_changes_nothing(stage: Stage, command: str) -> None:
    stage.set_slow_program(first="trap '' TERM HUP INT", grace="1s")
    process = stage.start(command)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) in (128 + signal.SIGHUP, 128 + signal.SIGTERM)
    stage.check()


@pytest.mark.parametrize("command", ["test", "shell"])
def test_a_program_that_starts_others_all_the_time_ends_with_all_of_them(stage: Stage, command: str) -> None:
    stage.set_slow_program(first=f"echo begun > {stage.started}; for one in $(seq 300); do sleep {stage.nap} & done")
    process = stage.start(command)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    stage.check()


def test_a_single_word_with_spaces_is_for_a_shell(stage: Stage) -> None:
    value = stage.home.json("trials", f"{stage.handle}/1")["parameters"]["lr"]
    words = ("shell", f"{stage.handle}/1", "--")
    assert stage.home.run(*words, "echo $ORCHESTUNE_PARAM_LR; exit 3", expect=3).stdout == f"{value!r}\n"
    assert "cannot expand {run}" in stage.home.run(*words, "{run} | cat", expect=2).stderr


def test_the_folder_of_a_shell_is_kept_on_demand(stage: Stage) -> None:
    done = stage.home.run("shell", f"{stage.handle}/1", "--keep", "--", "sh", "-c", "touch made; exit 4", expect=4)
    [folder] = [line.removeprefix("folder kept: ") for line in done.stderr.splitlines() if "folder kept" in line]
    assert {path.name for path in Path(folder).iterdir()} == {"experiment.yml", "made", "train.sh"}


def test_without_a_terminal_by_choice_it_goes_on_when_that_closes(stage: Stage) -> None:
    process = stage.start("test", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as by `nohup`
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    stage.check()
