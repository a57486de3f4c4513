"""Reading a cluster file: `load` from disk, `parse` from text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from orchestune.config.cluster_file.keys import CLUSTER, KEYS, LATER_PROVIDERS
from orchestune.config.cluster_file.older import converted
from orchestune.config.cluster_file.pools import SHORT, pool, refuse_twice
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, ScalarNode, shown
from orchestune.config.document.report import Field, ProblemReport
from orchestune.config.document.text_file import read_text
from orchestune.domain.clusters.builtin import OWN
from orchestune.domain.clusters.cluster import SYSTEM, ClusterSpec, NetworkSpec, PlanProblem, Pool, TeardownSettings
from orchestune.errors import BadInput, Problem

_LONGEST_NAME = 40
_SOONEST = 600.0
"""seconds without work after which a cluster may destroy itself: people think between two experiments"""
_INNER = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_SYSTEM = Pool(SYSTEM, ("t3.large", "t3a.large"), 1, 2, 50 * 2**30, key="system", any_type=True)


@dataclass(frozen=True)
class LoadedCluster:
    """A cluster as its file describes it."""

    spec: ClusterSpec
    notes: tuple[str, ...]
    _top: Field = field(repr=False)

    def refusal(self, complaints: list[PlanProblem]) -> BadInput:
        """What the provider said of the file, with the places where it stands there."""
        report = ProblemReport()
        for complaint in complaints:
            found = Field(self._top.node, "", report).find(*complaint.key.split("."))
            found.wrong(complaint.message, complaint.hint)
        return report.error()


def load(path: Path) -> LoadedCluster:
    """The cluster in the file at `path`. BadInput tells everything that is wrong."""
    return parse(read_text(path, "a cluster file", "write one, or name another with -f FILE"), str(path))


def parse(text: str, name: str) -> LoadedCluster:
    """The same for a text; `name` is what messages call the file."""
    report = ProblemReport()
    root = compose(text, name, report)
    if not isinstance(root, Entries):
        nothing = isinstance(root, ScalarNode) and root.value is None
        message = "the file is empty" if nothing else f"found {shown(root)}, expected a mapping of keys to values"
        hint = f"a cluster has at least {', '.join(key.name for key in KEYS if key.required)} and a pool"
        raise BadInput([Problem(message, "", root.place.file, root.place.line, root.place.column, hint)])
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
    refuse_twice(top.find("access"), [grant.who for grant in values.get("access") or ()])
    network = _network(top.find("network"), values.get("network") or {})
    pools = _pools(top, values)
    idle = values.get("idle") or {}
    retirement = _retirement(top.find("idle"), idle)
    if top.report.found or network is None or not pools:
        return None
    pools = with_system(pools, top.report.notes)
    return ClusterSpec(
        values["cloud_provider"], values["cluster_name"], pools, values.get("region") or "",
        values.get("zones") or (), values.get("kubernetes_version") or "", network, values.get("access") or (),
        idle.get("scale_down") or 600.0, retirement, bool(values.get("bucket")), values.get("policies") or (),
        {key: value for key, value in (values.get("images") or {}).items() if value}, values.get("tags") or {},
    )  # fmt: skip


def _check_provider(found: Field, provider: str | None) -> None:
    if provider in LATER_PROVIDERS:
        found.wrong(f"'{provider}' comes in a later version", "aws is there; `orchestune cluster connect` takes others")
    if provider == "custom":
        found.wrong("a cluster that is there already is not created", "`orchestune cluster connect` connects it")


def _check_name(found: Field, name: str | None) -> None:
    if name is None:
        return
    hint = f"write {re.sub('-+', '-', name).rstrip('-').lower()}"
    if name != name.lower():
        found.wrong(f"'{name}' has capital letters, which Kubernetes and registries refuse", hint)
    if "--" in name:
        found.wrong(f"'{name}' has two - side by side, which registries refuse", hint)
    if name.endswith("-"):
        found.wrong(f"'{name}' ends with -", hint)
    if len(name) > _LONGEST_NAME:
        found.wrong(f"is longer than {_LONGEST_NAME} characters")
    if name in OWN:
        found.wrong(f"'{name}' means {OWN[name]}", "choose another name")


def _check_zones(top: Field, values: dict[str, Any]) -> None:
    zones, region = values.get("zones") or (), values.get("region")
    if len(set(zones)) < len(zones):
        top.find("zones").wrong("names a zone twice")
    for item, zone in zip(top.find("zones").items(), zones, strict=False):
        if region and not zone.startswith(region):
            item.wrong(f"'{zone}' is no zone of {region}")


def _network(found: Field, read: dict[str, Any]) -> NetworkSpec | None:
    network = NetworkSpec(
        read.get("vpc") or "", read.get("subnets") or (), read.get("cidr") or NetworkSpec().cidr,
        read.get("endpoint") or "public", read.get("allow") or (),
    )  # fmt: skip
    if bool(network.vpc) != bool(network.subnets):
        lacks = "subnets" if network.vpc else "vpc"
        found.wrong(f"needs {lacks} too", "a network that is there is named by `vpc` and `subnets`")
    if network.vpc and read.get("cidr"):
        found.find("cidr").wrong("is for a network that is made", "leave it out beside `vpc`")
    if network.allow and network.endpoint == "private":
        found.find("allow").wrong("is for a public endpoint", "leave one of the two out")
    refuse_twice(found.find("subnets"), network.subnets)
    _check_network(found.find("cidr"), network.cidr, made=True)
    for item, text in zip(found.find("allow").items(), network.allow, strict=False):
        _check_network(item, text, made=False)
    return network


def _check_network(found: Field, text: str, *, made: bool) -> None:
    try:
        network = IPv4Network(text)
    except ValueError as exc:
        found.wrong(f"'{text}' is no network: {exc}")
        return
    own = network.is_loopback or network.is_link_local
    if made and not (16 <= network.prefixlen <= 20 and network.is_private and not own):
        found.wrong(f"'{text}' is no private network from /16 to /20", "10.0.0.0/16 for instance")
    if not made and (own or any(network.subnet_of(inner) for inner in _INNER)):
        found.wrong(f"'{text}' is no network from which anybody comes over the internet", "say what is seen from there")


def _retirement(found: Field, read: dict[str, Any]) -> TeardownSettings | None:
    after, archive = read.get("destroy"), read.get("archive")
    if after is not None and after < _SOONEST:
        found.find("destroy").wrong("is less than ten minutes", "people think between two experiments")
    if "destroy" in read and "archive" not in read:
        hint = "archive: s3://BUCKET/PREFIX names a bucket that outlives the cluster"
        found.find("destroy").wrong("says nothing of where records and files go first", hint)
    if "archive" in read and "destroy" not in read:
        found.find("archive").wrong("is for a cluster that destroys itself", "say after how long: destroy: 8h")
    return TeardownSettings(after, archive.rstrip("/")) if after is not None and archive is not None else None


def _pools(top: Field, values: dict[str, Any]) -> tuple[Pool, ...]:
    found = [(name, top.find(name), values[name]) for name in SHORT if isinstance(values.get(name), dict)]
    named = values.get("pools") or {}
    found += [(name, top.find("pools", name), read) for name, read in named.items()]
    declared = [name for name in (*SHORT, "pools") if name in values]
    if not declared and values.get("cloud_provider") not in (*LATER_PROVIDERS, "custom"):
        top.report.add(top.node.place, "", "has no pool", "cpu: {instance_type: c5.xlarge, min_nodes: 1, max_nodes: 4}")
    made = [pool(name, place, read) for name, place, read in found]
    return tuple(item for item in made if item is not None)


def with_system(pools: tuple[Pool, ...], notes: list[str]) -> tuple[Pool, ...]:
    """The same, and a pool for the server where no other one always has a machine for it."""
    if any(item.least and not item.gpu and not item.taints for item in pools):
        return pools
    if any(item.name == SYSTEM for item in pools):
        if not any(item.name == SYSTEM and item.least for item in pools):
            notes.append("system.min_nodes: 1 is taken: something has to run the server while the others are at 0")
        return tuple(replace(item, least=1) if item.name == SYSTEM else item for item in pools)
    notes.append(
        "a pool `system` with one small machine is added: something has to run the server while the others are at 0"
    )
    return (_SYSTEM, *pools)
