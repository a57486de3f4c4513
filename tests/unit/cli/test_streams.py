"""Output to closed streams, full disks, and files that must not be replaced."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from tests.testbeds.disks import small_disk
from tests.unit.cli.conftest import SOURCE, Result, Terminal
from tests.unit.client.fake_server import FakeServer, status, trial

Cli = Callable[..., Result]
Start = Callable[..., Terminal]

FULL = Path("/dev/full")


def in_shell(server: FakeServer, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `$O` is the command line."""
    environ = {**os.environ, **server.environment(), "PYTHONPATH": str(SOURCE), "O": f"{sys.executable} -m orchestune"}
    return subprocess.run(["sh", "-c", line], env={**environ, **more}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("command", ["status", "status --json", "trials sgd --jsonl", "export sgd", "logs sgd"])
def test_output_that_finds_no_room_is_an_error_in_one_sentence(server: FakeServer, command: str) -> None:
    server.world.trials["sgd-7f3a"] = [trial(1)]
    server.world.specification = {"specification": {"parameters": []}}
    server.log("epoch 1\n")
    done = in_shell(server, f"$O {command} > {FULL}")
    assert done.returncode == 2
    assert "cannot write the output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def no_room(folder: Path) -> list[str]:
    return [
        f"error: cannot write to {folder}: No space left on device",
        "hint:  free some disk space there, or set TMPDIR to a folder on another disk",
    ]


def test_code_that_finds_no_room_among_temporary_files_names_their_folder(server: FakeServer, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "experiment.yml").write_text(
        "run: 'true'\nparameters: {x: 0.0..1.0}\nmetrics: {loss: minimize}\nbudget: 1\n"
    )
    (code / "data").write_bytes(os.urandom(2 << 20))
    with small_disk(tmp_path / "disk", 1) as disk:
        done = in_shell(server, f"cd '{code}'; $O test", TMPDIR=str(disk))
        assert not list(disk.iterdir())
    error, hint = done.stderr.splitlines()
    assert (done.returncode, hint) == (1, "hint:  free space there, or make it writable")
    assert error.startswith(f"error: cannot write the bundle to {disk}/"), error
    assert error.endswith(": No space left on device")


def test_code_of_a_trial_that_finds_no_room_among_temporary_files_names_their_folder(
    server: FakeServer, tmp_path: Path
) -> None:
    code = os.urandom(2 << 20)
    digest = hashlib.sha256(code).hexdigest()
    server.world.bundles[digest] = code
    server.world.trials["sgd-7f3a"] = [trial(number, bundle=digest) for number in (1, 2)]
    specification = {"name": "sgd", "run": "true", "parameters": [], "metrics": [], "budget": 1}
    server.world.specification = {"specification": specification, "launch": None}
    with small_disk(tmp_path / "disk", 1) as disk:
        done = in_shell(server, "$O diff sgd/1 sgd/2", TMPDIR=str(disk))
        assert not list(disk.iterdir())
    assert (done.returncode, done.stderr.splitlines()) == (2, no_room(disk))


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("version", 0, ""),
        ("--help", 0, ""),
        ("status sgd", 0, ""),
        ("stop sgd", 0, ""),
        ("status", 0, ""),
        ("get", 2, "error: get needs a trial\n"),
        ("explain", 2, "error: the working directory was deleted\n"),
        ("run --minimize loss x=0..1 -- true", 2, "error: the working directory was deleted\n"),
    ],
)
def test_a_deleted_folder_is_told_where_one_is_needed(
    server: FakeServer, tmp_path: Path, command: str, code: int, message: str
) -> None:
    done = in_shell(server, f"cd '{tmp_path}'; mkdir gone; cd gone; rmdir ../gone; $O {command}")
    assert (done.returncode, done.stderr.partition("hint:")[0]) == (code, message)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(server: FakeServer, closed: str) -> None:
    done = in_shell(server, f"$O status sgd {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_export_writes_into_a_pipe_or_through_a_link_and_replaces_neither(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    server.world.trials["sgd-7f3a"] = [trial(1)]
    pipe, real, link = tmp_path / "pipe", tmp_path / "real.json", tmp_path / "link.json"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert cli("export", "sgd", "--format", "json", "-o", str(pipe)).code == 0
    reader.join(60)
    assert pipe.is_fifo() and '"number": 1' in read[0]
    real.write_text("old")
    link.symlink_to(real)
    assert cli("export", "sgd", "-o", str(link)).code == 0
    assert link.is_symlink() and '"number": 1' in real.read_text()


@pytest.mark.parametrize("command", [("delete", "", "--yes"), ("stop", ""), ("trials", "")])
def test_an_empty_name_is_not_the_newest_experiment(server: FakeServer, cli: Cli, command: tuple[str, ...]) -> None:
    result = cli(*command)
    assert (result.code, result.err.splitlines()[0]) == (2, "error: empty experiment name ''")
    assert server.world.experiments["sgd-7f3a"]["state"] == "running", "nothing happened to it"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:surrogateescape"])
def test_characters_that_the_output_lacks_are_no_error_and_documents_keep_them(
    server: FakeServer, encoding: str
) -> None:
    server.put(status(name="漢字"))
    server.world.trials["sgd-7f3a"] = [trial(1, parameters={"opt": "🎉"})]
    server.world.specification = {"specification": {"parameters": [{"name": "opt"}]}}
    server.log("時代\n")
    spellings = {
        "status": r"\u6f22\u5b57",
        "logs sgd": r"\u6642\u4ee3",
        "trials sgd": r"\U0001f389",
        "export sgd": r",\U0001f389,",
    }
    for command, text in spellings.items():
        done = in_shell(server, f"$O {command}", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, "")
        assert text in done.stdout
    for command in ("status --json", "export sgd --format json"):
        done = in_shell(server, f"$O {command}", PYTHONIOENCODING=encoding)
        document = json.loads(done.stdout)[0]
        assert (document.get("name", "漢字"), document.get("parameters", {}).get("opt", "🎉")) == ("漢字", "🎉")
    done = in_shell(server, "$O logs sgd --json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout)["line"] == "時代"


def test_a_terminal_without_a_character_shows_something_as_wide(server: FakeServer, terminal: Start) -> None:
    server.put(status(name="漢字"))
    screen = terminal("status", "sgd", "--watch", PYTHONIOENCODING="latin-1")
    screen.wait_for(r"sgd-7f3a  \?\?  ada")
