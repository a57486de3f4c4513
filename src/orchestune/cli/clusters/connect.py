"""`cluster connect` and `cluster upgrade`: deploy the server into a cluster, or join an existing one."""

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
from orchestune.cli.clusters.shared import (
    add_name,
    add_place,
    api,
    known_clusters,
    registered,
    repeatable,
    role_of,
    selected_cluster,
)
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
    """Register the commands."""
    parser = add_command(
        inner,
        "connect",
        connect,
        help="deploy the server into a Kubernetes cluster, or join an existing one",
        details="Everything is created in one namespace. If interrupted, repeat the command to complete it.",
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
    parser.add_argument("--gpu-resource", metavar="NAME", help="resource name of the GPUs (default: nvidia.com/gpu)")
    parser.add_argument(
        "--pool-label", metavar="KEY", help="node label with the pool's name (default: orchestune.dev/pool)"
    )
    parser.add_argument(
        "--autoscaling",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the cluster starts nodes for pending pods",
    )
    parser.add_argument("--create-namespace", action="store_true", default=None, help="create the namespace")
    parser.add_argument("--proxy", metavar="URL", help="proxy for outgoing requests of the server and of builds")
    parser.add_argument(
        "--no-proxy", metavar="HOSTS", help="hosts that need no proxy, in addition to the cluster itself"
    )
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="CA certificates (PEM) that the server and builds trust"
    )
    _add_allowances(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the manifests without applying them")
    parser.add_argument(
        "--print-admin",
        action="store_true",
        help="print the manifests that an administrator has to apply, without applying them",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")
    _add_upgrade(inner)


def _add_allowances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow",
        action="append",
        metavar="KIND[:NAME]",
        help="let experiments use claim:NAME, service-account:NAME, path:FOLDER of the nodes, secret:NAME,"
        " capability:NAME, host-network, privileged and others; repeatable",
    )
    parser.add_argument("--disallow", action="append", metavar="KIND[:NAME]", help="revoke an --allow; repeatable")


def _add_upgrade(inner: Commands) -> None:
    parser = add_command(
        inner,
        "upgrade",
        upgrade,
        help="upgrade the server in a cluster to this version",
        details="Keeps its data and running trials. No other command upgrades a server.",
        example="orchestune cluster upgrade -n lab",
    )
    add_name(parser, required=False)
    parser.add_argument(
        "--server-image", metavar="REF", help="image of the server (default: built from this installation)"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")


def _add_storage(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--storage-class", metavar="NAME", help="storage class of the server's disk (default: the cluster's default)"
    )
    group.add_argument("--claim", metavar="NAME", help="existing PersistentVolumeClaim of the namespace")
    parser.add_argument("--size", metavar="SIZE", help="size of the server's disk (default: 20Gi)")
    parser.add_argument("--database-url", metavar="URL", help="PostgreSQL database (default: SQLite on the disk)")
    parser.add_argument(
        "--files", metavar="URL", help="s3://BUCKET/PREFIX or claim:NAME for logs and files (default: the disk)"
    )
    parser.add_argument(
        "--retention",
        type=_duration,
        metavar="TIME",
        help="time after the end of an experiment to drop its logs and files, such as 90d (default: never)",
    )
    parser.add_argument(
        "--env-secret",
        metavar="NAME",
        help="Secret of the namespace with environment variables of the server, such as AWS_ACCESS_KEY_ID",
    )
    parser.add_argument(
        "--replicas",
        type=positive,
        metavar="N",
        help="number of servers; more than one needs --database-url and --files (default: 1)",
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
    parser.add_argument("--registry", metavar="HOST", help="registry to push and pull images: host:port[/path]")
    parser.add_argument("--server-image", metavar="REF", help="image of the server (default: built and pushed)")
    parser.add_argument("--default-image", metavar="REF", help="image of trials whose file names none")
    parser.add_argument(
        "--pull-secret", action="append", metavar="NAME", help="Secret of the namespace for pulling images; repeatable"
    )
    parser.add_argument(
        "--image-volumes",
        choices=("auto", "yes", "no"),
        help="mount the worker's Python as an image volume (default: auto, if the cluster supports them)",
    )


def connect(console: Console, args: argparse.Namespace) -> int:
    """Deploy the server, complete an interrupted deployment, change settings, or only join."""
    check_name(args.name)
    if args.server:
        return join_hosted(console, args.name, args.server)
    cluster = joined(console, args) if args.cloud else selected_cluster(console, args)
    options = ConnectOptions.of(args)
    if not (args.print_admin or args.dry_run):
        return bring(console, cluster, options, ask=not args.yes)
    cluster_api = api(cluster)
    deployment = _deployment(cluster_api, cluster)
    settings = _requested_settings(cluster_api, cluster, options, deployment)
    if args.print_admin:
        return _print(console, [*_namespace_manifests(settings), *plan.administrators_part(settings)])
    return _dry_run(console, settings, options, _certificates(options, deployment))


def bring(console: Console, cluster: ConnectedCluster, options: ConnectOptions, *, ask: bool, repeats: int = 3) -> int:
    """Connect a registered cluster. `ask`: confirm before anything is deployed, if there is a terminal.

    If another command creates or changes the settings at the same time, this one is repeated, at most `repeats` times:
    it applies its own changes to the settings of the other.
    """
    cluster_api = api(cluster)
    deployment = _deployment(cluster_api, cluster)
    settings = _requested_settings(cluster_api, cluster, options, deployment)
    certificates = _certificates(options, deployment)
    if options.registry and settings.server_image:  # else pushing the server's image checks the registry
        note_registry(console, settings, profile(console, cluster.profile))
    has_secrets = options.database_url or options.ca
    is_changed = deployment is None or settings != deployment.connection or bool(has_secrets)
    is_other_version = deployment is not None and _is_other_version(deployment, is_changed)
    if deployment is not None and not is_changed and (deployment.current or is_other_version):
        registered = _register(console, cluster, cluster_api, settings)
        rollout.wait(cluster_api, settings, console.note)
        return say_hello(console, settings, registered)
    try:
        with repeatable(console):
            deployed = _deploy(
                console,
                cluster_api,
                cluster,
                settings,
                certificates,
                database_url=options.database_url,
                ask=ask,
                version=deployment.version if deployment is not None else None,
            )
    except provisioner.Overtaken as exc:
        if not repeats:
            raise
        console.note(f"{exc.message}: continuing from the present settings")
        return bring(console, cluster, options, ask=False, repeats=repeats - 1)
    return say_hello(console, deployed, known_clusters(console).get(cluster.name))


def _deployment(cluster_api: ContextClient, cluster: ConnectedCluster) -> DeploymentState | None:
    deployment = provisioner.present(cluster_api, cluster.namespace)
    if deployment is not None and deployment.connection.name != cluster.name:
        raise UsageError(
            f"namespace {cluster.namespace} contains the server of cluster '{deployment.connection.name}'",
            f"use that name (-n {deployment.connection.name}), or choose another --namespace",
        )
    return deployment


def _is_other_version(deployment: DeploymentState, is_changed: bool) -> bool:
    """Return True if another version deployed the server. Only `upgrade` may touch its settings."""
    if not deployment.deployed or deployment.connection.version in ("", __version__):
        return False
    if is_changed:
        raise Conflict(
            f"the server is version {deployment.connection.version}, this program {__version__}",
            f"`orchestune cluster upgrade -n {deployment.connection.name}` first, then change its settings",
        )
    return True


def upgrade(console: Console, args: argparse.Namespace) -> int:
    """Deploy this version's image with the same settings."""
    cluster = registered(console, args.name)
    cluster_api = api(cluster)
    deployment = provisioner.present(cluster_api, cluster.namespace)
    if deployment is None:
        raise NotFound(f"no server in namespace {cluster.namespace}", "deploy it with `orchestune cluster connect`")
    architecture = "" if args.server_image else deployment.connection.architecture
    base = replace(deployment.connection, server_image=args.server_image or "", version="", architecture=architecture)
    settings = provisioner.rediscovered(cluster_api, base)
    with repeatable(console):
        deployed = _deploy(
            console,
            cluster_api,
            cluster,
            settings,
            deployment.certificates,
            ask=not args.yes,
            version=deployment.version,
        )
    console.note(_upgraded(deployment, deployed))
    return say_hello(console, deployed, known_clusters(console).get(cluster.name))


def _upgraded(deployment: DeploymentState, settings: ConnectionSettings) -> str:
    """Describe the change of the server."""
    previous = deployment.connection
    if previous.version != settings.version:
        return f"upgraded from {previous.version or 'an unknown version'} to {settings.version}"
    if previous.server_image != settings.server_image:
        return f"already version {settings.version}; image changed to {settings.server_image}"
    prefix = f"already version {settings.version} with the same image"
    if previous.queues != settings.queues:
        return f"{prefix}; it can read the queues of Kueue now" if settings.queues else f"{prefix}; Kueue was removed"
    return f"{prefix}: nothing changed" if deployment.current else f"{prefix}; completed an interrupted deployment"


def _requested_settings(
    cluster_api: ContextClient, cluster: ConnectedCluster, options: ConnectOptions, deployment: DeploymentState | None
) -> ConnectionSettings:
    """Return the requested settings; unspecified ones stay as deployed."""
    changes = options.changes
    if options.database_url and not options.database_url.startswith("postgresql://"):
        raise UsageError("invalid --database-url (expected postgresql://USER:PASSWORD@HOST/NAME)")
    if deployment is not None:
        refuse_moves(deployment.connection, changes)
        if options.server_image not in (None, deployment.connection.server_image):
            changes |= {"version": "", "architecture": ""}  # unknown for another image
        changed = deployment.connection.with_changes(changes)
        return provisioner.rediscovered(cluster_api, changed) if changed.version in ("", __version__) else changed
    defaults = checked(ConnectionSettings(cluster.name, cluster.namespace)).with_changes(changes)
    return provisioner.discovered(cluster_api, defaults)


def _deploy(
    console: Console,
    cluster_api: ContextClient,
    cluster: ConnectedCluster,
    settings: ConnectionSettings,
    certificates: str,
    *,
    ask: bool,
    version: str | None,
    database_url: str | None = None,
) -> ConnectionSettings:
    """Check everything, then deploy. `version`: that of the settings that `settings` was derived from."""
    provisioner.check_rights(cluster_api, permissions.to_deploy(settings), f"deploy into {settings.namespace}")
    provisioner.check_namespace(cluster_api, settings)
    provisioner.check_secrets(cluster_api, settings)
    provisioner.check_storage(cluster_api, settings)
    if ask and sys.stdin.isatty():
        confirm(f"{_deployment_summary(settings)} Continue?", "nothing was changed")
    may_grant = provisioner.may_grant(cluster_api)
    settings = server_image(console, cluster_api, settings, profile(console, cluster.profile))
    _register(console, cluster, cluster_api, settings)
    provisioner.deploy(
        cluster_api,
        settings,
        console.note,
        database_url=database_url,
        certificates=certificates,
        grant=may_grant,
        version=version,
    )
    if not may_grant:
        console.note(
            "without the administrator's manifests, status cannot show the usage by others;"
            f" `orchestune cluster connect -n {settings.name} --print-admin` prints them"
        )
    return settings


def _deployment_summary(settings: ConnectionSettings) -> str:
    storage = (
        "a database"
        if settings.database
        else f"the claim {settings.claim}"
        if settings.claim
        else f"a disk of {settings.size}"
    )
    return (
        f"The server of '{settings.name}' is deployed into namespace {settings.namespace}, with its data on {storage}."
    )


def _register(
    console: Console, cluster: ConnectedCluster, cluster_api: ContextClient, settings: ConnectionSettings
) -> ConnectedCluster:
    """Register the cluster before it is deployed, so that `destroy` finds it after an interrupted `connect`."""
    user, role = cluster_api.who_am_i(), role_of(cluster_api, settings)
    registered = replace(cluster, registry=settings.registry, user=user, role=role, version=settings.version)
    known_clusters(console).add(registered)
    return registered


def _certificates(options: ConnectOptions, deployment: DeploymentState | None) -> str:
    if options.ca is None:
        return deployment.certificates if deployment else ""
    if options.ca == NO_FILE:
        return ""
    try:
        text = options.ca.read_text()
    except OSError as exc:
        raise UsageError(f"cannot read '{options.ca}': {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"no PEM certificate in '{options.ca}'") from exc
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"no PEM certificate in '{options.ca}'")
    return text


def _namespace_manifests(settings: ConnectionSettings) -> list[dict[str, Any]]:
    return [plan.namespace(settings)] if settings.create_namespace else []


def _dry_run(console: Console, settings: ConnectionSettings, options: ConnectOptions, certificates: str) -> int:
    preview = settings if settings.server_image else replace(settings, server_image="(known once it is pushed)")
    documents = plan.foundation(preview, certificates=certificates)
    if options.database_url:
        documents.append(plan.database_secret(preview, options.database_url, b""))
    return _print(console, documents + plan.server(preview, certificates=certificates))


def _print(console: Console, documents: list[dict[str, Any]]) -> int:
    from orchestune.clusters.existing.text import as_yaml  # a YAML writer, only needed here

    if console.json:
        console.document(documents)
    else:
        console.out.write(as_yaml(documents))
    return 0
