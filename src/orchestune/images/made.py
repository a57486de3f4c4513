"""The private Python of this machine, built once for each version of it and of the worker."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path

from orchestune.images import runtime

_making = threading.Lock()


def made(cache: Path) -> Path:
    """Return its folder, built by the first call in a few seconds. Raises OrchestuneError if that fails."""
    folder = cache / f"runtime-{key()}"
    with _making:
        if not folder.is_dir():
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            runtime.build_runtime(folder)
    return folder


def key() -> str:
    """Return a key that changes with the Python version and with each change of the worker."""
    package = Path(runtime.__file__).parents[1]
    digest = hashlib.sha256(sys.version.encode())
    for source in sorted([*(package / "worker").glob("*.py"), *(package / "images").glob("*.py")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
