"""What an experiment would start on this machine's Docker: for `--dry-run`. Only reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.docker import plan, runtime
from orchestune.backends.docker.client import DockerEngine
from orchestune.backends.docker.mounts import VARIABLE, MountPolicy
from orchestune.cli.experiments.foreseeing import UNKNOWN, order
from orchestune.domain.specification.experiment import Specification
from orchestune.images.runtime import local_build

_SERVER = "http://127.0.0.1:8470"
_SECONDS = 10


def worker_container(
    specification: Specification, launch: Mapping[str, Any], state: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The container of one worker, as Docker's API takes it. What is only known later is zeros.

    OrchestuneError if Docker does not answer; PolicyRefused for a volume that the user's server would refuse.
    """
    allow = [os.path.expanduser(part) for part in environ.get(VARIABLE, "").split(":") if part]
    host = DockerEngine(_SECONDS).about()
    folder = state / "cache" / f"runtime-{local_build.key()}"
    identity = state / "docker" / "identity"
    site = plan.ContainerDefaults(
        state=identity.read_text() if identity.exists() else UNKNOWN.replace("-", ""),
        host=host,
        runtime=str(folder) if host.here else runtime.volume(),
        url=_SERVER,
        address=str(state / "docker" / "server") if host.here else None,
        mounts=MountPolicy(state, allow, own_projects=True),
    )
    foreseen = replace(order(specification), launch=launch)
    return {"name": plan.name(foreseen), **plan.container(foreseen, site)}
