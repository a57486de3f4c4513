"""The private Python for containers of a remote daemon: a volume, filled once per version."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

from orchestune.backends.docker.client import DockerEngine
from orchestune.backends.docker.plan import LABEL, RUNTIME
from orchestune.images.runtime.local_build import key

_COMPLETE = ".complete"
_filling = threading.Lock()


def volume() -> str:
    """Return the name of the volume, for daemons that do not see this machine's folders."""
    return f"orchestune-runtime-{key()}"


def fill(engine: DockerEngine, image: str, name: str, folder: Path) -> None:
    """Copy `folder` into the volume unless it is complete, through a helper container that is never started."""
    helper = f"{name}-fill"
    mount = {"Type": "volume", "Source": name, "Target": RUNTIME}
    config = {"Image": image, "Entrypoint": ["-"], "Cmd": [], "Labels": {f"{LABEL}runtime": name}}
    with _filling:
        engine.create(helper, {**config, "HostConfig": {"Mounts": [mount], "NetworkMode": "none"}})
        try:
            if not engine.has_file(helper, f"{RUNTIME}/{_COMPLETE}"):
                engine.put(helper, RUNTIME, _archive(folder))
                engine.put(helper, RUNTIME, _mark())
        finally:
            engine.remove(helper)


def _archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, ".", filter=_as_root)
    return buffer.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _mark() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(_COMPLETE))
    return buffer.getvalue()
