"""Copies the folder that contains it: an init container runs it to copy the private Python into a volume.

    ld.so --library-path PY/lib PY/bin/python3 -I copy.py TARGET

Uses only the standard library. A rerun completes an interrupted copy, and does not disturb a program that already runs
from the target, because each file is replaced atomically.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator


def files(source: str, below: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the paths under `source`, with True for a folder; a folder precedes its content."""
    with os.scandir(os.path.join(source, below)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = os.path.join(below, entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            yield path, is_folder
            if is_folder:
                yield from files(source, path)


def copy(source: str, target: str) -> int:
    """Copy `source` to `target`, and return the number of bytes written. Raises OSError if that fails."""
    written = 0
    os.makedirs(target, exist_ok=True)
    for path, is_folder in files(source):
        destination = os.path.join(target, path)
        if is_folder:
            os.makedirs(destination, exist_ok=True)
            continue
        origin = os.path.join(source, path)
        part = f"{destination}.{os.getpid()}.part"
        shutil.copyfile(origin, part)
        os.chmod(part, os.stat(origin).st_mode & 0o777)
        os.replace(part, destination)
        written += os.stat(origin).st_size
    return written


def main(argv: list[str]) -> int:
    """Run the copy and return the exit code."""
    if len(argv) != 2:
        sys.stderr.write("usage: copy.py TARGET\n")
        return 2
    try:
        written = copy(os.path.dirname(os.path.abspath(__file__)), argv[1])
    except OSError as exc:
        sys.stderr.write(f"cannot copy to {argv[1]}: {exc}\n")
        return 1
    sys.stdout.write(f"copied {written / 1e6:.0f} MB to {argv[1]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
