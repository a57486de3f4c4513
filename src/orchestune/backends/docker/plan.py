"""What is asked of Docker for one worker, as pure functions: its container, the files in it, how it reaches the server.

/orchestune/runtime     the private Python, read-only: the image needs nothing for the worker
/orchestune/worker      a volume that goes with the container: the worker's file, which holds its token, and its state
/orchestune/server      where an embedded server is, read-only
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.whereabouts import ADDRESS
from orchestune.domain.code import ENVIRONMENT_MARKS
from orchestune.errors import UsageError
from orchestune.images.runtime import command
from orchestune.ports.backend import WorkerOrder

RUNTIME = "/orchestune/runtime"
WORKER = "/orchestune/worker"
SERVER = "/orchestune/server"
FILE = "worker.json"
LABEL = "orchestune.dev/"
STATE_LABEL, WORKER_LABEL, EXPERIMENT_LABEL = f"{LABEL}state", f"{LABEL}worker", f"{LABEL}experiment"

PIDS = 8192
"""processes and threads of one worker: far more than training takes, far less than what stops a machine"""
LEAST_MEMORY = 64 * 2**20
"""bytes that a container needs at least: the worker in it takes half of that"""
_LEAST_CPU = 0.01
"""cores below which Docker takes no limit"""
FAREWELL = 5
"""seconds that a worker has beyond its trial's grace, where the daemon itself is stopped"""
_PERSONAL = re.compile(r"/(\.[^/]*|venv|node_modules)$")
_LOOPBACK = re.compile(r"localhost|127\..*|::1|\[::1\]")


@dataclass(frozen=True)
class Host:
    """The machine of a Docker daemon, as far as a plan depends on it."""

    name: str
    cpu: float
    memory: int
    """bytes"""
    architecture: str
    """as Go calls it, such as amd64"""
    here: bool = True
    """the daemon is on this machine and sees its files"""
    desktop: bool = False
    """Docker Desktop: a virtual machine that reaches this machine by a name"""
    rootless: bool = False
    """run by a user, in a network of its own"""


@dataclass(frozen=True)
class Site:
    """What the containers of one server have in common."""

    state: str
    """identity of the server's state folder"""
    host: Host
    runtime: str
    """where the private Python is: a folder of the machine, or a volume of a daemon elsewhere"""
    url: str
    """the server's address, as it is known here"""
    address: str | None = None
    """folder of the machine that holds the address of a server which may move"""
    command: tuple[str, ...] = tuple(command(RUNTIME))
    """what starts the worker"""
    mounts: MountPolicy = MountPolicy()
    """what of the machine containers may see"""


@dataclass(frozen=True)
class Network:
    """How a container reaches the server."""

    mode: str
    server: str | None = None
    """another name of the server's host than in its address"""

    def url(self, address: str) -> str:
        """The server's address, seen from the container."""
        if self.server is None:
            return address
        parts = urlsplit(address)
        return parts._replace(netloc=f"{self.server}:{parts.port}" if parts.port else self.server).geturl()


def network(host: Host, url: str) -> Network:
    """A server that listens on the loopback address alone is reached over the machine's own network.

    UsageError where the daemon's containers cannot reach such a server.
    """
    if not _LOOPBACK.fullmatch(urlsplit(url).hostname or ""):
        return Network("default")
    if host.here and host.desktop:
        return Network("default", "host.docker.internal")
    if host.here and not host.rootless:
        return Network("host")
    why = "runs rootless, in a network of its own" if host.here else "is on another machine"
    raise UsageError(
        f"the Docker daemon {why}: its containers cannot reach the server at {url}",
        "start a server that they reach: orchestune server --host ADDRESS, and set ORCHESTUNE_SERVER to it",
    )


def name(order: WorkerOrder) -> str:
    """The container's name: the experiment's handle and the worker's id, as far as it is random."""
    handle = re.sub(r"[^a-zA-Z0-9_.-]", "-", order.handle)
    return "-".join(part for part in ("orchestune", handle, order.worker.replace("-", "")[-12:]) if part)


def container(order: WorkerOrder, site: Site) -> dict[str, Any]:
    """The body of `POST /containers/create`. The image's own user, environment and variables stay as they are.

    PolicyRefused for a volume that experiments of this server may not have.
    """
    site.mounts.refuse(order.placement, order.launch, site.host.here)
    return {
        "Image": order.placement.image,
        "Hostname": site.host.name if re.fullmatch(r"[A-Za-z0-9-]{1,63}", site.host.name) else "",
        "Entrypoint": list(site.command),
        "Cmd": [],
        "Env": [f"ORCHESTUNE_WORKER_FILE={WORKER}/{FILE}", *_no_gpus(order.gpus)],
        "Labels": labels(order, site.state),
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",  # whatever the image says: it is the worker that hears it
        "StopTimeout": math.ceil(order.grace) + FAREWELL,
        "HostConfig": {
            "NetworkMode": network(site.host, site.url).mode,
            "Mounts": [*_own_mounts(site), *_links(order, site), *_volumes(order, site)],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            **_limits(order, site.host),
        },
    }


def labels(order: WorkerOrder, state: str) -> dict[str, str]:
    """How a container is known as ours, and whose it is."""
    return {
        STATE_LABEL: state,
        WORKER_LABEL: order.worker,
        EXPERIMENT_LABEL: order.experiment,
        f"{LABEL}handle": order.handle,
        f"{LABEL}owner": order.owner,
    }


def document(order: WorkerOrder, site: Site) -> str:
    """What the worker reads in its file: where to go, as whom, with what."""
    return json.dumps(
        {
            "url": network(site.host, site.url).url(site.url),
            "endpoint": f"{SERVER}/{ADDRESS}" if site.address else None,
            "token": order.token,
            "worker": order.worker,
            "slots": order.slots,
            "state": f"{WORKER}/state",
            "gpus": list(order.gpus),
            "tags": {},
        }
    )


def archive(text: str) -> bytes:
    """A tar for `/orchestune/worker`: the worker's file and the folder of its state, for whatever user the image has.

    Others on the machine do not get there: what a container holds lies below a folder of Docker's own.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo("state")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        file, data = tarfile.TarInfo(FILE), text.encode()
        file.size, file.mode = len(data), 0o444
        tar.addfile(file, io.BytesIO(data))
    return buffer.getvalue()


def _own_mounts(site: Site) -> list[dict[str, Any]]:
    kind = "bind" if site.host.here else "volume"
    mounts: list[dict[str, Any]] = [
        {"Type": kind, "Source": site.runtime, "Target": RUNTIME, "ReadOnly": True},
        {"Type": "volume", "Target": WORKER},
    ]
    if site.address:
        mounts.append({"Type": "bind", "Source": site.address, "Target": SERVER, "ReadOnly": True})
    return mounts


def _links(order: WorkerOrder, site: Site) -> list[dict[str, Any]]:
    """What the bundle leaves out of the project's folder, at its place: the trial's folder links to it.

    Not what is tied to the machine or to a person: hidden files (environments, credentials), installed packages.
    """
    root = order.launch.get("root")
    if not site.host.here or not isinstance(root, str) or not os.path.isabs(root):
        return []
    paths = [os.path.normpath(os.path.join(root, str(link))) for link in order.launch.get("links") or ()]
    sources = {
        path: site.mounts.link(path, root)
        for path in paths
        if path.startswith(root.rstrip("/") + "/") and not _personal(path) and os.path.exists(path)
    }
    return [
        {"Type": "bind", "Source": source, "Target": path, "ReadOnly": True}
        for path, source in sources.items()
        if source is not None
    ]


def _personal(path: str) -> bool:
    marks = (os.path.join(path, mark) for mark in ENVIRONMENT_MARKS)
    return _PERSONAL.search(path) is not None or any(map(os.path.exists, marks))


def _volumes(order: WorkerOrder, site: Site) -> list[dict[str, Any]]:
    return [
        {
            "Type": "bind" if volume.path else "volume",
            "Source": site.mounts.source(volume.path, order.launch, site.host.here) if volume.path else volume.claim,
            "Target": volume.mount,
            "ReadOnly": volume.read_only,
        }
        for volume in order.placement.volumes
    ]


def _limits(order: WorkerOrder, host: Host) -> dict[str, Any]:
    each = order.each.times(order.slots)
    found: dict[str, Any] = {}
    if each.cpu:
        found["NanoCpus"] = int(max(min(each.cpu, host.cpu), _LEAST_CPU) * 10**9)
    if each.memory:
        found["Memory"] = found["MemorySwap"] = each.memory
    # of /dev/shm this is only the limit: what is not written there is not taken; Docker's own 64 MB are too few for
    # the loaders of common frameworks
    found["ShmSize"] = order.placement.shm or (each.memory or host.memory) // 2
    requests = devices(order.gpus)
    return {**found, "PidsLimit": PIDS, **({"DeviceRequests": requests} if requests else {})}


def _no_gpus(gpus: Sequence[str]) -> list[str]:
    """Where NVIDIA's runtime is the daemon's default one, images for GPUs get all of them by this variable."""
    return [] if gpus else ["NVIDIA_VISIBLE_DEVICES=void"]


def devices(gpus: Sequence[str]) -> list[dict[str, Any]]:
    """The GPUs that a container sees."""
    return [{"DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}] if gpus else []
