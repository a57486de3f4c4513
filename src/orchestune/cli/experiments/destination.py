"""What of a folder and a shell goes along to the place where an experiment runs, and what the plan says of it."""

from __future__ import annotations

import os
from pathlib import Path

from orchestune.cli.experiments.check_script import unknown
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.inspect.get import fetched
from orchestune.client.address import ServerPlace
from orchestune.domain.clusters.builtin import OWN
from orchestune.domain.words import some
from orchestune.errors import OrchestuneError, UsageError
from orchestune.sdk.project_files import note_of_secrets
from orchestune.sdk.submitting import shares_files


def in_images(place: ServerPlace) -> bool:
    """Whether trials run in images. Of a server that somebody else runs that is not known."""
    return place.cluster is not None and place.cluster.provider in ("docker", "kubernetes")


def in_words(place: ServerPlace) -> str:
    """Where that is."""
    cluster = place.cluster
    if cluster is None or cluster.provider == "hosted":
        return f"the server at {place.resolve().url}" if cluster is None else f"{cluster.name}, at {cluster.url}"
    if cluster.provider == "kubernetes":
        return f"{cluster.name}, namespace {cluster.namespace}"
    return OWN[cluster.provider]


def notes(place: ServerPlace, prepared: PreparedExperiment) -> list[str]:
    """What a reader of the plan should know about this folder at that place."""
    found = list[str]()
    links = [path for path in prepared.links if not fetched(prepared.folder / path)]  # which were said to be left out
    if links:
        shown = some(links, 3)
        if shares_files(place):
            shared = "all trials read and write the same, and a cluster would not have them"
            found.append(f"linked from this folder, not packed: {shown}; {shared}")
        elif place.embedded:
            found.append(f"mounted from this folder, read only, not packed: {shown}; a cluster would not have them")
        else:
            found.append(
                f"not packed, so trials there do not have them: {shown}; `volumes:` mounts data of the cluster"
            )
    if prepared.secret_files:
        found.append(note_of_secrets(prepared.secret_files))
    if prepared.own:
        found.append(f"not seen by trials, each of which makes its own, as `keep` names it: {some(prepared.own, 3)}")
    if shares_files(place):
        path = prepared.specification.env.get("PATH") or os.environ.get("PATH", os.defpath)
        found += unknown(prepared.specification.run, prepared.folder, path)
    if place.cluster is not None and shares_files(place) and image_in_words(prepared):
        found.append("image, install and dockerfile are for containers; here programs run as they are installed")
    if place.name == "docker":
        found += _exposure(prepared)
    return found


def _exposure(prepared: PreparedExperiment) -> list[str]:
    """Return a note if another user of this machine can read the trials; none if the image has not been pulled yet."""
    from orchestune.backends.docker.client import DockerEngine  # takes long to import, and only containers need it
    from orchestune.backends.docker.preflight import exposure
    from orchestune.backends.docker.pulling import reference

    if not prepared.specification.placement.image:
        return []
    engine = DockerEngine(5)
    try:
        warning = exposure(engine, reference(prepared.specification.placement), engine.about())
    except OrchestuneError:  # reported when the experiment is launched
        return []
    return [warning] if warning else []


def image_in_words(prepared: PreparedExperiment) -> str:
    """The image as the file describes it; empty where it says nothing."""
    base = prepared.specification.placement.image
    if prepared.dockerfile:
        made = f"built from {prepared.dockerfile}"
    elif prepared.install:
        made = f"{base or 'the default image'}, with {' && '.join(prepared.install)}"
    else:
        return base or ""
    return f"{made} and {' && '.join(prepared.install)}" if prepared.dockerfile and prepared.install else made


def need_image(place: ServerPlace, prepared: PreparedExperiment) -> None:
    """UsageError with a proposal where containers need an image and the file names none."""
    if place.name == "docker" and not image_in_words(prepared):
        raise UsageError("a container needs an image, and the experiment file names none", propose(prepared.folder))


def propose(folder: Path) -> str:
    """What to write into the experiment file, going by what lies beside it."""
    from orchestune.images.builds.suggest import suggest_install  # only who lacks an image needs it

    if (folder / "Dockerfile").is_file():
        return "there is a Dockerfile here: add `dockerfile: Dockerfile` to the experiment file"
    found = suggest_install(folder)
    if found:
        return "add to the experiment file:\n" + "\n".join(f"       {line}" for line in found.strip().splitlines())
    return "add `image: python:3.12-slim`, or another one that has what the command needs, to the experiment file"
