"""Files, programs and image of an experiment at its destination cluster, and the notes about them in the plan."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestune.bundles import download_folder
from orchestune.cli.experiments.check_script import missing_program, unpassed_variables
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.render import one_line, size
from orchestune.client.address import ServerPlace
from orchestune.client.local.inherited_environment import BASE_NAMES, environment
from orchestune.client.local.launch_context import in_utf8
from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.domain.words import brief_list
from orchestune.errors import OrchestuneError, UsageError
from orchestune.sdk.project_files import ProjectFiles, note_of_secrets
from orchestune.sdk.submitting import at_hand, inherited, shares_files
from orchestune.system import platform
from orchestune.system.project_root import leads_out
from orchestune.worker.files.view import copied

_MAX_LISTED_LINKS = 8
_ASSUMED_CPU = (
    "1 cpu requested for each trial (assumed; with GPUs, its share of their node's cores), no limit:"
    " `resources: {cpu: N}` sets both"
)


def in_images(place: ServerPlace) -> bool:
    """Return True if trials run in containers. Not known for a server that another user operates."""
    return place.cluster is not None and place.cluster.provider in ("docker", "kubernetes")


def _runs_in_pods(place: ServerPlace) -> bool:
    return place.cluster is not None and place.cluster.provider == "kubernetes"


def in_words(place: ServerPlace) -> str:
    """Describe the destination for the plan."""
    cluster = place.cluster
    if cluster is None or cluster.provider == "hosted":
        return f"the server at {place.resolve().url}" if cluster is None else f"{cluster.name}, at {cluster.url}"
    if cluster.provider == "kubernetes":
        return f"{cluster.name}, namespace {cluster.namespace}"
    return BUILTIN_CLUSTERS[cluster.provider]


def notes(place: ServerPlace, prepared: PreparedExperiment) -> list[str]:
    """Return notes about files, secrets and programs of this folder at the destination."""
    project = prepared.project
    notes = [platform.UNTESTED] if place.embedded and at_hand(place) and platform.is_macos() else []
    notes += _notes_on_links(place, project)
    if project.secrets:
        notes.append(note_of_secrets(project.secrets))
    if project.own:
        notes.append(f"hidden from trials, which create their own because of `keep`: {brief_list(project.own, 3)}")
    notes += _unpassed(place, prepared)
    if shares_files(place):
        path = prepared.specification.env.get("PATH") or os.environ.get("PATH", os.defpath)
        notes += missing_program(prepared.specification.run, prepared.folder, path)
    if place.cluster is not None and shares_files(place) and image_in_words(prepared):
        notes.append(
            "image, install and dockerfile are ignored: trials here use the installed programs, not containers"
        )
    if place.name == "docker":
        notes += _exposure(prepared)
    if _runs_in_pods(place) and prepared.specification.resources.cpu is None:
        notes.append(_ASSUMED_CPU)
    return notes


def _notes_on_links(place: ServerPlace, project: ProjectFiles) -> list[str]:
    """Return a note on the paths of the project that are linked instead of packed; none if there are none."""
    # `get` has already reported the folders that it downloaded
    links = [path for path in project.links if not download_folder.is_one(project.root / path)]
    if not links:
        return []
    own = copied({path: str(project.root / path) for path in links}) if shares_files(place) else {}
    copies = [
        f"each trial has its own copy, which a cluster would not have: {brief_list(sorted(own), _MAX_LISTED_LINKS)}"
    ]
    outside = {path: target for path in links if (target := _outside_target(project.root, path))}
    leading = [f"links that lead out of the project: {_targets_in_words(outside)}"] if outside else []
    if len(own) == len(links):
        return [*copies, *leading]
    links = [path for path in links if path not in own]
    refused = [] if shares_files(place) or not place.embedded else _not_mounted(project.root, outside)
    links = [path for path in links if path not in refused]
    sized = [f"{path} ({size(project.large[path])})" if path in project.large else path for path in links]
    paths = brief_list(sized, _MAX_LISTED_LINKS)
    if shares_files(place):
        effect = "all trials share them and can change them, and a cluster would not have them"
        on_cluster = ": there, mount such data with `volumes:`" if project.large else ""
        linked = f"linked from this folder, not packed: {paths}; {effect}{on_cluster}"
        return [linked, *(copies if own else ()), *leading]
    if place.embedded:
        mounted = [f"mounted from this folder read-only, not packed: {paths}; a cluster would not have them"]
        hint = "they lead to hidden files or other files that may hold your keys"
        without = [f"not mounted, since {hint}: {brief_list(refused, _MAX_LISTED_LINKS)}"]
        return [*(mounted if links else ()), *leading, *(without if refused else ())]
    return [f"not packed, so trials do not have them: {paths}; use `volumes:` to mount data of the cluster"]


def _outside_target(root: Path, path: str) -> str:
    """Return where a link of the project leads; empty if it stays in the project."""
    return in_utf8(Path(os.path.realpath(root / path))) if leads_out(root / path, root) else ""


def _targets_in_words(targets: Mapping[str, str]) -> str:
    # all of them: the author of the project could hide one behind many others
    return ", ".join(one_line(f"{path} -> {target}") for path, target in targets.items())


def _not_mounted(root: Path, paths: Iterable[str]) -> list[str]:
    from orchestune.backends.docker.mounts import MountPolicy  # only containers need it

    policy = MountPolicy(own_projects=True)
    return [path for path in paths if policy.link(os.fspath(root / path), os.fspath(root)) is None]


def need_files(place: ServerPlace, project: ProjectFiles) -> None:
    """Raise TooLarge or BadInput if trials need the linked data of the project and the place cannot link them."""
    if project.unpackable is not None and not (shares_files(place) or (place.embedded and not project.outside)):
        raise project.unpackable


def project_in_words(prepared: PreparedExperiment) -> str:
    """Describe the project of the folder; empty if it is the folder itself."""
    folder = prepared.project.code.folder
    if not folder:
        return ""
    cause = f" (because of {prepared.mark})" if prepared.mark else ""
    return f"{prepared.project.root}{cause}; the command runs in {folder}"


def _unpassed(place: ServerPlace, prepared: PreparedExperiment) -> list[str]:
    """Return a note on the variables of this shell that the script reads and will not get."""
    specification, environ = prepared.specification, os.environ
    passed = {*specification.env, *(secret.name for secret in specification.secrets)}
    passed |= environment(environ).keys() if shares_files(place) else BASE_NAMES
    passed |= inherited(place, specification.inherit_env, environ).keys()
    return unpassed_variables(specification.run, prepared.folder, environ, passed)


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
    """Describe the image of the file; empty if the file names none."""
    base = prepared.specification.placement.image
    if prepared.dockerfile:
        description = f"built from {prepared.dockerfile}"
    elif prepared.install:
        description = f"{base or 'the default image'}, with {' && '.join(prepared.install)}"
    else:
        return base or ""
    return (
        f"{description} and {' && '.join(prepared.install)}"
        if prepared.dockerfile and prepared.install
        else description
    )


def need_image(place: ServerPlace, prepared: PreparedExperiment) -> None:
    """Raise UsageError with a proposal if containers need an image and the file names none."""
    if place.name == "docker" and not image_in_words(prepared):
        raise UsageError("no image for the container in the experiment file", propose(prepared.folder))


def propose(folder: Path) -> str:
    """Propose a line for the experiment file, based on the files beside it."""
    from orchestune.images.builds.suggest import suggest_install  # only needed without an image

    if (folder / "Dockerfile").is_file():
        return "add `dockerfile: Dockerfile` to the experiment file, to use the Dockerfile in this folder"
    install = suggest_install(folder)
    if install:
        return "add to the experiment file:\n" + "\n".join(f"       {line}" for line in install.strip().splitlines())
    return "add `image: python:3.12-slim`, or another image with the command's dependencies, to the experiment file"
