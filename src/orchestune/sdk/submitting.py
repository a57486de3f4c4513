"""Packing code and starting an experiment: what the command line and Python do alike."""

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
from orchestune.client.local.launch_context import environment, folder_key, owner, python, secret_values
from orchestune.domain.search.warm_start import WarmStart
from orchestune.domain.specification.code import DEFAULT_LIMIT, CodeSettings
from orchestune.domain.specification.experiment import TEST_LABEL, Specification
from orchestune.domain.specification.notify import is_address
from orchestune.sdk import warm_start


def at_hand(place: ServerPlace) -> bool:
    """Whether trials are processes of this machine, or of one about which this client knows no better."""
    return place.cluster is None or place.cluster.provider == "local"


def shares_files(place: ServerPlace) -> bool:
    """Whether trials see the files of this machine where they are here, and run what is installed here."""
    return at_hand(place) or (place.cluster is not None and place.cluster.provider == "slurm")


def named(place: ServerPlace) -> dict[str, str]:
    """The part of a request that names the cluster: a server elsewhere has one of its own."""
    return {"cluster": place.name} if place.embedded else {}


def launch(
    place: ServerPlace,
    root: Path | str | None,
    links: Sequence[str],
    code: CodeSettings,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """What trials get of this shell and folder: nothing, where they cannot see them; and how the code is packed."""
    rules: dict[str, Any] = {"ignore": list(code.ignore), "limit": code.limit}
    packed = {"code": {**rules, "modules": list(code.modules)} if code.modules else rules}
    found: dict[str, Any] = {"root": os.fspath(root) if root else None, "links": list(links), **packed}
    if shares_files(place):
        return {"env": environment(environ), "python": python(environ), **found}
    return found if place.embedded else packed


def how_packed(launched: Mapping[str, Any]) -> CodeSettings:
    """The rules for the code that a launch took along."""
    code = launched.get("code") or {}
    limit = int(code.get("limit") or DEFAULT_LIMIT)
    return CodeSettings(tuple(code.get("ignore") or ()), limit, tuple(code.get("modules") or ()))


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
    """The request that starts an experiment of `folder`; `digest` is that of its code, `warm` what it begins with."""
    passing = TEST_LABEL in specification.labels  # and never the newest experiment of its folder
    if passing:
        specification = replace(specification, notify=(), mlflow=None)
    sent = outgoing(specification, folder, environ)
    return {
        "specification": specification.to_json(),
        "bundle": digest,
        **named(place),
        "folder": "" if passing else folder_key(folder),
        **({} if place.told_who else {"owner": owner(environ)}),
        "launch": dict(launched),
        "secrets": dict(secrets),
        **({"outgoing": sent} if sent else {}),
        **warm_start.request(warm),
    }


def outgoing(specification: Specification, folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Addresses and secrets of `notify` and `mlflow` by name: they go beside the specification. BadInput."""
    named = dict(_outgoing(specification))
    sources = [(name, text) for name, text in named.items() if not is_address(text)]
    found = named | secret_values(sources, environ, folder, section="")
    for name, value in found.items():
        if name.endswith((".url", ".uri")):
            from orchestune.outgoing.destinations import parse  # here: seldom needed

            parse(value, name)
    return found


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
    """The files of ours that go with the code, by their path there."""
    if not code.modules:
        return {}
    from orchestune.config.sources import sigopt_modules  # here: seldom needed

    return {file: sigopt_modules.source(file) for file in code.modules}


def upload(client: Client, folder: Path, ignore: Sequence[str], code: CodeSettings) -> str:
    """Pack the code in `folder` and send it, unless the server has it; its digest. Raises what `pack` raises."""
    from orchestune.bundles.pack import pack  # pathspec is slow to import, and only needed here

    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        bundle = pack(folder, ignore, code.limit, Path(scratch), ours(code))
        client.upload_bundle(bundle.digest, bundle.path)
    return bundle.digest


def files_of_secrets(specification: Specification, folder: Path) -> list[str]:
    """Patterns of the files in the folder that hold the values of secrets: they must not travel with the code."""
    found = []
    sources = [secret.source for secret in specification.secrets]
    for source in [*sources, *(text for _, text in _outgoing(specification))]:
        kind, _, place = source.partition(":")
        path = os.path.abspath(folder / os.path.expanduser(place))
        for named in {path, os.path.realpath(path)} if kind == "file" else ():
            inside = os.path.relpath(named, folder)
            if not inside.startswith(os.pardir + os.sep):
                found.append(f"/{escaped(inside)}")
    return sorted(found)


def escaped(path: str) -> str:
    """The path as a pattern of an ignore file that matches it alone."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
