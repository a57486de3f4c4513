"""The container that an experiment would start with Docker on this machine: for `--dry-run`. Read-only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.docker import plan, runtime
from orchestune.backends.docker.client import DockerEngine
from orchestune.backends.docker.mounts import VARIABLE, MountPolicy
from orchestune.cli.experiments.foreseeing import UNKNOWN, worker_order
from orchestune.domain.specification.experiment import Specification
from orchestune.images.runtime import local_build

_SERVER = "http://127.0.0.1:8470"
_TIMEOUT_SECONDS = 10


def worker_container(
    specification: Specification, launch: Mapping[str, Any], state: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Build the request for the container of one worker, in the format of Docker's API. Ids that are assigned later are
    zeros.

    Raises OrchestuneError if Docker does not answer, and PolicyRefused for a volume that the server would refuse.
    """
    allowed_folders = [os.path.expanduser(part) for part in environ.get(VARIABLE, "").split(":") if part]
    host = DockerEngine(_TIMEOUT_SECONDS).about()
    folder = state / "cache" / f"runtime-{local_build.key()}"
    identity = state / "docker" / "identity"
    site = plan.ContainerDefaults(
        state=identity.read_text() if identity.exists() else UNKNOWN.replace("-", ""),
        host=host,
        runtime=str(folder) if host.here else runtime.volume(),
        url=_SERVER,
        address=str(state / "docker" / "server") if host.here else None,
        mounts=MountPolicy(state, allowed_folders, own_projects=True),
    )
    planned = replace(worker_order(specification), launch=launch)
    return {"name": plan.name(planned), **plan.container(planned, site)}
