"""Registry logins from the user's Docker configuration and its credential helpers. Nothing is stored."""

from __future__ import annotations

import base64
import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestune.errors import UsageError
from orchestune.images.registries.ecr import expired, is_ecr, password
from orchestune.images.registries.reference import HUB

_HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Credentials:
    """A login: user name and password, or an identity token instead."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def find(registry: str, environ: Mapping[str, str] = os.environ, profile: str = "") -> Credentials | None:
    """Return the login for a registry from `config.json` or its credential helper; None if there is none.

    For ECR, if that login is missing or expired, requests one from AWS with `profile`.

    Raises UsageError if the helper is missing or fails. Blocking: a helper may query its keychain.
    """
    login = _read_login(registry, environ)
    if is_ecr(registry) and (login is None or expired(login.password, time.time())):
        login_pair = password(registry, profile)
        login = Credentials(*login_pair) if login_pair else login
    return login


def _read_login(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    import docker.auth  # imported on demand: loads requests and more, which most commands never need
    import docker.errors

    file = docker_folder(environ) / "config.json"
    if not file.is_file():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing helper: raised below
            entry = docker.auth.load_config(str(file)).resolve_authconfig(registry)
    except (docker.errors.DockerException, ValueError, KeyError, AttributeError, TypeError) as exc:
        detail = f": {exc}" if isinstance(exc, docker.errors.DockerException) else ""
        raise UsageError(
            f"cannot read the login for {registry} from {file}{detail}",
            f"correct it, or run: docker login {'' if registry == HUB else registry}".rstrip(),
        ) from exc
    fields = {str(key).lower(): str(value) for key, value in (entry or {}).items() if value}
    if fields.get("identitytoken"):
        return Credentials(identity_token=fields["identitytoken"])
    if fields.get("username"):
        return Credentials(fields["username"], fields.get("password", ""))
    return None


def as_docker_config(logins: Mapping[str, Credentials]) -> bytes:
    """Return a `config.json` with logins by registry, as in a Secret of type kubernetes.io/dockerconfigjson."""
    entries = {_HUB_KEY if registry == HUB else registry: _entry(login) for registry, login in logins.items()}
    return json.dumps({"auths": entries}).encode("utf-8")


def _entry(login: Credentials) -> dict[str, str]:
    if login.identity_token:
        return {"identitytoken": login.identity_token}
    pair = f"{login.username}:{login.password}".encode()
    return {"auth": base64.b64encode(pair).decode("ascii")}


def docker_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's Docker configuration."""
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or os.path.expanduser("~"), ".docker"))
