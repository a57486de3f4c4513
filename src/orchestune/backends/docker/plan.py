"""The request to Docker for one worker, as pure functions: its container, the files in it, its route to the server.

/orchestune/runtime     the private Python, read-only: the image needs nothing for the worker
/orchestune/worker      a volume deleted with the container: the worker's file, which holds its token, and its state
/orchestune/server      the address of an embedded server, read-only
"""

from __future__ import annotations

import io
import json
import math
import os
import pwd
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.server_address import ADDRESS
from orchestune.domain.specification.code import ENVIRONMENT_MARKS
from orchestune.errors import UsageError
from orchestune.images.runtime.private_python import command
from orchestune.ports.backend import WorkerOrder

RUNTIME = "/orchestune/runtime"
WORKER = "/orchestune/worker"
SERVER = "/orchestune/server"
FILE = "worker.json"
LABEL = "orchestune.dev/"
STATE_LABEL, WORKER_LABEL, EXPERIMENT_LABEL = f"{LABEL}state", f"{LABEL}worker", f"{LABEL}experiment"

PIDS = 8192
"""maximum processes and threads of one worker: far above training, far below what stalls a machine"""
LEAST_MEMORY = 64 * 2**20
"""minimum memory of a container in bytes: its worker takes half of that"""
_LEAST_CPU = 0.01
"""minimum CPU limit in cores that Docker accepts"""
FAREWELL = 5
"""seconds beyond the trial's grace for a worker when the daemon itself shuts down"""
_PERSONAL = re.compile(r"/(\.[^/]*|venv|node_modules)$")
_LOOPBACK = re.compile(r"localhost|127\..*|::1|\[::1\]")


@dataclass(frozen=True)
class DockerHost:
    """The host of a Docker daemon, as far as a plan depends on it."""

    name: str
    cpu: float
    memory: int
    """bytes"""
    architecture: str
    """Go's name of the architecture, such as amd64"""
    here: bool = True
    """the daemon is on this machine and sees its files"""
    desktop: bool = False
    """Docker Desktop: the daemon's VM reaches this machine as `host.docker.internal`"""
    rootless: bool = False
    """rootless daemon, in its own network namespace"""
    remapped: bool = False
    """the uids of containers are other ones on this machine (user namespaces)"""


@dataclass(frozen=True)
class ContainerDefaults:
    """Settings common to the containers of one server."""

    state: str
    """identity of the server's state folder"""
    host: DockerHost
    runtime: str
    """location of the private Python: a local folder, or a volume of a remote daemon"""
    url: str
    """the server's URL, as seen from this machine"""
    address: str | None = None
    """local folder with the address of a server that may move"""
    command: tuple[str, ...] = tuple(command(RUNTIME))
    """command that starts the worker"""
    mounts: MountPolicy = MountPolicy()
    """host paths that containers may mount"""


@dataclass(frozen=True)
class ContainerNetwork:
    """The network through which a container reaches the server."""

    mode: str
    server: str | None = None
    """host name of the server as seen from the container, if it differs from its URL"""

    def url(self, address: str) -> str:
        """Return the server's URL as seen from the container."""
        if self.server is None:
            return address
        parts = urlsplit(address)
        return parts._replace(netloc=f"{self.server}:{parts.port}" if parts.port else self.server).geturl()


def network(host: DockerHost, url: str) -> ContainerNetwork:
    """Return the network for containers; a server on a loopback address is reached through the host's network.

    Raises UsageError if the daemon's containers cannot reach such a server.
    """
    if not _LOOPBACK.fullmatch(urlsplit(url).hostname or ""):
        return ContainerNetwork("default")
    if host.here and host.desktop:
        return ContainerNetwork("default", "host.docker.internal")
    if host.here and not host.rootless:
        return ContainerNetwork("host")
    why = "runs rootless, in a network of its own" if host.here else "is on another machine"
    raise UsageError(
        f"the Docker daemon {why}: its containers cannot reach the server at {url}",
        "start a server that they reach: orchestune server --host ADDRESS, and set ORCHESTUNE_SERVER to it",
    )


def name(order: WorkerOrder) -> str:
    """Return the container's name: the experiment's handle and the random part of the worker's id."""
    handle = re.sub(r"[^a-zA-Z0-9_.-]", "-", order.handle)
    return "-".join(part for part in ("orchestune", handle, order.worker.replace("-", "")[-12:]) if part)


def account_of_image(user: str, host: DockerHost) -> str:
    """Return another user's account of this machine that has the uid of an image's `USER`; empty if there is none.

    Programs of that account can read environment, memory and files of the trial by `/proc/PID`. A name in `USER` stands
    for a uid that only the image's own `/etc/passwd` defines, so it is not resolved.
    """
    uid = user.partition(":")[0]
    if not uid.isdecimal() or not host.here or host.desktop or host.rootless or host.remapped:
        return ""
    if int(uid) in (0, os.geteuid()):
        return ""
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, OverflowError):
        return ""


def container(order: WorkerOrder, site: ContainerDefaults) -> dict[str, Any]:
    """Return the body of `POST /containers/create`. The image's own user, environment and variables are kept.

    Raises PolicyRefused for a volume that experiments of this server may not mount.
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
        "StopSignal": "SIGTERM",  # overrides the image: the worker handles it
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
    """Return the labels that identify our containers, with their worker, experiment and owner."""
    return {
        STATE_LABEL: state,
        WORKER_LABEL: order.worker,
        EXPERIMENT_LABEL: order.experiment,
        f"{LABEL}handle": order.handle,
        f"{LABEL}owner": order.owner,
    }


def document(order: WorkerOrder, site: ContainerDefaults) -> str:
    """Return the worker's file: server address, credentials and settings."""
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
    """Return a tar for `/orchestune/worker` with the worker's file and its state folder.

    Any user of the image has access. Container files lie below a folder of Docker's own, so of the host's other users
    only the one with the uid of the image's user has access, by `/proc`.
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


def _own_mounts(site: ContainerDefaults) -> list[dict[str, Any]]:
    kind = "bind" if site.host.here else "volume"
    mounts: list[dict[str, Any]] = [
        {"Type": kind, "Source": site.runtime, "Target": RUNTIME, "ReadOnly": True},
        {"Type": "volume", "Target": WORKER},
    ]
    if site.address:
        mounts.append({"Type": "bind", "Source": site.address, "Target": SERVER, "ReadOnly": True})
    return mounts


def _links(order: WorkerOrder, site: ContainerDefaults) -> list[dict[str, Any]]:
    """Return mounts at their original path for project files that the bundle omits: the trial's folder links to them.

    Machine-specific or personal files are excluded: hidden files (environments, credentials), installed packages.
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
        if source is not None and not _personal(source)
    ]


def _personal(path: str) -> bool:
    marks = (os.path.join(path, mark) for mark in ENVIRONMENT_MARKS)
    return _PERSONAL.search(path) is not None or any(map(os.path.exists, marks))


def _volumes(order: WorkerOrder, site: ContainerDefaults) -> list[dict[str, Any]]:
    return [
        {
            "Type": "bind" if volume.path else "volume",
            "Source": site.mounts.source(volume.path, order.launch, site.host.here) if volume.path else volume.claim,
            "Target": volume.mount,
            "ReadOnly": volume.read_only,
        }
        for volume in order.placement.volumes
    ]


def _limits(order: WorkerOrder, host: DockerHost) -> dict[str, Any]:
    each = order.each.times(order.slots)
    limits: dict[str, Any] = {}
    if each.cpu:
        limits["NanoCpus"] = int(max(min(each.cpu, host.cpu), _LEAST_CPU) * 10**9)
    if each.memory:
        limits["Memory"] = limits["MemorySwap"] = each.memory
    # The size of /dev/shm is only a limit: unused space takes no memory. Docker's default of 64 MB is too small for the
    # data loaders of common frameworks.
    limits["ShmSize"] = order.placement.shm or (each.memory or host.memory) // 2
    requests = devices(order.gpus)
    return {**limits, "PidsLimit": PIDS, **({"DeviceRequests": requests} if requests else {})}


def _no_gpus(gpus: Sequence[str]) -> list[str]:
    """Return the variable that hides all GPUs, which images get if NVIDIA's runtime is the daemon's default."""
    return [] if gpus else ["NVIDIA_VISIBLE_DEVICES=void"]


def devices(gpus: Sequence[str]) -> list[dict[str, Any]]:
    """Return the device requests for these GPUs."""
    return [{"DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}] if gpus else []
