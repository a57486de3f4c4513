"""Copies the folder in which it stands: how the private Python gets from the server's image into a volume.

    ld.so --library-path PY/lib PY/bin/python3 -I copy.py TARGET

Alone: the standard library and nothing else. A copy that was interrupted is completed by the next one; a program that
runs from the target already is not disturbed, since each file is replaced as a whole.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator


def files(source: str, below: str = "") -> Iterator[tuple[str, bool]]:
    """Paths under `source`, and whether each is a folder; a folder comes before what it holds."""
    with os.scandir(os.path.join(source, below)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = os.path.join(below, entry.name)
            folder = entry.is_dir(follow_symlinks=False)
            yield path, folder
            if folder:
                yield from files(source, path)


def copy(source: str, target: str) -> int:
    """Make `target` hold what `source` holds; the number of bytes written. OSError when it cannot."""
    written = 0
    os.makedirs(target, exist_ok=True)
    for path, folder in files(source):
        there = os.path.join(target, path)
        if folder:
            os.makedirs(there, exist_ok=True)
            continue
        origin = os.path.join(source, path)
        part = f"{there}.{os.getpid()}.part"
        shutil.copyfile(origin, part)
        os.chmod(part, os.stat(origin).st_mode & 0o777)
        os.replace(part, there)
        written += os.stat(origin).st_size
    return written


def main(argv: list[str]) -> int:
    """Copy; the exit code."""
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
