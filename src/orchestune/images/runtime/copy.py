"""Copies the folder that contains it: an init container runs it to copy the private Python into a volume.

    PY/lib/ld.so --library-path PY/lib PY/bin/python3 -I copy.py TARGET

PY is the folder `py` beside this file. Its loader is called explicitly: the image may have none, or that of another C
library; see `private_python`. Links to files are followed; links to folders are not supported and raise OSError.

Uses only the standard library. A rerun completes an interrupted copy, and does not disturb a program that already runs
from the target, because each file is replaced atomically.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator


def entries(source: str, relative: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the paths under `source`, with True for a folder; a folder precedes its content."""
    with os.scandir(os.path.join(source, relative)) as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            path = os.path.join(relative, entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            yield path, is_folder
            if is_folder:
                yield from entries(source, path)


def copy(source: str, target: str) -> int:
    """Copy `source` to `target`, and return the number of bytes written. Raises OSError if that fails."""
    written = 0
    os.makedirs(target, exist_ok=True)
    for path, is_folder in entries(source):
        destination = os.path.join(target, path)
        if is_folder:
            os.makedirs(destination, exist_ok=True)
            continue
        source_path = os.path.join(source, path)
        temporary = f"{destination}.{os.getpid()}.part"
        shutil.copyfile(source_path, temporary)
        os.chmod(temporary, os.stat(source_path).st_mode & 0o777)
        os.replace(temporary, destination)
        written += os.stat(source_path).st_size
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
