"""Builds the worker as a single file: `python worker.pyz`."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from orchestune.worker import VERSION

_MAIN = "import sys\n\nfrom orchestune.worker.__main__ import main\n\nsys.exit(main())\n"
_PACKAGE = f'"""The worker alone."""\n\n__version__ = "{VERSION}"\n'
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(target: Path, compiled: Callable[[Path], bytes | None] = lambda source: None) -> Path:
    """Write the archive to `target` and return the path. The build is reproducible.

    `compiled` returns bytecode, which a Python of its version loads without checking the source and others ignore.
    """
    package = Path(__file__).resolve().parent
    contents = {"__main__.py": _MAIN.encode(), "orchestune/__init__.py": _PACKAGE.encode()}
    for source in sorted(package.rglob("*.py")):
        if source.name != "build.py":
            name = f"orchestune/worker/{source.relative_to(package).as_posix()}"
            contents[name] = source.read_bytes()
            code = compiled(source)
            if code is not None:
                contents[f"{name}c"] = code
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(contents):
                member = zipfile.ZipInfo(name, _EPOCH)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                archive.writestr(member, contents[name])
    target.chmod(0o755)
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "worker.pyz")))
