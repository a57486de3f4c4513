"""Packing of code and requests that start an experiment, for the command line and the Python API."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.client.address import ServerPlace
from orchestune.client.api import Client
from orchestune.client.local.inherited_environment import environment, inherited_environment
from orchestune.client.local.launch_context import folder_key, owner, python, secret_values
from orchestune.domain.search.warm_start import WarmStart
from orchestune.domain.specification.code import DEFAULT_LIMIT, CodeSettings
from orchestune.domain.specification.experiment import TEST_LABEL, Specification
from orchestune.domain.specification.notify import is_address
from orchestune.sdk import warm_start


def at_hand(place: ServerPlace) -> bool:
    """Return True if trials are processes on this machine, or the place has no known cluster."""
    return place.cluster is None or place.cluster.provider == "local"


def shares_files(place: ServerPlace) -> bool:
    """Return True if trials see the files of this machine under the same paths and run its installed programs."""
    return at_hand(place) or (place.cluster is not None and place.cluster.provider == "slurm")


def named(place: ServerPlace) -> dict[str, str]:
    """Return the part of a request that names the cluster; empty for a remote server, which has its own."""
    return {"cluster": place.name} if place.embedded else {}


def launch(
    place: ServerPlace,
    root: Path | str | None,
    links: Sequence[str],
    code: CodeSettings,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Return the environment and folder that trials get, and the rules for packing the code.

    Environment and folder are empty if trials cannot see them.
    """
    rules: dict[str, Any] = {"ignore": list(code.ignore), "limit": code.limit}
    rules |= {"modules": list(code.modules)} if code.modules else {}
    rules |= {"folder": code.folder} if code.folder else {}
    packed = {"code": rules}
    folder_context: dict[str, Any] = {"root": os.fspath(root) if root else None, "links": list(links), **packed}
    if shares_files(place):
        return {"env": environment(environ), "python": python(environ), **folder_context}
    return folder_context if place.embedded else packed


def inherited(place: ServerPlace, inherits: bool, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that trials inherit beside those of `launch`: processes of the embedded server's machine."""
    is_local = place.embedded and place.cluster is not None and place.cluster.provider == "local"
    return inherited_environment(environ) if is_local and inherits else {}


def how_packed(launched: Mapping[str, Any]) -> CodeSettings:
    """Return the packing rules of a launch."""
    code = launched.get("code") or {}
    limit = int(code.get("limit") or DEFAULT_LIMIT)
    ignore, modules = tuple(code.get("ignore") or ()), tuple(code.get("modules") or ())
    return CodeSettings(ignore, limit, modules, folder=str(code.get("folder") or ""))


def request(
    place: ServerPlace,
    specification: Specification,
    digest: str | None,
    folder: Path,
    launched: Mapping[str, Any],
    secrets: Mapping[str, str],
    environ: Mapping[str, str] = os.environ,
    warm: WarmStart | None = None,
) -> dict[str, Any]:
    """Build the request that starts an experiment of `folder`; `digest` is that of its code, `warm` its warm start."""
    is_test = TEST_LABEL in specification.labels  # an ephemeral test is never the newest experiment of its folder
    if is_test:
        specification = replace(specification, notify=(), mlflow=None)
    destinations = outgoing(specification, folder, environ)
    variables = inherited(place, specification.inherit_env, environ)
    return {
        "specification": specification.to_json(),
        "bundle": digest,
        **named(place),
        "folder": "" if is_test else folder_key(folder),
        **({} if place.sends_caller_name else {"owner": owner(environ)}),
        "launch": dict(launched),
        "secrets": dict(secrets),
        **({"environment": variables} if variables else {}),
        **({"outgoing": destinations} if destinations else {}),
        **warm_start.request(warm),
    }


def outgoing(specification: Specification, folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return URLs and secrets of `notify` and `mlflow` by name, which are sent beside the specification.

    Raises BadInput.
    """
    texts = dict(_outgoing(specification))
    sources = [(name, text) for name, text in texts.items() if not is_address(text)]
    resolved = texts | secret_values(sources, environ, folder, section="")
    for name, value in resolved.items():
        if name.endswith((".url", ".uri")):
            from orchestune.outgoing.destinations import parse  # here: seldom needed

            parse(value, name)
    return resolved


def _outgoing(specification: Specification) -> Iterator[tuple[str, str]]:
    for index, hook in enumerate(specification.notify):
        yield f"notify.{index}.url", hook.url
        if hook.secret:
            yield f"notify.{index}.secret", hook.secret
    if specification.mlflow is not None:
        yield "mlflow.uri", specification.mlflow.uri
        if specification.mlflow.token:
            yield "mlflow.token", specification.mlflow.token


def ours(code: CodeSettings) -> dict[str, Path]:
    """Return Orchestune's own files that are packed with the code, by their path there."""
    if not code.modules:
        return {}
    from orchestune.config.sources import sigopt_modules  # here: seldom needed

    return {os.path.join(code.folder, file): sigopt_modules.source(file) for file in code.modules}


def upload(client: Client, folder: Path, ignore: Sequence[str], code: CodeSettings) -> str:
    """Pack the code in `folder` and upload it unless the server has it.

    Returns its digest. Raises the errors of `pack`.
    """
    from orchestune.bundles.pack import pack  # pathspec is slow to import, and only needed here

    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        bundle = pack(folder, ignore, code.limit, Path(scratch), ours(code))
        client.upload_bundle(bundle.digest, bundle.path)
    return bundle.digest


def files_of_secrets(specification: Specification, folder: Path, root: Path) -> list[str]:
    """Return ignore patterns of the files below `root` that hold secrets: they must not be packed.

    Their paths are relative to `folder`.
    """
    patterns = []
    sources = [secret.source for secret in specification.secrets]
    for source in [*sources, *(text for _, text in _outgoing(specification))]:
        kind, _, location = source.partition(":")
        path = os.path.abspath(folder / os.path.expanduser(location))
        for secret_path in {path, os.path.realpath(path)} if kind == "file" else ():
            relative = os.path.relpath(secret_path, root)
            if not relative.startswith(os.pardir + os.sep):
                patterns.append(f"/{escaped(relative)}")
    return sorted(patterns)


def escaped(path: str) -> str:
    """Return an ignore pattern that matches only this path."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
