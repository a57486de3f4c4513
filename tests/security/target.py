"""A server with real use cases behind its routes, and the workers of its experiments, as an attacker meets them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestune.services.access import grant_access
from orchestune.services.core import Caller
from orchestune.services.signatures import worker_token
from tests.contract.world import CoreWorld
from tests.unit.server.harness import Live, Reply, live

OWNER = "secret-token"  # as the world has it
SPECIFICATION = {
    "name": "toy",
    "run": "echo loss={x}",
    "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
    "metrics": [{"name": "loss", "goal": "minimize"}],
    "budget": 2,
    "parallelism": 1,
    "engine": "random",
    "checkpoint_every": 60,
}


def digest_of(data: bytes) -> str:
    """The SHA-256 under which the server keeps the bytes."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class Trial:
    """A trial that runs, and what its worker may send: an attacker in it has the worker's token."""

    server: Live
    experiment: str
    handle: str
    worker: str
    token: str
    lease: Mapping[str, Any]

    @property
    def attempt(self) -> dict[str, Any]:
        return {"attempt": self.lease["attempt"], "token": self.lease["token"]}

    def ask(self, method: str, route: str, body: Any = None) -> Reply:
        return self.server.ask(method, f"/api/v1/workers/{self.worker}/{route}", body, token=self.token)

    def upload(self, data: bytes) -> str:
        """Upload all bytes; their digest."""
        digest = digest_of(data)
        reply = self.ask("PUT", f"uploads/{digest}?offset=0", data)
        assert reply.status == 200, reply.body
        return digest

    def publish(self, digest: str, **fields: Any) -> Reply:
        """Publish a checkpoint."""
        return self.ask("POST", "checkpoint", {**self.attempt, "digest": digest, "step": 1, **fields})

    def keep(self, *files: Mapping[str, Any]) -> Reply:
        """Turn uploads into artifacts."""
        return self.ask("POST", "artifacts", {**self.attempt, "files": list(files)})

    def artifacts(self) -> list[str]:
        """The paths of its artifacts, as a person sees them."""
        reply = self.server.ask("GET", f"/api/v1/experiments/{self.handle}/trials/1/artifacts", token=OWNER)
        assert reply.status == 200, reply.body
        return [artifact["path"] for artifact in reply.json()]


class Target:
    """A world and its server."""

    def __init__(self, world: CoreWorld, server: Live) -> None:
        self.world, self.server = world, server

    def token(self, name: str, role: Literal["viewer", "editor", "owner"]) -> str:
        """Return a new token that the server issues to a person."""
        return grant_access.issue_token(self.world.core, Caller("ada", "owner"), name=name, role=role, days=1)["token"]

    def create(self, token: str = OWNER, headers: Mapping[str, str] | None = None, **fields: Any) -> Reply:
        """Ask for a new experiment."""
        body = {"specification": SPECIFICATION, **fields}
        return self.server.ask("POST", "/api/v1/experiments", body, token=token, headers=headers)

    def trial(self) -> Trial:
        """Start an experiment of its own for a trial, and lease that to a worker."""
        created = self.create()
        assert created.status == 201, created.body
        experiment = created.json()["id"]
        for _ in range(20):
            self.world.tick()
            for worker in self.world.workers.values():
                if self.world.backend.orders[worker.id].experiment == experiment:
                    for lease in worker.call(want=1)["leases"]:
                        token = worker_token(self.world.core, worker.id, experiment)
                        return Trial(self.server, experiment, created.json()["handle"], worker.id, token, lease)
        raise AssertionError(self.world.status(experiment))


@contextmanager
def attacked(folder: Path, database_url: str | None = None) -> Iterator[Target]:
    """A target on a store in `folder`, or at `database_url`."""
    world = CoreWorld(folder, database_url)
    with live(world.core) as server:
        yield Target(world, server)
    world.close()
