"""Create and update a cluster at a cloud provider: check, plan, confirm, apply, connect."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestune.cli.clusters import connect
from orchestune.cli.clusters.cloud import NAMESPACE, ProgressPrinter, profile, provisioner, where, write_kubeconfig
from orchestune.cli.clusters.options import ConnectOptions
from orchestune.cli.clusters.shared import api, known_clusters, repeatable
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import confirm
from orchestune.cli.terminal.render import table
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing import rollout
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.draining import drain, reopen
from orchestune.clusters.existing.provisioner import present
from orchestune.clusters.existing.rights import shared
from orchestune.config.cluster_file.read import LoadedCluster, load
from orchestune.domain.clusters.cluster import ClusterSpec, CostCenter, Planned
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, UsageError
from orchestune.ports.provisioner import Provisioner

_DNS_TIMEOUT_SECONDS = 300.0
"""seconds until the name of a new API server resolves"""
_ACCESS_TIMEOUT_SECONDS = 60.0
"""seconds until a new cluster grants its creator access"""
_POLL_SECONDS = 2.0


def create(console: Console, args: argparse.Namespace) -> int:
    """Check the file, plan, confirm, create the cluster and connect it."""
    loaded, provider, payer = _checked(console, args)
    spec = loaded.spec
    planned = provider.plan(spec)
    if provider.status(spec.name) is not None:
        hint = f"`orchestune cluster update -f {args.file}`"
        console.note(f"'{spec.name}' already exists: completing it; {hint} also applies changes")
    documents = provider.manifests(spec)  # resolves the releases before anything costs money
    if args.dry_run:
        console.note(_cost_notice(spec))
        return _print_plan(console, payer, [*planned, *_planned_objects(documents)])
    if not args.yes:
        console.note(_cost_notice(spec))
        confirm(f"Create the cluster '{spec.name}' in {where(payer)}?", "nothing was created")
    cluster = _registered(console, spec, payer)
    progress = ProgressPrinter(console)
    try:
        with progress:
            addresses = provider.apply(spec, progress)
            cluster = write_kubeconfig(console, cluster, addresses, provider.login(spec.name))
            known_clusters(console).add(cluster)
            cluster_api = answering(api(cluster), console, access_timeout=_ACCESS_TIMEOUT_SECONDS)
            for document in documents:
                cluster_api.apply(document)
    except OrchestuneError as exc:
        if progress.told:  # else nothing was created by this run
            exc.hint = "; ".join(filter(None, [exc.hint, _resume_hint(args, spec)]))
        raise
    except KeyboardInterrupt:
        console.note(f"interrupted: {_resume_hint(args, spec)}")
        raise
    options = ConnectOptions(
        registry=addresses.registry or None, files=addresses.files or None, server_image=args.server_image or None,
        autoscaling=True, create_namespace=True, retirement=provider.retirement(spec),
    )  # fmt: skip
    return _connect(console, cluster, options)


def update(console: Console, args: argparse.Namespace) -> int:
    """Check the file, show the differences, confirm and apply them."""
    loaded, provider, payer = _checked(console, args)
    spec = loaded.spec
    planned = provider.changes(spec)
    if args.dry_run:
        return _print_plan(console, payer, planned)
    if planned and not args.yes:
        for item in planned:
            console.note(f"{item.title}  {item.detail}")
        confirm(f"Change the cluster '{spec.name}' in {where(payer)}?", "nothing was changed")
    addresses = provider.reach(spec.name)
    if addresses is None:
        raise NotFound(f"no such cluster: '{spec.name}'", f"create it: `orchestune cluster create -f {args.file}`")
    cluster = write_kubeconfig(console, _registered(console, spec, payer), addresses, provider.login(spec.name))
    known_clusters(console).add(cluster)
    documents = provider.manifests(spec)
    cluster_api = api(cluster)

    progress = ProgressPrinter(console)

    def drained(pool: str, heartbeat: Callable[[], None]) -> None:
        """Drain a pool, and wait until the server, if it has to move, runs on another node."""
        connection = _connection(answering(cluster_api, console))
        drain(cluster_api, (connection or ConnectionSettings(spec.name, NAMESPACE)).pool_label, pool, heartbeat)
        if connection is not None:
            on_progress = lambda line: progress.note(f"moving the server: {line}")
            rollout.wait(
                cluster_api, connection, on_progress, sleep=lambda seconds: _sleep_with_heartbeat(seconds, heartbeat)
            )

    with repeatable(console), progress:
        provider.update(spec, progress, drained)  # this may restore this machine's access to the cluster
    connection = _connection(answering(cluster_api, console))
    label = (connection or ConnectionSettings(spec.name, NAMESPACE)).pool_label
    reopened = reopen(cluster_api, label, {pool.name for pool in spec.pools})
    if reopened:
        console.note(f"uncordoned, since their pools are kept: {', '.join(reopened)}")
    for document in documents:  # some depend on the file, such as scale-down settings
        cluster_api.apply(document)
    retirement = provider.retirement(spec)
    if connection is not None and (connection.retirement or {}) != retirement:
        connect.bring(console, cluster, ConnectOptions(retirement=retirement), ask=False)
    changed = bool(planned or progress.told or reopened)
    outcome = "updated" if changed else "already up to date"
    return console.result({"name": spec.name, "changed": changed}, f"{spec.name}: {outcome}")


def _sleep_with_heartbeat(seconds: float, heartbeat: Callable[[], None]) -> None:
    heartbeat()
    time.sleep(seconds)


def _checked(console: Console, args: argparse.Namespace) -> tuple[LoadedCluster, Provisioner, CostCenter]:
    """Load the file and let the provider check it. Raises BadInput with every error at its line."""
    loaded = load(args.file)
    for note in loaded.notes:
        console.note(note)
    registered = known_clusters(console).find(loaded.spec.name)
    stored_profile = registered.profile if registered else ""
    provider = provisioner(console, loaded.spec.provider, loaded.spec.region, stored_profile)
    complaints, notes = provider.check(loaded.spec)
    if complaints:
        raise loaded.error(complaints)
    for note in notes:
        console.note(note)
    return loaded, provider, provider.payer()


def _print_plan(console: Console, payer: CostCenter, planned: Sequence[Planned]) -> int:
    if console.json:
        items = [{"kind": item.kind, "name": item.name, "detail": item.detail} for item in planned]
        console.document({"account": payer.account, "region": payer.region, "resources": items})
        return 0
    console.say(f"in {where(payer)}:" if planned else "nothing to change")
    rows = [[item.kind, item.name, item.detail] for item in planned]
    console.say(*table(["kind", "name", "detail"], rows, console.paint, columns=console.columns) if rows else ())
    return 0


def _planned_objects(documents: Iterable[Mapping[str, Any]]) -> Iterator[Planned]:
    """Yield the objects that will be created in the cluster."""
    for document in documents:
        containers = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        image = "".join(f", {container['image']}" for container in containers)
        yield Planned(document["kind"], document["metadata"]["name"], f"in the cluster{image}")
    yield Planned("server", NAMESPACE, "in the cluster, as `orchestune cluster connect` deploys it")


def _cost_notice(spec: ClusterSpec) -> str:
    machines = ", ".join(f"{pool.min_nodes} to {pool.max_nodes} x {pool.instance_types[0]}" for pool in spec.pools)
    way_out = "" if spec.network.vpc else " NAT gateway,"
    return f"The cluster costs money: control plane,{way_out} {machines}."


def _resume_hint(args: argparse.Namespace, spec: ClusterSpec) -> str:
    return (
        f"`orchestune cluster create -f {args.file}` continues from here,"
        f" `orchestune cluster destroy -n {spec.name}` removes what was created"
    )


def _registered(console: Console, spec: ClusterSpec, payer: CostCenter) -> ConnectedCluster:
    """Register the cluster before it is created, so that `destroy` finds it after an interrupted `create`."""
    clusters = known_clusters(console)
    existing = next((item for item in clusters.connected() if item.name == spec.name), None)
    if existing is not None and (existing.cloud, existing.region) != (spec.provider, payer.region):
        raise UsageError(
            f"another cluster is already connected as '{spec.name}'",
            f"disconnect it (`orchestune cluster disconnect -n {spec.name}`), or change cluster_name",
        )
    cluster = existing or ConnectedCluster(
        spec.name, "kubernetes", context=spec.name, namespace=NAMESPACE, cloud=spec.provider, region=payer.region
    )
    archive = spec.retirement.archive if spec.retirement else ""
    cluster = replace(cluster, archive=archive, profile=profile(console, cluster.profile))
    clusters.add(cluster)
    return cluster


def answering(
    cluster_api: ContextClient,
    console: Console,
    *,
    access_timeout: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ContextClient:
    """Return the API server's client once it answers; the name of a new one takes a while to resolve.

    `access_timeout`: seconds until it may grant its creator access.
    """
    started, is_announced = clock(), False
    while True:
        try:
            cluster_api.call("GET", "/api/v1/namespaces", query={"limit": 1})
        except (Denied, TemporaryError) as exc:
            if clock() - started >= (access_timeout if isinstance(exc, Denied) else _DNS_TIMEOUT_SECONDS):
                raise
            if not is_announced:
                console.note(f"waiting for {cluster_api.host} to answer")
            is_announced = True
            sleep(_POLL_SECONDS)
        else:
            return cluster_api


def _connection(cluster_api: ContextClient) -> ConnectionSettings | None:
    deployment = present(cluster_api, NAMESPACE)
    return deployment.connection if deployment else None


def _connect(console: Console, cluster: ConnectedCluster, options: ConnectOptions) -> int:
    """Connect the cluster like `cluster connect`, then apply the groups of users who share it."""
    code = connect.bring(console, cluster, options, ask=False)
    cluster_api = api(known_clusters(console).get(cluster.name))
    connection = _connection(cluster_api)
    for document in shared(connection) if connection else ():
        cluster_api.apply(document)
    return code
