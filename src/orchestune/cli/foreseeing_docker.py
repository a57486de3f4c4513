"""What an experiment would start on this machine's Docker: for `--dry-run`. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestune.backends.docker import plan, runtime
from orchestune.backends.docker.client import Engine
from orchestune.domain.experiment import Specification
from orchestune.domain.ids import slug
from orchestune.ports.backend import WorkerOrder

_UNKNOWN = "00000000-0000-0000-0000-000000000000"
_SERVER = "http://127.0.0.1:8470"
_SECONDS = 10


def worker_container(specification: Specification, launch: Mapping[str, Any], state: Path) -> dict[str, Any]:
    """The container of one worker, as Docker's API takes it. What is only known later is zeros.

    OrchestuneError where Docker does not answer.
    """
    host = Engine(_SECONDS).about()
    folder = state / "cache" / f"runtime-{runtime.key()}"
    identity = state / "docker" / "identity"
    site = plan.Site(
        state=identity.read_text() if identity.exists() else _UNKNOWN.replace("-", ""),
        host=host,
        runtime=str(folder) if host.here else runtime.volume(),
        url=_SERVER,
        address=str(state / "docker" / "server") if host.here else None,
    )
    order = WorkerOrder(
        worker=_UNKNOWN,
        experiment=_UNKNOWN,
        token="",
        slots=1,
        launch=launch,
        each=specification.resources,
        placement=specification.placement,
        handle=f"{slug(specification.name)}-0000",
        grace=specification.grace,
    )
    return {"name": plan.name(order), **plan.container(order, site)}
