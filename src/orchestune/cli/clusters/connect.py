"""`cluster connect` and `cluster upgrade`: the server comes into a cluster, or this user joins one that is there."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune import __version__
from orchestune.cli.clusters.cloud import add_cloud, joined, profile
from orchestune.cli.clusters.image import note_registry, server_image
from orchestune.cli.clusters.join import join_hosted, say_hello
from orchestune.cli.clusters.options import NO_FILE, ConnectOptions
from orchestune.cli.clusters.shared import add_name, add_place, api, known, meant, registered, repeatable, role_of
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, positive
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.clusters import ConnectedCluster, check_name
from orchestune.clusters.existing import permissions, plan, provisioner, rollout
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings, checked, refuse_moves
from orchestune.clusters.existing.provisioner import DeploymentState
from orchestune.domain.resources.resources import parse_seconds
from orchestune.errors import Conflict, NotFound, UsageError


def add(inner: Commands) -> None:
    """Add the commands."""
    parser = add_command(
        inner,
        "connect",
        connect,
        help="bring the server into a Kubernetes cluster, or join one that is there",
        details="Everything goes into one namespace. Interrupted anywhere, the same command completes it.",
        example="orchestune cluster connect -n lab --context lab --namespace ml --registry registry.lab:5000\n"
        "orchestune cluster connect -n vision --cloud aws --region eu-central-1\n"
        "orchestune cluster connect -n team --server https://orchestune.example.org",
    )
    add_name(parser)
    parser.add_argument("--server", metavar="URL", help="join a hosted server; its token comes from ORCHESTUNE_TOKEN")
    add_place(parser)
    add_cloud(parser)
    _add_storage(parser)
    _add_images(parser)
    parser.add_argument("--gpu-resource", metavar="NAME", help="how nodes call their GPUs (default: nvidia.com/gpu)")
    parser.add_argument("--pool-label", metavar="KEY", help="label that names a node's pool (orchestune.dev/pool)")
    parser.add_argument(
        "--autoscaling",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the cluster starts nodes for pods that wait",
    )
    parser.add_argument("--create-namespace", action="store_true", default=None, help="make the namespace")
    parser.add_argument("--proxy", metavar="URL", help="proxy of the way out of the server and of builds")
    parser.add_argument("--no-proxy", metavar="HOSTS", help="where they need no proxy, beside the cluster itself")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates (PEM) that the server and builds trust")
    _add_allowances(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the manifests, change nothing")
    parser.add_argument(
        "--print-admin", action="store_true", help="print what an administrator has to apply, change nothing"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    _add_upgrade(inner)


def _add_allowances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow",
        action="append",
        metavar="KIND[:NAME]",
        help="let experiments use claim:NAME, service-account:NAME, path:FOLDER of the nodes, secret:NAME,"
        " capability:NAME, host-network, privileged and the like; may be repeated",
    )
    parser.add_argument(
        "--disallow", action="append", metavar="KIND[:NAME]", help="take an --allow back; may be repeated"
    )


def _add_upgrade(inner: Commands) -> None:
    parser = add_command(
        inner,
        "upgrade",
        upgrade,
        help="bring the server in a cluster to this version",
        details="Its data stays, and so do trials that run. No other command does this.",
        example="orchestune cluster upgrade -n lab",
    )
    add_name(parser, required=False)
    parser.add_argument("--server-image", metavar="REF", help="run this image instead of one of this installation")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def _add_storage(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--storage-class", metavar="NAME", help="for the server's disk (default: the cluster's default)")
    group.add_argument("--claim", metavar="NAME", help="a claim of the namespace that exists already")
    parser.add_argument("--size", metavar="SIZE", help="of the server's disk (default: 20Gi)")
    parser.add_argument("--database-url", metavar="URL", help="a PostgreSQL instead of SQLite on the disk")
    parser.add_argument("--files", metavar="URL", help="s3://BUCKET/PREFIX for logs and files instead of the disk")
    parser.add_argument(
        "--retention",
        type=_duration,
        metavar="TIME",
        help="drop logs and files so long after an experiment has ended, such as 90d; never (as without it) keeps them",
    )
    parser.add_argument(
        "--env-secret",
        metavar="NAME",
        help="a Secret of the namespace that becomes environment variables of the server, such as AWS_ACCESS_KEY_ID",
    )
    parser.add_argument(
        "--replicas",
        type=positive,
        metavar="N",
        help="servers side by side; more than one needs --database-url and --files (default: 1)",
    )


def _duration(text: str) -> str:
    if text == "never":
        return ""
    try:
        parse_seconds(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return text


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry", metavar="HOST", help="where images are pushed to and pulled from: host:port[/path]"
    )
    parser.add_argument("--server-image", metavar="REF", help="image of the server (default: made and pushed)")
    parser.add_argument("--default-image", metavar="REF", help="what trials run in whose file names no image")
    parser.add_argument(
        "--pull-secret", action="append", metavar="NAME", help="a Secret of the namespace for pulling; may be repeated"
    )
    parser.add_argument(
        "--image-volumes",
        choices=("auto", "yes", "no"),
        help="bring the worker's Python into pods as an image volume (default: auto, where the cluster has them)",
    )


def connect(console: Console, args: argparse.Namespace) -> int:
    """Deploy, complete what was interrupted, change settings, or only join."""
    check_name(args.name)
    if args.server:
        return join_hosted(console, args.name, args.server)
    cluster = joined(console, args) if args.cloud else meant(console, args)
    wishes = ConnectOptions.of(args)
    if not (args.print_admin or args.dry_run):
        return bring(console, cluster, wishes, ask=not args.yes)
    cluster_api = api(cluster)
    found = _present(cluster_api, cluster)
    wanted = _wanted(cluster_api, cluster, wishes, found)
    if args.print_admin:
        return _print(console, [*_namespace(wanted), *plan.administrators_part(wanted)])
    return _dry_run(console, wanted, wishes, _certificates(wishes, found))


def bring(console: Console, cluster: ConnectedCluster, wishes: ConnectOptions, *, ask: bool, repeats: int = 3) -> int:
    """Deploy, complete, change or join the server of a known cluster. `ask`: before anything is deployed, if stdin is a
    terminal.

    If another command creates or changes the settings at the same time, this one is repeated, at most `repeats` times:
    it makes its own changes to the settings of the other.
    """
    cluster_api = api(cluster)
    found = _present(cluster_api, cluster)
    wanted = _wanted(cluster_api, cluster, wishes, found)
    certificates = _certificates(wishes, found)
    if wishes.registry and wanted.server_image:  # else the image of the server is pushed there
        note_registry(console, wanted, profile(console, cluster.profile))
    said = wishes.database_url or wishes.ca
    changed = found is None or wanted != found.connection or bool(said)
    others = found is not None and _is_other_version(found, changed)
    if found is not None and not changed and (found.current or others):
        joining = _remember(console, cluster, cluster_api, wanted)
        rollout.wait(cluster_api, wanted, console.note)
        return say_hello(console, wanted, joining)
    try:
        with repeatable(console):
            deployed = _deploy(
                console,
                cluster_api,
                cluster,
                wanted,
                certificates,
                database_url=wishes.database_url,
                ask=ask,
                version=found.version if found is not None else None,
            )
    except provisioner.Overtaken as exc:
        if not repeats:
            raise
        console.note(f"{exc.message}: going on from the present settings")
        return bring(console, cluster, wishes, ask=False, repeats=repeats - 1)
    return say_hello(console, deployed, known(console).get(cluster.name))


def _present(cluster_api: ContextClient, cluster: ConnectedCluster) -> DeploymentState | None:
    found = provisioner.present(cluster_api, cluster.namespace)
    if found is not None and found.connection.name != cluster.name:
        raise UsageError(
            f"the namespace {cluster.namespace} has the server of the cluster '{found.connection.name}'",
            f"connect it by that name (-n {found.connection.name}), or choose another --namespace",
        )
    return found


def _is_other_version(found: DeploymentState, changed: bool) -> bool:
    """Whether another version has deployed what is there. Its settings are its own: only `upgrade` touches them."""
    if not found.deployed or found.connection.version in ("", __version__):
        return False
    if changed:
        raise Conflict(
            f"the server there is version {found.connection.version}, this program {__version__}",
            f"`orchestune cluster upgrade -n {found.connection.name}` first; then change its settings",
        )
    return True


def upgrade(console: Console, args: argparse.Namespace) -> int:
    """Another image, the same settings."""
    cluster = registered(console, args.name)
    cluster_api = api(cluster)
    found = provisioner.present(cluster_api, cluster.namespace)
    if found is None:
        raise NotFound(f"there is no server in the namespace {cluster.namespace}", "see `orchestune cluster connect`")
    kind = "" if args.server_image else found.connection.architecture
    renewed = replace(found.connection, server_image=args.server_image or "", version="", architecture=kind)
    wanted = provisioner.rediscovered(cluster_api, renewed)
    with repeatable(console):
        deployed = _deploy(
            console, cluster_api, cluster, wanted, found.certificates, ask=not args.yes, version=found.version
        )
    console.note(_upgraded(found, deployed))
    return say_hello(console, deployed, known(console).get(cluster.name))


def _upgraded(found: DeploymentState, now: ConnectionSettings) -> str:
    """What has become of the server."""
    before = found.connection
    if before.version != now.version:
        return f"upgraded from {before.version or 'an unknown version'} to {now.version}"
    if before.server_image != now.server_image:
        return f"it was version {now.version} already; its image is another one now, {now.server_image}"
    same = f"it was version {now.version} already, with the same image"
    if before.queues != now.queues:
        return f"{same}; it may look at the queues of Kueue now" if now.queues else f"{same}; Kueue is gone"
    return f"{same}: nothing changed" if found.current else f"{same}; what an interrupted command had left is done"


def _wanted(
    cluster_api: ContextClient, cluster: ConnectedCluster, wishes: ConnectOptions, found: DeploymentState | None
) -> ConnectionSettings:
    """What is asked for; what that leaves open stays as it is in the cluster."""
    changes = wishes.changes
    if wishes.database_url and not wishes.database_url.startswith("postgresql://"):
        raise UsageError("--database-url takes a PostgreSQL: postgresql://USER:PASSWORD@HOST/NAME")
    if found is not None:
        refuse_moves(found.connection, changes)
        if wishes.server_image not in (None, found.connection.server_image):
            changes |= {"version": "", "architecture": ""}  # whatever that image holds
        made = found.connection.with_changes(changes)
        return provisioner.rediscovered(cluster_api, made) if made.version in ("", __version__) else made
    fresh = checked(ConnectionSettings(cluster.name, cluster.namespace)).with_changes(changes)
    return provisioner.discovered(cluster_api, fresh)


def _deploy(
    console: Console,
    cluster_api: ContextClient,
    cluster: ConnectedCluster,
    wanted: ConnectionSettings,
    certificates: str,
    *,
    ask: bool,
    version: str | None,
    database_url: str | None = None,
) -> ConnectionSettings:
    """Everything is checked before anything is changed. `version`: of the settings from which `wanted` was made."""
    provisioner.check_rights(cluster_api, permissions.to_deploy(wanted), f"deploy into {wanted.namespace}")
    provisioner.check_namespace(cluster_api, wanted)
    provisioner.check_secrets(cluster_api, wanted)
    provisioner.check_storage(cluster_api, wanted)
    if ask and sys.stdin.isatty():
        confirm(f"{_in_words(wanted)} Go on?", "nothing was changed")
    grant = provisioner.may_grant(cluster_api)
    wanted = server_image(console, cluster_api, wanted, profile(console, cluster.profile))
    _remember(console, cluster, cluster_api, wanted)
    provisioner.deploy(
        cluster_api,
        wanted,
        console.note,
        database_url=database_url,
        certificates=certificates,
        grant=grant,
        version=version,
    )
    if not grant:
        console.note(
            "without the administrator's part, status does not know what others use;"
            f" `orchestune cluster connect -n {wanted.name} --print-admin` prints it"
        )
    return wanted


def _in_words(wanted: ConnectionSettings) -> str:
    place = (
        "a database" if wanted.database else f"the claim {wanted.claim}" if wanted.claim else f"{wanted.size} of disk"
    )
    return f"The server of '{wanted.name}' goes into the namespace {wanted.namespace}, its data into {place}."


def _remember(
    console: Console, cluster: ConnectedCluster, cluster_api: ContextClient, wanted: ConnectionSettings
) -> ConnectedCluster:
    """Known from here on, so that `destroy` finds it even where `connect` was interrupted."""
    user, role = cluster_api.who_am_i(), role_of(cluster_api, wanted)
    made = replace(cluster, registry=wanted.registry, user=user, role=role, version=wanted.version)
    known(console).add(made)
    return made


def _certificates(wishes: ConnectOptions, found: DeploymentState | None) -> str:
    if wishes.ca is None:
        return found.certificates if found else ""
    if wishes.ca == NO_FILE:
        return ""
    try:
        text = wishes.ca.read_text()
    except OSError as exc:
        raise UsageError(f"{wishes.ca} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{wishes.ca} holds no certificate in PEM") from exc
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"{wishes.ca} holds no certificate in PEM")
    return text


def _namespace(wanted: ConnectionSettings) -> list[dict[str, Any]]:
    return [plan.namespace(wanted)] if wanted.create_namespace else []


def _dry_run(console: Console, wanted: ConnectionSettings, wishes: ConnectOptions, certificates: str) -> int:
    shown = wanted if wanted.server_image else replace(wanted, server_image="(known once it is pushed)")
    documents = plan.foundation(shown, certificates=certificates)
    if wishes.database_url:
        documents.append(plan.database_secret(shown, wishes.database_url, b""))
    return _print(console, documents + plan.server(shown, certificates=certificates))


def _print(console: Console, documents: list[dict[str, Any]]) -> int:
    from orchestune.clusters.existing.text import as_yaml  # a YAML writer, which nobody else needs

    if console.json:
        console.document(documents)
    else:
        console.out.write(as_yaml(documents))
    return 0
