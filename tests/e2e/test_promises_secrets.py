"""The value of a secret stands in the owner's secrets folder, the worker's memory and the trial, and nowhere else."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import eventually, launch, reached, write
from tests.testbeds.home import Home

COMMAND = """
touch $ORCHESTUNE_ORIGINAL_DIR/began
while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.1; done
echo "key is $API_KEY"; echo "file is $FROM_FILE" >&2
[ ${#API_KEY} = 40 ] || exit 8
[ $ORCHESTUNE_TRIAL != 1 ] || { echo "Traceback: refused $API_KEY"; exit 9; }
echo loss={x}
"""


@pytest.fixture
def values() -> tuple[str, str]:
    return secrets.token_hex(20), secrets.token_hex(20)


@pytest.fixture
def keyed_home(values: tuple[str, str]) -> Iterator[Home]:
    with Home(MY_KEY=values[0]) as home:
        yield home


def contains_secret(content: bytes, values: tuple[str, str]) -> bool:
    with contextlib.suppress(OSError, EOFError):
        content += gzip.decompress(content)
    return any(value.encode() in content for value in values)


def copies(home: Home, values: tuple[str, str]) -> list[Path]:
    """The files with a value, while workers that end empty their folders. A link to the user's own file is none."""
    paths = []
    for folder, _, names in os.walk(home.folder):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and contains_secret(path.read_bytes(), values):
                    paths.append(path)
    return paths


def test_no_value_of_a_secret_is_written_down_or_shown(
    keyed_home: Home, tmp_path: Path, values: tuple[str, str]
) -> None:
    home = keyed_home
    project = write(
        tmp_path / "secretive",
        COMMAND,
        secrets={"API_KEY": "env:MY_KEY", "FROM_FILE": "file:../outside.txt"},
        budget=2,
        keep=["*.txt"],
    )
    (tmp_path / "outside.txt").write_text(values[1])
    (project / "notes.txt").write_text("kept")
    handle = launch(home, project)
    eventually((project / "began").exists, "a trial runs", home)
    for pid, arguments in home.processes().items():
        assert not contains_secret(arguments.encode(), values), f"the arguments of {pid}"
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert not contains_secret(entry.read_bytes(), values), entry
    (project / "go").touch()
    reached(home, handle, "completed")
    for command in (
        ["logs", handle], ["logs", handle, "--json"], ["trials", handle], ["trials", f"{handle}/1"],
        ["trials", f"{handle}/1", "--json"], ["status", handle], ["status", handle, "--json"],
        ["export", handle, "--format", "json"], ["doctor"],
    ):  # fmt: skip
        done = home.run(*command, expect=None)
        assert not contains_secret((done.stdout + done.stderr).encode(), values), command
    assert "Traceback: refused" in home.run("trials", f"{handle}/1").stdout
    holders = copies(home, values)
    assert [path.parent for path in holders] == [home.folder / "secrets"]
    assert stat.S_IMODE(os.stat(holders[0]).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(holders[0].parent).st_mode) == 0o700
    home.run("delete", handle, "--purge", "--yes")
    eventually(lambda: not holders[0].exists(), "a purge takes the values along", home)


def test_a_secret_file_in_the_project_does_not_travel_with_the_code(
    keyed_home: Home, tmp_path: Path, values: tuple[str, str]
) -> None:
    home = keyed_home
    command = "[ ${#FROM_FILE} = 40 ] && echo loss={x}"
    project = write(tmp_path / "inside", command, secrets={"FROM_FILE": "file:token.txt"}, budget=1)
    (project / "token.txt").write_text(values[1])
    home.run("run", cwd=project)
    assert [path.parent for path in copies(home, values)] == [home.folder / "secrets"]


def test_a_missing_secret_is_named_and_nothing_is_made(shared_home: Home, tmp_path: Path) -> None:
    project = write(tmp_path / "missing", "echo loss={x}", secrets={"API_KEY": "env:NOT_THERE"})
    done = shared_home.run("run", cwd=project, expect=2)
    assert "NOT_THERE" in done.stderr
    assert shared_home.json("status") == []
