"""Folders of servers that must not outlive the test run that started them, however that run ends.

A guard, a shell that waits for the end of a pipe, takes a server down when its owner dies, by kill -9 too. What is left
after the guard has died as well is found by the next run, for each folder names its owner.
"""

from __future__ import annotations

import importlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbeds.cache import cache_folder
from tests.testbeds.processes import Process

REPOSITORY = Path(__file__).resolve().parents[2]
OWNER = "owner.json"


def take_down(module: str, folder: Path) -> None:
    """Let the module end what runs in the folder, and remove it: its `down(folder)`, which may be called again."""
    importlib.import_module(module).down(folder)


def leftovers(kind: str) -> list[Path]:
    """The folders whose owner has died."""
    folders = []
    for file in sorted((cache_folder() / kind).glob(f"*/{OWNER}")):
        owner = Process.load(file)
        if owner is not None and not owner.alive():
            folders.append(file.parent)
    return folders


@contextmanager
def owned_folder(kind: str, module: str) -> Iterator[Path]:
    """A new folder of this process, taken down by `module` when the block or the process ends."""
    for folder in leftovers(kind):
        take_down(module, folder)
    folder = cache_folder() / kind / f"test-{os.getpid()}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    Process.of(os.getpid()).save(folder / OWNER)
    after = [sys.executable, "-m", "tests.testbeds.owned", module, str(folder)]
    guard = subprocess.Popen(
        ["sh", "-c", 'read line; exec "$@"', "guard", *after], stdin=subprocess.PIPE, cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield folder
    finally:
        take_down(module, folder)
        guard.kill()
        guard.communicate()


if __name__ == "__main__":
    take_down(sys.argv[1], Path(sys.argv[2]))
