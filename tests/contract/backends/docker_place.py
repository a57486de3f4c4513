"""A Docker daemon as the contract of backends sees it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import docker

from orchestune.backends.docker import plan
from orchestune.backends.docker.backend import DockerBackend
from orchestune.backends.docker.client import DockerEngine
from orchestune.backends.docker.config import Daemon
from orchestune.domain.resources.placement import Placement
from orchestune.images.runtime.private_python import interpreter
from orchestune.ports.backend import Backend, PlannedWorker, WorkerOrder

STAND_IN = (*interpreter(plan.RUNTIME), "/stand_in.py")
MODES = ("", "stubborn", "dies", "hungry")


class OnDocker(DockerBackend):
    """Orders of the contract name no image, and GPUs that the machine does not have."""

    images: Mapping[str, str]

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        return super().plan(self._with_image(order))

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        return super().start(self._with_image(order))

    def _with_image(self, order: WorkerOrder) -> WorkerOrder:
        if order.placement.image is not None:
            return order
        mode = (order.launch.get("env") or {}).get("STAND_IN", "")
        return replace(order, gpus=(), placement=Placement(image=self.images[mode]))


class Containers:
    """Implements `BackendUnderTest`. `images`: what the stand-in does → the image in which it does that."""

    def __init__(self, address: str, state: Path, cache: Path, images: Mapping[str, str]) -> None:
        self.address, self.state, self.cache, self.images = address, state, cache, images
        self.url = "http://127.0.0.1:9"
        self.program: Sequence[str] = STAND_IN
        self.daemon = Daemon(address)
        self.api: Any = docker.APIClient(address, version="auto", timeout=60)

    def backend(self) -> Backend:
        return self.docker()

    def docker(self) -> DockerBackend:
        backend = OnDocker(self.state, self.url, cache=self.cache, daemon=self.daemon, worker_program=self.program)
        backend.images = self.images
        return backend

    def kill(self, worker: str, handle: Mapping[str, Any]) -> None:
        self.api.kill(handle["container"], "SIGKILL")

    def stubborn(self) -> Mapping[str, Any]:
        return {"env": {"STAND_IN": "stubborn"}}

    def belongings(self, worker: str) -> Sequence[str]:
        entries: list[str] = []
        for name in self.names(worker):
            with contextlib.suppress(docker.errors.APIError):  # it ends just now
                entries += [" ".join(line) for line in self.api.top(name)["Processes"] or ()]
        return entries

    def names(self, worker: str = "", running: bool = True) -> list[str]:
        label = f"{plan.WORKER_LABEL}={worker}" if worker else plan.STATE_LABEL
        containers = self.api.containers(all=not running, filters={"label": label})
        return [str(container["Id"]) for container in containers]

    def in_public(self) -> str:
        container_states = [self.api.inspect_container(name) for name in self.names(running=False)]
        lines: list[str] = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ends just now
                lines.append(path.read_bytes().decode(errors="replace"))
        return json.dumps([container_states, lines])

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[dict[str, Any]]]:
        requests: list[dict[str, Any]] = []
        create = DockerEngine.create

        def record(engine: DockerEngine, name: str, config: Mapping[str, Any]) -> None:
            if plan.WORKER_LABEL in config["Labels"]:  # not the container that fills the volume of the Python
                requests.append({"name": name, **config})
            create(engine, name, config)

        with mock.patch.object(DockerEngine, "create", record):
            yield requests

    def contents(self) -> Sequence[str]:
        return [*sorted(str(path) for path in self.state.rglob("*")), *sorted(self.names(running=False))]

    def clear(self) -> None:
        for thread in threading.enumerate():
            if thread.name.startswith("docker-start"):
                thread.join(60)
        identity = self.state / "docker" / "identity"
        if identity.exists():
            label = f"{plan.STATE_LABEL}={identity.read_text()}"
            for container in self.api.containers(all=True, filters={"label": label}):
                with contextlib.suppress(docker.errors.NotFound):
                    self.api.remove_container(container["Id"], v=True, force=True)
        self.api.close()
