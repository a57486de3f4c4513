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
_TAIL_LINES = 25
"""lines of output that an error shows"""
_REFUSED_MESSAGES = ("denied", "unauthorized", "authentication required", "no basic auth credentials")
_FOREIGN_MESSAGES = ("exec format error",)
_CONFINED_MESSAGES = ("unshare(CLONE_NEWUSER)",)
_BASE_IMAGE_MESSAGES = (
    "initializing source docker://",
    "failed to resolve source metadata for",
    "pull access denied for",
)
"""messages of buildah and podman, and two of docker, if a base image cannot be pulled"""
_LOGIN_HINT = "log in at its registry: docker login REGISTRY"
_UNTRUSTED_MESSAGES = ("x509:", "certificate signed by unknown authority")


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
        self, command: Sequence[str], plan: Plan, say: Say, operation: str, environ: Mapping[str, str] | None = None
    ) -> None:
        log_tail: deque[str] = deque(maxlen=_TAIL_LINES)
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
                        log_tail.append(line.rstrip())
                        say(line.rstrip())
                    on_error.pop_all()
        except OSError as exc:
            raise Unreachable(f"{self._kind} cannot be started: {exc.strerror}") from exc
        if process.returncode:
            trust = trust_hint(self._kind, plan.target.registry)
            raise failure(operation, self._kind, plan, list(log_tail), trust)


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
    options = [] if kind == "docker" else ["--authfile", str(login / "config.json")]
    return [kind, "pull", "--platform", str(platform), *options, image]


def push_command(kind: Kind, plan: Plan, login: Path | None = None) -> list[str]:
    """Return the command that pushes the image; `login` is a folder with a login (docker: in its environment)."""
    if kind == "docker":
        return ["docker", "push", str(plan.target)]
    options = ["--tls-verify=false"] if plan.plain else []
    options += ["--authfile", str(login / "config.json")] if login else []
    return [kind, "push", *options, str(plan.target), f"docker://{plan.target}"]


def failure(operation: str, builder: str, plan: Plan, output: Sequence[str], trust: str) -> OrchestuneError:
    """Return the error for the output of a failed step; `trust` is the hint for an untrusted registry."""
    log = "\n".join(output)
    registry = plan.target.registry
    if any(word in log.lower() for word in _FOREIGN_MESSAGES):
        return OrchestuneError(
            f"{builder} cannot build for {plan.platform} on this machine:\n{log}",
            "register an emulator: docker run --privileged --rm tonistiigi/binfmt --install all",
        )
    if any(word in log for word in _CONFINED_MESSAGES):
        return OrchestuneError(
            f"{builder} cannot create a user namespace, which a build needs:\n{log}",
            "allow it in the seccomp profile (in a cluster: the kubelet's `seccompDefault`) and the kernel"
            " (user.max_user_namespaces); or build on another machine, or name an existing image",
        )
    if any(word in log for word in _UNTRUSTED_MESSAGES):
        verb = "push" if operation == "push" else "build"
        return OrchestuneError(
            f"{builder} could not {verb} {plan.target}, since it does not trust a registry:\n{log}",
            trust,
        )
    is_refused = any(word in log.lower() for word in _REFUSED_MESSAGES)
    if operation == "build" and is_refused and any(word in log for word in _BASE_IMAGE_MESSAGES):
        return Denied(f"{builder} may not pull a base image:\n{log}", _LOGIN_HINT)
    if operation == "push" and is_refused:
        return Denied(f"the registry {registry} refuses {plan.target}:\n{log}", hint(registry))
    if operation == "push":
        return OrchestuneError(
            f"{builder} could not push {plan.target}:\n{log}",
            f"add a registry without TLS to insecure-registries in {builder}'s configuration",
        )
    return OrchestuneError(f"{builder} could not build the image:\n{log}", "correct `install:` or the Dockerfile")


def _with_login(login: Path | None) -> Mapping[str, str] | None:
    """Return the environment that selects the login for docker."""
    return {**os.environ, "DOCKER_CONFIG": str(login)} if login else None


def trust_hint(builder: Kind, registry: str) -> str:
    """Return the hint for an untrusted registry."""
    machine = "the machine of the Docker Engine" if builder == "docker" else "this machine"
    return f"put the registry's CA into /etc/docker/certs.d/{registry}/ca.crt on {machine}"


def _docker_answers() -> bool:
    """Return True if the engine responds: the client alone cannot build."""
    try:
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0
