"""Resolve the image of an experiment for Docker containers of this machine: from the daemon, else from the registry."""

from __future__ import annotations

from orchestune.backends.docker.client import DockerEngine
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.errors import TemporaryError
from orchestune.images.builds.prepare import prepare_image
from orchestune.images.registries.manifests import Platform


def of_the_engine(console: Console, prepared: PreparedExperiment) -> str:
    """Resolve the image to its digest, or to the daemon's own id if it is in no registry.

    Raises the errors of `prepare_image`.
    """
    engine = DockerEngine()
    image = prepared.specification.placement.image
    if image is not None and not (prepared.install or prepared.dockerfile):
        inspection = engine.image(image)
        if inspection is not None:
            return str(next(iter(inspection.get("RepoDigests") or ()), inspection["Id"]))
    nodes = Platform(engine.about().architecture or "amd64")
    try:
        return prepare_image(image, prepared.install, prepared.dockerfile, prepared.folder, None, nodes, console.note)
    except TemporaryError:
        if image is None or prepared.install or prepared.dockerfile:
            raise
        return image  # the daemon may reach registries that this command cannot
