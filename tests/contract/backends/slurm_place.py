"""A Slurm as the contract of backends sees it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from orchestune.backends.slurm.backend import SlurmBackend
from orchestune.backends.slurm.client import Slurm as Commands
from orchestune.backends.slurm.plan import is_named_for
from orchestune.ports.backend import Backend, WorkerOrder
from tests.contract.backends.places import STAND_IN, ThisMachine
from tests.testbeds.slurm import Slurm
from tests.testbeds.waiting import until


class OnSlurm(SlurmBackend):
    """Orders of the contract have no launch of a shell that finds Python."""

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        env = {"PATH": os.environ["PATH"], **(order.launch.get("env") or {})}
        return super().start(replace(order, launch={**order.launch, "env": env}))


class Jobs(ThisMachine):
    """Implements `BackendUnderTest`: the nodes' processes are this machine's."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        super().__init__(folder / "state")
        self.slurm, self.shared = slurm, folder / "shared"

    def backend(self) -> Backend:
        return self.on_slurm()

    def on_slurm(self, program: Sequence[str] = STAND_IN) -> SlurmBackend:
        return OnSlurm(
            self.state,
            self.shared,
            lambda port: self.url,
            moves=True,
            slurm=Commands({**os.environ, **self.slurm.environment()}),
            worker_program=program,
        )

    def kill(self, worker: str, handle: Mapping[str, Any]) -> None:
        self.slurm.say("scancel", "--signal=KILL", "--full", handle["job"])

    def belongings(self, worker: str) -> Sequence[str]:
        """Slurm calls a job running a moment before its first process is there, and after its last one has gone."""
        entries: Sequence[str] = ()

        def settled() -> bool:
            nonlocal entries
            names = [name for _, name in self.slurm.jobs("running").values()]
            entries = super(Jobs, self).belongings(worker)
            return bool(entries) or not any(is_named_for(name, worker) for name in names)

        until("what Slurm says of the worker to be so", settled)
        return entries

    def in_public(self) -> str:
        return (
            super().in_public() + self.slurm.say("scontrol", "show", "job") + self.slurm.say("squeue", "--format=%all")
        )

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[dict[str, Any]]]:
        requests: list[dict[str, Any]] = []
        submit = Commands.submit

        def record(slurm: Commands, script: str, options: Sequence[str], environ: Mapping[str, str]) -> str:
            requests.append({"sbatch": list(options)})
            return submit(slurm, script, options, environ)

        with mock.patch.object(Commands, "submit", record):
            yield requests

    def contents(self) -> Sequence[str]:
        return [*super().contents(), *sorted(str(path) for path in self.shared.rglob("*")), *self.slurm.jobs()]

    def clear(self) -> None:
        self.slurm.clear()
        super().clear()
