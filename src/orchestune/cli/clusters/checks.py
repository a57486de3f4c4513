"""The checks of `cluster test`, in the order in which one needs the other."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestune import __version__
from orchestune.cli.clusters.cloud import profile
from orchestune.cli.clusters.shared import api
from orchestune.cli.terminal.console import Console
from orchestune.client.address import resolver
from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.doctor.finding import CheckResult
from orchestune.client.doctor.machine import stored
from orchestune.clusters.existing import permissions, probe, provisioner, rollout
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import SERVER, ConnectionSettings
from orchestune.clusters.existing.probe import ProbeResult, ProbeTarget
from orchestune.domain.words import some
from orchestune.errors import OrchestuneError
from orchestune.images.builds.tools import find_tool
from orchestune.images.registries.reference import parse_place
from orchestune.images.registries.registry import open_registry
from orchestune.images.runtime.sample import push_sample
from orchestune.kubeapi.labels import is_restricted
from orchestune.kubeapi.refusals import PermissionMissing

if TYPE_CHECKING:
    from orchestune import documents


def checks(console: Console, cluster: ConnectedCluster) -> Iterator[CheckResult]:
    """Every finding. What cannot be tried since something before it failed is left out."""
    try:
        cluster_api = api(cluster)
        version = cluster_api.call("GET", "/version")["gitVersion"]
        found = provisioner.present(cluster_api, cluster.namespace)
    except OrchestuneError as exc:
        yield _failed("cluster", exc)
        return
    yield CheckResult("cluster", "ok", f"Kubernetes {version} at {cluster_api.host}")
    if found is None:
        yield CheckResult(
            "server", "error", f"there is none in {cluster.namespace}", "`orchestune cluster connect` brings it there"
        )
        return
    connection = found.connection
    yield from _rights(cluster_api, cluster, connection)
    survey = None
    for item in _server(console, cluster_api, cluster, connection):
        if isinstance(item, CheckResult):
            yield item
        else:
            survey = item
    yield from _others(connection, survey)
    sample = ""
    for found_there in _registry(connection, profile(console, cluster.profile)):
        if isinstance(found_there, CheckResult):
            yield found_there
        else:
            sample = found_there
    yield from building(cluster_api, connection)
    yield from _pods(cluster_api, connection, survey, sample)


def _failed(name: str, exc: OrchestuneError) -> CheckResult:
    return CheckResult(name, "error", exc.message, exc.hint)


def _rights(
    cluster_api: ContextClient, cluster: ConnectedCluster, connection: ConnectionSettings
) -> Iterator[CheckResult]:
    """Without the first kind nothing works; without the second this user cannot change the server."""
    lacking = permissions.missing(cluster_api, permissions.to_use(connection, _server_pods(cluster_api, connection)))
    if lacking:
        remedy = f"bind one of the Roles orchestune-viewer, -editor, -owner of {connection.namespace} to this user"
        yield CheckResult("rights", "error", f"this user may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult(
            "rights", "ok", f"{cluster.user or 'this user'} reaches the server as {cluster.role or 'nobody'}"
        )
    lacking = permissions.missing(cluster_api, permissions.to_deploy(connection))
    if lacking:
        remedy = "only whoever upgrades or destroys the server needs them"
        yield CheckResult("deploying", "warning", f"this user may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult("deploying", "ok", "this user may upgrade and destroy the server")


def _server_pods(cluster_api: ContextClient, connection: ConnectionSettings) -> list[str]:
    """Return the names of the server's pods; none if this user may not list pods, a right that is checked as well."""
    try:
        return provisioner.server_pods(cluster_api, connection)
    except PermissionMissing:
        return []


def _listed(rights: list[permissions.ResourcePermission]) -> str:
    return some([str(right) for right in rights], 8)


def _server(
    console: Console, cluster_api: ContextClient, cluster: ConnectedCluster, connection: ConnectionSettings
) -> Iterator[CheckResult | documents.Cluster]:
    try:
        deployment = cluster_api.get("apps/v1", "Deployment", SERVER, connection.namespace)
        if deployment is None or not rollout.is_ready(deployment):
            why, _ = rollout.state(cluster_api, connection, deployment)
            why = why or "the controllers of the cluster have not seen its Deployment"
            yield CheckResult(
                "server", "error", f"it is not up: {why}", "mend that; the server then comes up by itself"
            )
            return
    except OrchestuneError as exc:
        yield _failed("server", exc)
        return
    try:
        with closing(Client.connect(resolver(console.environ, cluster=cluster.name), patience=10.0)) as client:
            version = client.server()["version"]
            document = client.cluster()
            store = stored(client.transport)
    except OrchestuneError as exc:
        yield _failed("server", exc)
        return
    if version != __version__:
        remedy = f"`orchestune cluster upgrade -n {cluster.name}`"
        yield CheckResult("server", "warning", f"it is version {version}, this program {__version__}", remedy)
    else:
        yield CheckResult("server", "ok", f"version {version}, reached through the API server")
    yield store
    yield document


def _others(connection: ConnectionSettings, survey: documents.Cluster | None) -> Iterator[CheckResult]:
    if survey is None:
        return
    for note in survey.get("notes", ()):
        yield CheckResult("pods", "ok", note)
    if survey["machines"] and all(machine["others"] is not None for machine in survey["machines"]):
        yield CheckResult("overview", "ok", f"{len(survey['machines'])} nodes, and who uses them")
        return
    what = "the server does not see what others use" if survey["machines"] else "the server does not see the nodes"
    remedy = f"`orchestune cluster connect -n {connection.name} --print-admin` prints what an administrator applies"
    yield CheckResult("overview", "warning", what, remedy)


def _registry(connection: ConnectionSettings, who: str) -> Iterator[CheckResult | str]:
    """Push an image of a few bytes, and tell it; that nodes pull it is tried below. `who`: a profile of AWS."""
    if connection.registry is None:
        yield CheckResult("registry", "ok", "none is used: images are not built for this cluster")
        return
    try:
        place = parse_place(connection.registry)
        with open_registry(place.registry, plain=place.plain, profile=who) as registry:
            sample = push_sample(registry, place)
    except OrchestuneError as exc:
        yield _failed("registry", exc)
        return
    yield CheckResult("registry", "ok", f"{connection.registry} takes images")
    yield sample


def building(cluster_api: ContextClient, connection: ConnectionSettings) -> Iterator[CheckResult]:
    """What builds the images that experiments ask for, once there is a registry for them."""
    if connection.registry is None:
        return
    tool = find_tool()
    if tool is not None:
        yield CheckResult("building", "ok", f"{tool.name} on this machine builds images")
        return
    lacking = permissions.missing(cluster_api, permissions.to_build(connection))
    why = f"in the cluster this user may not {_listed(lacking)}" if lacking else ""
    if not lacking and _is_restricted(cluster_api, connection.namespace):
        why = "Pod Security `restricted` of the namespace forbids what builds in the cluster"
    if why:
        what = f"no docker, podman or buildah is on this machine, and {why}"
        yield CheckResult("building", "warning", what, "one of them is needed for `install:` and `dockerfile:` alone")
    else:
        yield CheckResult("building", "ok", "a Job in the cluster builds images: no image tool is on this machine")


def _is_restricted(cluster_api: ContextClient, namespace: str) -> bool:
    """Not as far as this user can tell, where he may not look."""
    try:
        return is_restricted(cluster_api.get("v1", "Namespace", namespace))
    except PermissionMissing:
        return False


def pools(survey: documents.Cluster | None) -> list[ProbeTarget]:
    """Where pods are tried: once in each pool, or once anywhere where the nodes are not known."""
    machines = [machine for machine in survey["machines"] if not machine["trouble"]] if survey else []
    found = []
    for name in sorted({machine["pool"] for machine in machines}):
        inside = [machine for machine in machines if machine["pool"] == name]
        found.append(
            ProbeTarget(name, tuple(m["name"] for m in inside), int(min(1, max(m["has"]["gpu"] for m in inside))))
        )
    return found or [ProbeTarget("any")]


def mark_of(index: int, pool: str) -> str:
    """Tells the pod of one pool from others, as its name may: the label holds more, such as `GPU_A100`."""
    return re.sub(r"[^a-z0-9]+", "-", f"{index}-{pool or 'any'}".lower())[:20].strip("-")


def own_mark(index: int, pool: str) -> str:
    """The same for this user on this machine: somebody else may try the cluster at this moment."""
    who = hashlib.sha256(f"{os.getuid()}@{socket.gethostname()}".encode()).hexdigest()
    return f"{mark_of(index, pool)}-{who[:6]}"


def _pods(
    cluster_api: ContextClient, connection: ConnectionSettings, survey: documents.Cluster | None, sample: str
) -> Iterator[CheckResult]:
    space = connection.namespace
    needed = [permissions.ResourcePermission(verb, "pods", "", space) for verb in ("create", "delete", "get")]
    lacking = permissions.missing(cluster_api, [*needed, permissions.ResourcePermission("get", "pods/log", "", space)])
    if lacking:
        yield CheckResult(
            "pods", "warning", f"not tried: this user may not {_listed(lacking)}", "let somebody who may run the test"
        )
        return
    for index, pool in enumerate(pools(survey)):
        mark = own_mark(index, pool.name)
        try:
            yield from _pod(probe.look(cluster_api, connection, pool, mark))
            if sample:
                plain = replace(pool, gpus=0)  # an image is pulled without a card
                yield _pulled(connection, probe.pull(cluster_api, connection, plain, f"{mark}-pull", sample))
        except OrchestuneError as exc:
            yield _failed(f"pod in {pool.name}", exc)


def _pulled(connection: ConnectionSettings, look: ProbeResult) -> CheckResult:
    name = f"pull in {look.pool.name}"
    if look.failure:
        remedy = "`connect --registry` takes its name as the nodes call it, `--pull-secret` the login for pods"
        return CheckResult(name, "error", look.failure, remedy)
    return CheckResult(name, "ok", f"{look.node} pulls what {connection.registry} was given, {look.seconds:.0f} s")


def _pod(look: ProbeResult) -> Iterator[CheckResult]:
    name = f"pod in {look.pool.name}"
    if look.failure:
        remedy = "`orchestune cluster status` shows what is free; an image that is not found is pushed by `connect`"
        yield CheckResult(name, "error", look.failure, remedy)
        return
    yield CheckResult(name, "ok", f"ran on {look.node} after {look.seconds:.0f} s, image pulled")
    if look.server:
        yield CheckResult(name, "ok", "finds the server by name and reaches it")
    else:
        remedy = "DNS of the cluster, or a NetworkPolicy of the namespace that forbids pods to talk to each other"
        yield CheckResult(name, "error", f"does not reach the server: {look.dns_error}", remedy)
    if look.pool.gpus and not look.gpus:
        remedy = "no device in the container: is the vendor's runtime or device plugin installed on that node?"
        yield CheckResult(name, "warning", "was given a GPU, and sees none", remedy)
    elif look.pool.gpus:
        yield CheckResult(name, "ok", f"sees {look.gpus} GPU")
