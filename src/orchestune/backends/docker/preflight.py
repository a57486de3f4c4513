"""Preflight checks before anything is started."""

from __future__ import annotations

import os
import platform

from orchestune.backends.docker.client import DaemonUnreachable, DockerEngine
from orchestune.backends.docker.plan import LEAST_MEMORY, DockerHost, account_of_image, network
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError
from orchestune.images.registries.manifests import parse_platform


def check(engine: DockerEngine, each: Resources, placement: Placement, url: str) -> None:
    """Raise UsageError if a trial cannot run in a container of this daemon."""
    if placement.image is None:
        raise no_image()
    if each.pin:
        raise UsageError(
            "`resources.pin` is for processes of this machine, and containers of a daemon share its cores",
            "leave it out: --set resources.pin=false",
        )
    try:
        host = engine.about()
        network(host, url)
        _check_architecture(host)
        if each.memory is not None and each.memory < LEAST_MEMORY:
            text = f"memory: {each.memory / 2**20:.3g} MiB are too few for a container"
            raise UsageError(text, f"request at least {LEAST_MEMORY / 2**20:g} MiB")
        _check_volumes(engine, host, placement)
    except DaemonUnreachable as away:
        raise UsageError(away.message, away.hint) from away


def exposure(engine: DockerEngine, image: str, host: DockerHost) -> str:
    """Return a warning if another user of this machine can read the trials of an image.

    It is empty if none can, or if the daemon has not pulled the image yet.
    """
    config = (engine.image(image) or {}).get("Config") or {}
    user = str(config.get("User") or "")
    if not (account := account_of_image(user, host)):
        return ""
    uid = user.partition(":")[0]
    return (
        f"containers of {image} run with the uid {uid}, which is the user '{account}' of this machine: its"
        " programs can read the trials' environment, secrets and files; use an image with another USER"
    )


def no_image() -> UsageError:
    """Return the error for an experiment without an image."""
    return UsageError("a container needs an image", "add `image: python:3.12`, or another one, to the experiment file")


def _check_architecture(host: DockerHost) -> None:
    """Raise UsageError if the daemon's architecture differs: the worker's Python is taken from this machine."""
    here = parse_platform(platform.machine()).architecture
    if host.architecture and host.architecture != here:
        raise UsageError(
            f"the Docker daemon's machine is {host.architecture}, and this one {here}",
            "run the server on a machine of that kind",
        )


def _check_volumes(engine: DockerEngine, host: DockerHost, placement: Placement) -> None:
    for volume in placement.volumes:
        if volume.path and host.here and not os.path.exists(volume.path):
            raise UsageError(
                f"volumes: no such folder on this machine: '{volume.path}'", "create it, or correct the path"
            )
        if volume.claim and not engine.has_volume(volume.claim):
            raise UsageError(
                f"volumes: no such Docker volume: '{volume.claim}'", f"create it: docker volume create {volume.claim}"
            )
