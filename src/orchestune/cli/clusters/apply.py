"""Making and changing a cluster at a cloud provider: check, plan, ask, do, connect."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestune.cli.clusters import connect
from orchestune.cli.clusters.cloud import NAMESPACE, ProgressPrinter, profile, provisioner, where, write_kubeconfig
from orchestune.cli.clusters.options import ConnectOptions
from orchestune.cli.clusters.shared import api, known, repeatable
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

_REACHABLE = 300.0
"""seconds in which the name of a new API server gets known"""
_KNOWN = 60.0
"""seconds in which a new cluster gets to know who made it"""
_POLL = 2.0


def create(console: Console, args: argparse.Namespace) -> int:
    """Check, plan, ask, make, connect."""
    loaded, provider, payer = _checked(console, args)
    spec = loaded.spec
    planned = provider.plan(spec)
    if provider.status(spec.name) is not None:
        again = f"`orchestune cluster update -f {args.file}`"
        console.note(f"'{spec.name}' is there already: this completes it; {again} also changes what is there")
    documents = provider.manifests(spec)  # the releases that they name are looked up before anything costs money
    if args.dry_run:
        console.note(_costs(spec))
        return _show(console, payer, [*planned, *_inside(documents)])
    if not args.yes:
        console.note(_costs(spec))
        confirm(f"Make the cluster '{spec.name}' in {where(payer)}?", "nothing was made")
    cluster = _registered(console, spec, payer)
    telling = ProgressPrinter(console)
    try:
        with telling:
            reached = provider.apply(spec, telling)
            cluster = write_kubeconfig(console, cluster, reached, provider.login(spec.name))
            known(console).add(cluster)
            there = answering(api(cluster), console, known=_KNOWN)
            for document in documents:
                there.apply(document)
    except OrchestuneError as exc:
        if telling.told:  # else it is somebody else's, or nothing
            exc.hint = "; ".join(filter(None, [exc.hint, _rest(args, spec)]))
        raise
    except KeyboardInterrupt:
        console.note(f"interrupted: {_rest(args, spec)}")
        raise
    wishes = ConnectOptions(
        registry=reached.registry or None, files=reached.files or None, server_image=args.server_image or None,
        autoscaling=True, create_namespace=True, retirement=provider.retirement(spec),
    )  # fmt: skip
    return _connect(console, cluster, wishes)


def update(console: Console, args: argparse.Namespace) -> int:
    """Check, show what differs, ask, change."""
    loaded, provider, payer = _checked(console, args)
    spec = loaded.spec
    planned = provider.changes(spec)
    if args.dry_run:
        return _show(console, payer, planned)
    if planned and not args.yes:
        for item in planned:
            console.note(f"{item.called}  {item.detail}")
        confirm(f"Change the cluster '{spec.name}' in {where(payer)}?", "nothing was changed")
    reached = provider.reach(spec.name)
    if reached is None:
        raise NotFound(f"there is no cluster '{spec.name}'", f"`orchestune cluster create -f {args.file}` makes it")
    cluster = write_kubeconfig(console, _registered(console, spec, payer), reached, provider.login(spec.name))
    known(console).add(cluster)
    documents = provider.manifests(spec)
    there = api(cluster)

    telling = ProgressPrinter(console)

    def drained(pool: str, beat: Callable[[], None]) -> None:
        """The server, if it has to move, answers elsewhere before its machine goes."""
        connection = _connection(answering(there, console))
        drain(there, (connection or ConnectionSettings(spec.name, NAMESPACE)).pool_label, pool, beat)
        if connection is not None:
            moves = lambda line: telling.note(f"the server moves: {line}")
            rollout.wait(there, connection, moves, sleep=lambda seconds: _slept(seconds, beat))

    with repeatable(console), telling:
        provider.update(spec, telling, drained)  # which may be what lets this machine reach the cluster again
    connection = _connection(answering(there, console))
    label = (connection or ConnectionSettings(spec.name, NAMESPACE)).pool_label
    reopened = reopen(there, label, {pool.name for pool in spec.pools})
    if reopened:
        console.note(f"open again, since their pools stay: {', '.join(reopened)}")
    for document in documents:  # its settings, such as when machines go, are the file's too
        there.apply(document)
    retirement = provider.retirement(spec)
    if connection is not None and (connection.retirement or {}) != retirement:
        connect.bring(console, cluster, ConnectOptions(retirement=retirement), ask=False)
    changed = bool(planned or telling.told or reopened)
    said = "updated" if changed else "it is as the file says"
    return console.result({"name": spec.name, "changed": changed}, f"{spec.name}: {said}")


def _slept(seconds: float, beat: Callable[[], None]) -> None:
    beat()
    time.sleep(seconds)


def _checked(console: Console, args: argparse.Namespace) -> tuple[LoadedCluster, Provisioner, CostCenter]:
    """The file, asked of the provider: BadInput with every mistake at its place."""
    loaded = load(args.file)
    for note in loaded.notes:
        console.note(note)
    known_here = known(console).find(loaded.spec.name)
    before = known_here.profile if known_here else ""
    provider = provisioner(console, loaded.spec.provider, loaded.spec.region, before)
    complaints, notes = provider.check(loaded.spec)
    if complaints:
        raise loaded.refusal(complaints)
    for note in notes:
        console.note(note)
    return loaded, provider, provider.payer()


def _show(console: Console, payer: CostCenter, planned: Sequence[Planned]) -> int:
    if console.json:
        items = [{"kind": item.kind, "name": item.name, "detail": item.detail} for item in planned]
        console.document({"account": payer.account, "region": payer.region, "resources": items})
        return 0
    console.say(f"in {where(payer)}:" if planned else "nothing to change")
    rows = [[item.kind, item.name, item.detail] for item in planned]
    console.say(*table(["what", "name", "detail"], rows, console.paint, columns=console.columns) if rows else ())
    return 0


def _inside(documents: Iterable[Mapping[str, Any]]) -> Iterator[Planned]:
    """What comes into the cluster once it is there."""
    for document in documents:
        containers = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        image = "".join(f", {container['image']}" for container in containers)
        yield Planned(document["kind"], document["metadata"]["name"], f"in the cluster{image}")
    yield Planned("server", NAMESPACE, "in the cluster, as `orchestune cluster connect` brings it")


def _costs(spec: ClusterSpec) -> str:
    machines = ", ".join(f"{pool.least} to {pool.most} x {pool.instance_types[0]}" for pool in spec.pools)
    way_out = "" if spec.network.vpc else " NAT gateway,"
    return f"Once it is made it costs money: control plane,{way_out} {machines}."


def _rest(args: argparse.Namespace, spec: ClusterSpec) -> str:
    return (
        f"`orchestune cluster create -f {args.file}` goes on from here,"
        f" `orchestune cluster destroy -n {spec.name}` removes what was made"
    )


def _registered(console: Console, spec: ClusterSpec, payer: CostCenter) -> ConnectedCluster:
    """Known from here on, so that `destroy` finds it even where `create` was interrupted."""
    clusters = known(console)
    found = next((item for item in clusters.connected() if item.name == spec.name), None)
    if found is not None and (found.cloud, found.region) != (spec.provider, payer.region):
        raise UsageError(
            f"another cluster '{spec.name}' is connected here already",
            f"disconnect it (`orchestune cluster disconnect -n {spec.name}`), or choose another cluster_name",
        )
    made = found or ConnectedCluster(
        spec.name, "kubernetes", context=spec.name, namespace=NAMESPACE, cloud=spec.provider, region=payer.region
    )
    archive = spec.retirement.archive if spec.retirement else ""
    made = replace(made, archive=archive, profile=profile(console, made.profile))
    clusters.add(made)
    return made


def answering(
    there: ContextClient,
    console: Console,
    *,
    known: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ContextClient:
    """The same, once it answers: the name of a new API server takes a while to get known.

    `known`: seconds that it may take it to know who made it.
    """
    began, said = clock(), False
    while True:
        try:
            there.call("GET", "/api/v1/namespaces", limit=1)
        except (Denied, TemporaryError) as exc:
            if clock() - began >= (known if isinstance(exc, Denied) else _REACHABLE):
                raise
            if not said:
                console.note(f"waiting for {there.host} to answer")
            said = True
            sleep(_POLL)
        else:
            return there


def _connection(there: ContextClient) -> ConnectionSettings | None:
    found = present(there, NAMESPACE)
    return found.connection if found else None


def _connect(console: Console, cluster: ConnectedCluster, wishes: ConnectOptions) -> int:
    """The same as `cluster connect`, and then the groups of people who share it."""
    code = connect.bring(console, cluster, wishes, ask=False)
    there = api(known(console).get(cluster.name))
    connection = _connection(there)
    for document in shared(connection) if connection else ():
        there.apply(document)
    return code
