"""Image builds with docker, podman or buildah on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from orchestune.errors import Denied, OrchestuneError, Unreachable
from orchestune.images.builds.build import Plan, Say, write_context
from orchestune.images.builds.dockerfile import bases
from orchestune.images.registries.login import hint
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import parse
from orchestune.images.registries.short_login import short_login

Kind = Literal["docker", "podman", "buildah"]
KINDS: tuple[Kind, ...] = ("docker", "podman", "buildah")
_ANSWER_SECONDS = 20
_KEPT = 25
"""lines of output that an error shows"""
_REFUSED = ("denied", "unauthorized", "authentication required", "no basic auth credentials")
_FOREIGN = ("exec format error",)
_CONFINED = ("unshare(CLONE_NEWUSER)",)
_FROM_REGISTRY = ("initializing source docker://", "failed to resolve source metadata for", "pull access denied for")
"""messages of buildah and podman, and two of docker, if a base image cannot be pulled"""
_HOW_TO_LOG_IN = "log in at its registry: docker login REGISTRY"
_DISTRUSTED = ("x509:", "certificate signed by unknown authority")


class Tool:
    """A program that builds images, with the user's own logins."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    @property
    def name(self) -> str:
        return self._kind

    def build(self, plan: Plan, say: Say) -> None:
        for image in bases(plan.dockerfile):
            with short_login(parse(image).registry, profile=plan.profile) as login:
                if login:  # the tool itself has no login there
                    command = pull_command(self._kind, image, plan.platform, login)
                    self._run(command, plan, say, "build", _with_login(login))
        self.make(plan, say)
        with short_login(plan.target.registry, profile=plan.profile) as login:
            self._run(push_command(self._kind, plan, login), plan, say, "push", _with_login(login))

    def make(self, plan: Plan, say: Say) -> None:
        """Build the image into the tool's local storage, as `plan.target`. Raises errors as `build` does."""
        with tempfile.TemporaryDirectory(prefix="orchestune-build-") as folder:
            dockerfile = write_context(plan, Path(folder))
            self._run(build_command(self._kind, plan, dockerfile), plan, say, "build")

    def _run(
        self, command: Sequence[str], plan: Plan, say: Say, what: str, environ: Mapping[str, str] | None = None
    ) -> None:
        kept: deque[str] = deque(maxlen=_KEPT)
        try:
            with subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            ) as process:
                with ExitStack() as on_error:
                    on_error.callback(process.terminate)
                    for line in process.stdout or ():
                        kept.append(line.rstrip())
                        say(line.rstrip())
                    on_error.pop_all()
        except OSError as exc:
            raise Unreachable(f"{self._kind} cannot be started: {exc.strerror}") from exc
        if process.returncode:
            trust = how_to_trust(self._kind, plan.target.registry)
            raise failure(what, self._kind, plan, list(kept), trust)


def find_tool() -> Tool | None:
    """Return the first tool that is installed and works. Blocking: a Docker Engine may be remote."""
    return next((Tool(kind) for kind in KINDS if shutil.which(kind) and (kind != "docker" or _docker_answers())), None)


def build_command(kind: Kind, plan: Plan, dockerfile: Path) -> list[str]:
    """Return the command that builds the image, from the context beside the Dockerfile."""
    command = [kind, "build", "--platform", str(plan.platform), "--tag", str(plan.target), "--file", str(dockerfile)]
    if kind != "docker" and plan.plain:
        command.append("--tls-verify=false")
    return [*command, str(dockerfile.parent / "context")]


def pull_command(kind: Kind, image: str, platform: Platform, login: Path) -> list[str]:
    """Return the command that pulls a base image before the build, with a separate login."""
    more = [] if kind == "docker" else ["--authfile", str(login / "config.json")]
    return [kind, "pull", "--platform", str(platform), *more, image]


def push_command(kind: Kind, plan: Plan, login: Path | None = None) -> list[str]:
    """Return the command that pushes the image; `login` is a folder with a login (docker: in its environment)."""
    if kind == "docker":
        return ["docker", "push", str(plan.target)]
    more = ["--tls-verify=false"] if plan.plain else []
    more += ["--authfile", str(login / "config.json")] if login else []
    return [kind, "push", *more, str(plan.target), f"docker://{plan.target}"]


def failure(what: str, builder: str, plan: Plan, output: Sequence[str], trust: str) -> OrchestuneError:
    """Return the error for the output of a failed step; `trust` is the hint for an untrusted registry."""
    end = "\n".join(output)
    registry = plan.target.registry
    if any(word in end.lower() for word in _FOREIGN):
        return OrchestuneError(
            f"{builder} cannot build for {plan.platform} on this machine:\n{end}",
            "register an emulator: docker run --privileged --rm tonistiigi/binfmt --install all",
        )
    if any(word in end for word in _CONFINED):
        return OrchestuneError(
            f"{builder} may not make a user namespace, which a build takes:\n{end}",
            "a seccomp profile forbids it (in a cluster: the kubelet's `seccompDefault`), or the kernel there does"
            " (user.max_user_namespaces); build on another machine, or name an image that is built already",
        )
    if any(word in end for word in _DISTRUSTED):
        verb = "push" if what == "push" else "build"
        return OrchestuneError(
            f"{builder} could not {verb} {plan.target}, since it does not trust a registry:\n{end}",
            trust,
        )
    refused = any(word in end.lower() for word in _REFUSED)
    if what == "build" and refused and any(word in end for word in _FROM_REGISTRY):
        return Denied(f"{builder} may not have an image that this one is made from:\n{end}", _HOW_TO_LOG_IN)
    if what == "push" and refused:
        return Denied(f"the registry {registry} refuses {plan.target}:\n{end}", hint(registry))
    if what == "push":
        return OrchestuneError(
            f"{builder} could not push {plan.target}:\n{end}",
            f"a registry without TLS must stand in insecure-registries of {builder}'s configuration",
        )
    return OrchestuneError(f"the image could not be built by {builder}:\n{end}", "correct `install:` or the Dockerfile")


def _with_login(login: Path | None) -> Mapping[str, str] | None:
    """Return the environment that selects the login for docker."""
    return {**os.environ, "DOCKER_CONFIG": str(login)} if login else None


def how_to_trust(builder: Kind, registry: str) -> str:
    """Return the hint for an untrusted registry."""
    where = "its Engine runs" if builder == "docker" else "it runs"
    return f"put the registry's CA where {where}: /etc/docker/certs.d/{registry}/ca.crt"


def _docker_answers() -> bool:
    """Return True if the engine responds: the client alone cannot build."""
    try:
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(
            asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
