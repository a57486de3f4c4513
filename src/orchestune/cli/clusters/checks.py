"""The checks of `cluster test`, in the order of their dependencies."""

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
from orchestune.domain.words import brief_list
from orchestune.errors import OrchestuneError
from orchestune.images.builds.tools import find_tool
from orchestune.images.registries.reference import parse_place
from orchestune.images.registries.registry import open_registry
from orchestune.images.runtime.sample import push_sample
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.labels import is_restricted

if TYPE_CHECKING:
    from orchestune import documents


def checks(console: Console, cluster: ConnectedCluster) -> Iterator[CheckResult]:
    """Yield every check result. Checks that depend on a failed one are skipped."""
    try:
        cluster_api = api(cluster)
        version = cluster_api.call("GET", "/version")["gitVersion"]
        deployment = provisioner.present(cluster_api, cluster.namespace)
    except OrchestuneError as exc:
        yield _failed("cluster", exc)
        return
    yield CheckResult("cluster", "ok", f"Kubernetes {version} at {cluster_api.host}")
    if deployment is None:
        yield CheckResult(
            "server",
            "error",
            f"not deployed in namespace {cluster.namespace}",
            "deploy it with `orchestune cluster connect`",
        )
        return
    connection = deployment.connection
    yield from _rights(cluster_api, cluster, connection)
    survey = None
    for result_or_survey in _server(console, cluster_api, cluster, connection):
        if isinstance(result_or_survey, CheckResult):
            yield result_or_survey
        else:
            survey = result_or_survey
    yield from _others(connection, survey)
    sample = ""
    for result_or_sample in _registry(connection, profile(console, cluster.profile)):
        if isinstance(result_or_sample, CheckResult):
            yield result_or_sample
        else:
            sample = result_or_sample
    yield from building(cluster_api, connection)
    yield from _pods(cluster_api, connection, survey, sample)


def _failed(name: str, exc: OrchestuneError) -> CheckResult:
    return CheckResult(name, "error", exc.message, exc.hint)


def _rights(
    cluster_api: ContextClient, cluster: ConnectedCluster, connection: ConnectionSettings
) -> Iterator[CheckResult]:
    """Check the permissions to use the server and to deploy it.

    Without the first nothing works; without the second, this user cannot change the server.
    """
    lacking = permissions.missing(cluster_api, permissions.to_use(connection, _server_pods(cluster_api, connection)))
    if lacking:
        remedy = f"bind one of the Roles orchestune-viewer, -editor, -owner of {connection.namespace} to this user"
        yield CheckResult("rights", "error", f"this user may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult(
            "rights", "ok", f"{cluster.user or 'this user'} has the role {cluster.role or 'none'} on the server"
        )
    lacking = permissions.missing(cluster_api, permissions.to_deploy(connection))
    if lacking:
        remedy = "only needed to upgrade or destroy the server"
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
    return brief_list([str(right) for right in rights], 8)


def _server(
    console: Console, cluster_api: ContextClient, cluster: ConnectedCluster, connection: ConnectionSettings
) -> Iterator[CheckResult | documents.Cluster]:
    try:
        deployment = cluster_api.get("apps/v1", "Deployment", SERVER, connection.namespace)
        if deployment is None or not rollout.is_ready(deployment):
            why, _ = rollout.state(cluster_api, connection, deployment)
            why = why or "its Deployment has not been processed by the cluster's controllers"
            yield CheckResult("server", "error", f"not ready: {why}", "fix the cause; the server then starts by itself")
            return
    except OrchestuneError as exc:
        yield _failed("server", exc)
        return
    try:
        with closing(Client.connect(resolver(console.environ, cluster=cluster.name), retry_seconds=10.0)) as client:
            version = client.server()["version"]
            document = client.cluster()
            store = stored(client.transport)
    except OrchestuneError as exc:
        yield _failed("server", exc)
        return
    if version != __version__:
        remedy = f"`orchestune cluster upgrade -n {cluster.name}`"
        yield CheckResult("server", "warning", f"version {version}, but this program is {__version__}", remedy)
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
        yield CheckResult("overview", "ok", f"{len(survey['machines'])} nodes and their usage are visible")
        return
    detail = "the server cannot see the usage by others" if survey["machines"] else "the server cannot see the nodes"
    remedy = f"`orchestune cluster connect -n {connection.name} --print-admin` prints what an administrator applies"
    yield CheckResult("overview", "warning", detail, remedy)


def _registry(connection: ConnectionSettings, aws_profile: str) -> Iterator[CheckResult | str]:
    """Push an image of a few bytes and yield its reference; nodes pull it in a later check. `who`: AWS profile."""
    if connection.registry is None:
        yield CheckResult("registry", "ok", "none configured: no images are built for this cluster")
        return
    try:
        repository = parse_place(connection.registry)
        with open_registry(repository.registry, plain=repository.plain, profile=aws_profile) as registry:
            sample = push_sample(registry, repository)
    except OrchestuneError as exc:
        yield _failed("registry", exc)
        return
    yield CheckResult("registry", "ok", f"{connection.registry} accepts images")
    yield sample


def building(cluster_api: ContextClient, connection: ConnectionSettings) -> Iterator[CheckResult]:
    """Check the image builder, if there is a registry for images."""
    if connection.registry is None:
        return
    local_tool = find_tool()
    if local_tool is not None:
        yield CheckResult("building", "ok", f"{local_tool.name} on this machine builds images")
        return
    lacking = permissions.missing(cluster_api, permissions.to_build(connection))
    reason = f"in the cluster this user may not {_listed(lacking)}" if lacking else ""
    if not lacking and _is_restricted(cluster_api, connection.namespace):
        reason = "Pod Security `restricted` of the namespace forbids builds in the cluster"
    if reason:
        detail = f"no docker, podman or buildah on this machine, and {reason}"
        yield CheckResult("building", "warning", detail, "only needed for `install:` and `dockerfile:`")
    else:
        yield CheckResult("building", "ok", "images are built by a Job in the cluster: no image tool on this machine")


def _is_restricted(cluster_api: ContextClient, namespace: str) -> bool:
    """Return True if Pod Security restricts the namespace; False if this user may not read it."""
    try:
        return is_restricted(cluster_api.get("v1", "Namespace", namespace))
    except PermissionMissing:
        return False


def pools(survey: documents.Cluster | None) -> list[ProbeTarget]:
    """Return the targets of test pods: each pool, or any node if the nodes are unknown."""
    machines = [machine for machine in survey["machines"] if not machine["trouble"]] if survey else []
    targets = []
    for name in sorted({machine["pool"] for machine in machines}):
        pool_machines = [machine for machine in machines if machine["pool"] == name]
        targets.append(
            ProbeTarget(
                name, tuple(m["name"] for m in pool_machines), int(min(1, max(m["has"]["gpu"] for m in pool_machines)))
            )
        )
    return targets or [ProbeTarget("any")]


def mark_of(index: int, pool: str) -> str:
    """Return a valid pod name suffix for a pool; the label may have other characters, such as `GPU_A100`."""
    return re.sub(r"[^a-z0-9]+", "-", f"{index}-{pool or 'any'}".lower())[:20].strip("-")


def own_mark(index: int, pool: str) -> str:
    """Return a suffix that is unique per user and machine: others may test the cluster at the same time."""
    user_hash = hashlib.sha256(f"{os.getuid()}@{socket.gethostname()}".encode()).hexdigest()
    return f"{mark_of(index, pool)}-{user_hash[:6]}"


def _pods(
    cluster_api: ContextClient, connection: ConnectionSettings, survey: documents.Cluster | None, sample: str
) -> Iterator[CheckResult]:
    namespace = connection.namespace
    permissions_needed = [
        permissions.ResourcePermission(verb, "pods", "", namespace) for verb in ("create", "delete", "get")
    ]
    lacking = permissions.missing(
        cluster_api, [*permissions_needed, permissions.ResourcePermission("get", "pods/log", "", namespace)]
    )
    if lacking:
        yield CheckResult(
            "pods",
            "warning",
            f"not tried: this user may not {_listed(lacking)}",
            "run the test as a user with these permissions",
        )
        return
    for index, pool in enumerate(pools(survey)):
        mark = own_mark(index, pool.name)
        try:
            yield from _pod(probe.look(cluster_api, connection, pool, mark))
            if sample:
                plain = replace(pool, gpus=0)  # pulling needs no GPU
                yield _pulled(connection, probe.pull(cluster_api, connection, plain, f"{mark}-pull", sample))
        except OrchestuneError as exc:
            yield _failed(f"pod in {pool.name}", exc)


def _pulled(connection: ConnectionSettings, probe_result: ProbeResult) -> CheckResult:
    name = f"pull in {probe_result.pool.name}"
    if probe_result.failure:
        remedy = "check the registry's name (`connect --registry`) and the pods' login (`--pull-secret`)"
        return CheckResult(name, "error", probe_result.failure, remedy)
    return CheckResult(
        name, "ok", f"{probe_result.node} pulls from {connection.registry}, {probe_result.seconds:.0f} s"
    )


def _pod(probe_result: ProbeResult) -> Iterator[CheckResult]:
    name = f"pod in {probe_result.pool.name}"
    if probe_result.failure:
        remedy = "check free capacity with `orchestune cluster status`; push a missing image with `connect`"
        yield CheckResult(name, "error", probe_result.failure, remedy)
        return
    yield CheckResult(name, "ok", f"ran on {probe_result.node} after {probe_result.seconds:.0f} s, image pulled")
    if probe_result.server:
        yield CheckResult(name, "ok", "resolves and reaches the server")
    else:
        remedy = "check the cluster's DNS, and NetworkPolicies of the namespace that block traffic between pods"
        yield CheckResult(name, "error", f"cannot reach the server: {probe_result.dns_error}", remedy)
    if probe_result.pool.gpus and not probe_result.gpus:
        remedy = "install the vendor's container runtime or device plugin on that node"
        yield CheckResult(name, "warning", "got a GPU, but no device is visible in the container", remedy)
    elif probe_result.pool.gpus:
        yield CheckResult(name, "ok", f"sees {probe_result.gpus} GPU")
