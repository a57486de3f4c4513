"""Completion in real shells: what a Tab offers."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select

import pytest

from orchestune.cli import completion
from orchestune.cli.completion import SHELLS, script
from orchestune.cli.main import build_parser, main
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from tests.unit.cli.conftest import SOURCE, Result

BASH = """
source "$1"
shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_orchestune
printf '%s\\n' "${COMPREPLY[@]}"
"""
HOSTILE = "first-$(touch executed)`touch executed`"
CASES = [
    ("orchestune res", {"resume"}),
    ("orchestune cluster disc", {"disconnect"}),
    ("orchestune run --dry", {"--dry-run"}),
    ("orchestune run --file expe", {"experiment.yml"}),
    ("orchestune logs first", {"first-7f3a"}),
    ("orchestune status --cluster loc", {"local"}),
    ("orchestune cluster use loc", {"local"}),
    ("orchestune completion f", {"fish"}),
    ("orchestune run --engine evo", {"evolution"}),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell, a program `orchestune` and an experiment file."""
    tmp_path = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        (tmp_path / shell).write_text(script(build_parser(), shell))
    program = tmp_path / "bin/orchestune"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} -m orchestune "$@"\n')
    program.chmod(0o755)
    (tmp_path / "experiment.yml").touch()
    (tmp_path / "home").mkdir()
    ExperimentIndex(tmp_path / "home").add(StartedExperiment("first-7f3a", "id", "local", "folder"))
    ExperimentIndex(tmp_path / "home").add(StartedExperiment(HOSTILE, "other", "local", "folder"))
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ORCHESTUNE_HOME": str(folder / "home"), "HOME": str(folder), "TERM": "dumb"}


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")


def completions(folder: Path, *command: str) -> set[str]:
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {line.split("\t")[0].strip() for line in done.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash(line: str, expected: set[str], scripts: Path) -> None:
    needs("bash")
    assert completions(scripts, "bash", "-c", BASH, "bash", str(scripts / "bash"), *line.split()) == expected


@pytest.mark.parametrize("kind", ["experiments", "clusters"])
def test_a_name_that_a_shell_would_run_is_not_completed(
    kind: str, scripts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "_NAMES", {kind: lambda console: [HOSTILE, "x y", "a-1", "b;c"]})
    assert main(["completion", "--names", kind]) == 0
    assert capsys.readouterr().out == "a-1\n"
    needs("bash")
    assert completions(scripts, "bash", "-c", BASH, "bash", str(scripts / "bash"), "orchestune", "logs", "f") == {
        "first-7f3a"
    }
    assert not (scripts / "executed").exists()


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish(line: str, expected: set[str], scripts: Path) -> None:
    needs("fish")
    command = f"source {scripts / 'fish'}; complete -C '{line}'"
    assert completions(scripts, "fish", "--no-config", "-c", command) == expected


@pytest.mark.parametrize(("line", "expected"), [*CASES, ("orchestune logs later", {"later-1a2b"})])
def test_zsh(line: str, expected: set[str], scripts: Path) -> None:
    needs("zsh")
    (scripts / ".zshrc").write_text(f"PS1=ready; {READ['zsh'].format(script=scripts / 'zsh')}\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(scripts)
        os.execvpe("zsh", ["zsh", "-i"], environment(scripts))
    try:
        screen = read(terminal)
        until(screen, "ready")
        if line.endswith("later"):
            ExperimentIndex(scripts / "home").add(StartedExperiment("later-1a2b", "id-of-later", "local", "folder"))
        os.write(terminal, f"{line}\t".encode())
        [word] = expected
        until(screen, word.removeprefix(line.split()[-1]))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


READ = {
    "bash": "source {script}",
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(cat {script})"',
    "fish": "source {script}",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_starts_asks_for_no_names(shell: str, scripts: Path, tmp_path: Path) -> None:
    needs(shell)
    program = tmp_path / "orchestune"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'asked'}\n")
    program.chmod(0o755)
    done = subprocess.run(
        [shell, "-c", READ[shell].format(script=scripts / shell)],
        env=environment(scripts) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "asked").exists()


def read(terminal: int) -> Iterator[str]:
    while True:
        ready = select([terminal], [], [], 0.1)[0]
        yield os.read(terminal, 65536).decode(errors="replace") if ready else ""


def until(screen: Iterator[str], text: str) -> None:
    output, deadline = "", time.monotonic() + 60
    while text not in output:
        output += next(screen)
        assert time.monotonic() < deadline, f"{text!r} did not come: {output!r}"


def test_the_shell_of_the_user_is_meant_where_none_is_named(
    cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert cli("completion").out == cli("completion", "fish").out
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    result = cli("completion")
    assert (result.code, "no completion for shell 'tcsh'" in result.err) == (2, True)
