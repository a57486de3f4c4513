"""Loads a cluster file: `load` from disk, `parse` from text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from orchestune.config.cluster_file.keys import CLUSTER, KEYS, LATER_PROVIDERS
from orchestune.config.cluster_file.older import converted
from orchestune.config.cluster_file.pools import TOP_LEVEL_POOLS, pool, report_duplicates
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, ScalarNode, summary
from orchestune.config.document.report import Field, ProblemReport
from orchestune.config.document.text_file import read_text
from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.domain.clusters.cluster import SYSTEM, ClusterSpec, NetworkSpec, PlanProblem, Pool, TeardownSettings
from orchestune.errors import BadInput, Problem

_MAX_NAME_LENGTH = 40
_MIN_DESTROY_SECONDS = 600.0
"""seconds; shorter idle times would destroy a cluster while its users think between two experiments"""
_PRIVATE_NETWORKS = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_SYSTEM = Pool(SYSTEM, ("t3.large", "t3a.large"), 1, 2, 50 * 2**30, key="system", any_type=True)


@dataclass(frozen=True)
class LoadedCluster:
    """A cluster as described by its file."""

    spec: ClusterSpec
    notes: tuple[str, ...]
    _root: Field = field(repr=False)

    def error(self, problems: list[PlanProblem]) -> BadInput:
        """Build the error of the provider's problems with the plan, with their positions in the file."""
        report = ProblemReport()
        for problem in problems:
            field = Field(self._root.node, "", report).find(*problem.key.split("."))
            field.reject(problem.message, problem.hint)
        return report.error()


def load(path: Path) -> LoadedCluster:
    """Load the cluster file at `path`. Raises BadInput with all problems."""
    return parse(read_text(path, "a cluster file", "write one, or name another with -f FILE"), str(path))


def parse(text: str, name: str) -> LoadedCluster:
    """Parse the text of a cluster file; `name` is the file's name in messages."""
    report = ProblemReport()
    root = compose(text, name, report)
    if not isinstance(root, Entries):
        is_empty = isinstance(root, ScalarNode) and root.value is None
        message = "the file is empty" if is_empty else f"found {summary(root)}, expected a mapping of keys to values"
        hint = f"a cluster has at least {', '.join(key.name for key in KEYS if key.required)} and a pool"
        raise BadInput([Problem(message, "", root.position.file, root.position.line, root.position.column, hint)])
    top = Field(converted(root, report), "", report)
    values = CLUSTER.read(top) or {}
    spec = _assemble(top, values)
    report.raise_if_bad()
    assert spec is not None
    return LoadedCluster(spec, tuple(dict.fromkeys(report.notes)), top)


def _assemble(top: Field, values: dict[str, Any]) -> ClusterSpec | None:
    _check_provider(top.find("cloud_provider"), values.get("cloud_provider"))
    _check_name(top.find("cluster_name"), values.get("cluster_name"))
    _check_zones(top, values)
    report_duplicates(top.find("access"), [grant.who for grant in values.get("access") or ()])
    network = _network(top.find("network"), values.get("network") or {})
    pools = _pools(top, values)
    idle = values.get("idle") or {}
    teardown = _teardown(top.find("idle"), idle)
    if top.report.problems or network is None or not pools:
        return None
    pools = with_system(pools, top.report.notes)
    return ClusterSpec(
        values["cloud_provider"], values["cluster_name"], pools, values.get("region") or "",
        values.get("zones") or (), values.get("kubernetes_version") or "", network, values.get("access") or (),
        idle.get("scale_down") or 600.0, teardown, bool(values.get("bucket")), values.get("policies") or (),
        {key: value for key, value in (values.get("images") or {}).items() if value}, values.get("tags") or {},
    )  # fmt: skip


def _check_provider(field: Field, provider: str | None) -> None:
    if provider in LATER_PROVIDERS:
        field.reject(
            f"'{provider}' is not supported in this version",
            "use aws, or connect a cluster with `orchestune cluster connect`",
        )
    if provider == "custom":
        field.reject("an existing cluster cannot be created", "connect it with `orchestune cluster connect`")


def _check_name(field: Field, name: str | None) -> None:
    if name is None:
        return
    hint = f"write {re.sub('-+', '-', name).rstrip('-').lower()}"
    if name != name.lower():
        field.reject(f"'{name}' has uppercase letters, which Kubernetes and registries reject", hint)
    if "--" in name:
        field.reject(f"'{name}' has two consecutive -, which registries reject", hint)
    if name.endswith("-"):
        field.reject(f"'{name}' ends with -", hint)
    if len(name) > _MAX_NAME_LENGTH:
        field.reject(f"longer than {_MAX_NAME_LENGTH} characters")
    if name in BUILTIN_CLUSTERS:
        field.reject(f"'{name}' is reserved: it means {BUILTIN_CLUSTERS[name]}", "choose another name")


def _check_zones(top: Field, values: dict[str, Any]) -> None:
    zones, region = values.get("zones") or (), values.get("region")
    if len(set(zones)) < len(zones):
        top.find("zones").reject("lists a zone twice")
    for item, zone in zip(top.find("zones").items(), zones, strict=False):
        if region and not zone.startswith(region):
            item.reject(f"'{zone}' is not a zone of {region}")


def _network(field: Field, section: dict[str, Any]) -> NetworkSpec | None:
    network = NetworkSpec(
        section.get("vpc") or "", section.get("subnets") or (), section.get("cidr") or NetworkSpec().cidr,
        section.get("endpoint") or "public", section.get("allow") or (),
    )  # fmt: skip
    if bool(network.vpc) != bool(network.subnets):
        lacks = "subnets" if network.vpc else "vpc"
        field.reject(f"needs {lacks} too", "set both `vpc` and `subnets` for an existing network")
    if network.vpc and section.get("cidr"):
        field.find("cidr").reject("only applies to a new network", "remove it or `vpc`")
    if network.allow and network.endpoint == "private":
        field.find("allow").reject("only applies to a public endpoint", "remove one of the two")
    report_duplicates(field.find("subnets"), network.subnets)
    _check_network(field.find("cidr"), network.cidr, is_new=True)
    for item, text in zip(field.find("allow").items(), network.allow, strict=False):
        _check_network(item, text, is_new=False)
    return network


def _check_network(field: Field, text: str, *, is_new: bool) -> None:
    try:
        network = IPv4Network(text)
    except ValueError as exc:
        field.reject(f"'{text}' is not a network: {exc}")
        return
    is_local = network.is_loopback or network.is_link_local
    if is_new and not (16 <= network.prefixlen <= 20 and network.is_private and not is_local):
        field.reject(f"'{text}' is not a private network from /16 to /20", "use for example 10.0.0.0/16")
    if not is_new and (is_local or any(network.subnet_of(inner) for inner in _PRIVATE_NETWORKS)):
        field.reject(f"'{text}' is not a public network", "use the address that the internet sees")


def _teardown(field: Field, section: dict[str, Any]) -> TeardownSettings | None:
    destroy_after, archive = section.get("destroy"), section.get("archive")
    if destroy_after is not None and destroy_after < _MIN_DESTROY_SECONDS:
        field.find("destroy").reject("less than ten minutes", "allow time between two experiments")
    if "destroy" in section and "archive" not in section:
        hint = "set archive: s3://BUCKET/PREFIX, a bucket that outlives the cluster"
        field.find("destroy").reject("needs `archive`, to which records and files are copied first", hint)
    if "archive" in section and "destroy" not in section:
        field.find("archive").reject(
            "only applies to a cluster that destroys itself", "set the idle time, for example destroy: 8h"
        )
    return (
        TeardownSettings(destroy_after, archive.rstrip("/"))
        if destroy_after is not None and archive is not None
        else None
    )


def _pools(top: Field, values: dict[str, Any]) -> tuple[Pool, ...]:
    sections = [(name, top.find(name), values[name]) for name in TOP_LEVEL_POOLS if isinstance(values.get(name), dict)]
    named_pools = values.get("pools") or {}
    sections += [(name, top.find("pools", name), read) for name, read in named_pools.items()]
    declared = [name for name in (*TOP_LEVEL_POOLS, "pools") if name in values]
    if not declared and values.get("cloud_provider") not in (*LATER_PROVIDERS, "custom"):
        top.report.add(
            top.node.position, "", "has no pool", "cpu: {instance_type: c5.xlarge, min_nodes: 1, max_nodes: 4}"
        )
    pools = [pool(name, field, read) for name, field, read in sections]
    return tuple(item for item in pools if item is not None)


def with_system(pools: tuple[Pool, ...], notes: list[str]) -> tuple[Pool, ...]:
    """Add a pool for the server unless another pool always has a machine for it."""
    if any(item.min_nodes and not item.gpu and not item.taints for item in pools):
        return pools
    if any(item.name == SYSTEM for item in pools):
        if not any(item.name == SYSTEM and item.min_nodes for item in pools):
            notes.append("system.min_nodes: 1 is used, to run the server while the other pools are at 0")
        return tuple(replace(item, min_nodes=1) if item.name == SYSTEM else item for item in pools)
    notes.append("a pool `system` with one small machine is added, to run the server while the other pools are at 0")
    return (_SYSTEM, *pools)
