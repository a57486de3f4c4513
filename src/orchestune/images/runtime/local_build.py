"""The private Python of this machine, built once for each version of it and of the worker."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path

from orchestune.images.runtime import private_python

_build_lock = threading.Lock()


def location(cache: Path) -> Path:
    """Return the path of its folder, which may not have been built yet."""
    return cache / f"runtime-{key()}"


def build(cache: Path) -> Path:
    """Return its folder, built by the first call in a few seconds. Raises OrchestuneError if that fails."""
    folder = location(cache)
    with _build_lock:
        if not folder.is_dir():
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_python.build_runtime(folder)
    return folder


def key() -> str:
    """Return a key that changes with the Python version and with each change of the worker."""
    package = Path(private_python.__file__).parents[2]
    digest = hashlib.sha256(sys.version.encode())
    for source in sorted([*(package / "worker").rglob("*.py"), *(package / "images").rglob("*.py")]):
        digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
