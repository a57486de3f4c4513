"""Allocatable, allocated and available resources: pure functions of nodes and pods as returned by the API."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import HANDLE, belongs
from orchestune.backends.kubernetes.objects.quantities import amount, plus, requests, resources
from orchestune.domain.resources.gpus import Gpu, suits
from orchestune.domain.resources.resources import Machine, Resources
from orchestune.domain.resources.shortage import NodeUse
from orchestune.domain.resources.shortage import shortage as why_short
from orchestune.domain.resources.survey import MachineAllocation

PRODUCT, MEMORY = "nvidia.com/gpu.product", "nvidia.com/gpu.memory"
"""node labels set by NVIDIA's feature discovery: GPU product name, and MiB per GPU"""
_LINUX = "linux"
_TRANSIENT_TAINTS = re.compile(
    r"node(?:\.cloudprovider)?\.kubernetes\.io/|karpenter\.sh/|ToBeDeletedByClusterAutoscaler$|"
    r"aws-node-termination-handler/|cloud\.google\.com/impending-node-termination$|"
    r"remediator\.kubernetes\.azure\.com/|.*/(?:agent-)?not-ready$"
)
"""taints of nodes that are starting, in trouble or being removed: they identify no pool, and no trial tolerates them"""
_PERMANENT_OWNERS = ("DaemonSet", "Node")
Taint = tuple[str, str, str]
"""key, value, effect"""
_FINISHED_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    name: str
    pool: str
    has: Resources
    """allocatable resources"""
    ready: bool
    usable: bool
    """ready, not cordoned, of a supported kind, and without a taint that keeps all trials away"""
    trouble: str
    """why it is not ready, as reported by the cluster"""
    labelled: bool
    """True if the pool comes from the node's label; a label without a value does not count"""
    taints: tuple[Taint, ...] = ()
    """NoSchedule and NoExecute taints"""
    apart: tuple[Taint, ...] = ()
    """the taints among them that a pod tolerates only by naming the node's pool or in `pod:`"""
    labels: Mapping[str, str] = field(default_factory=dict)
    product: str = ""
    """GPU product from its label; empty if unlabelled"""
    kubelet: str = ""
    """kubelet version: `v1.36.3`"""
    runtime: str = ""
    """container runtime: `containerd://2.4.2`"""
    strange: str = ""
    """why trials cannot run on this kind of node; empty if they can"""
    has_memory_pressure: bool = False
    """its kubelet reports that memory is running out"""

    @property
    def open(self) -> bool:
        """True if trials can be scheduled there without a toleration in `pod:`."""
        return self.usable and (self.labelled or not self.apart)


@dataclass(frozen=True)
class Load:
    """The resources that one pod has allocated on its node."""

    node: str
    holds: Resources
    holder: str
    """handle of the experiment; empty if the pod is not a worker of this server"""
    permanent: bool = False
    """it belongs to the node (DaemonSet, static pod) and is never preempted"""
    infrastructure: bool = False
    """one of our pods without an experiment: the server, a test, a build"""


@dataclass(frozen=True)
class NodePool:
    """The node names, taints and labels that a pod spec needs to target its pool."""

    nodes: tuple[str, ...] = ()
    """names of the pool's nodes that have no pool label"""
    taints: tuple[Taint, ...] = ()
    """taints to tolerate there"""
    products: tuple[str, ...] = ()
    """GPU product labels that match the requested type and memory; empty if none are requested"""


def node(document: Mapping[str, Any], config: KubernetesConfig) -> Node:
    """Return the `Node` of a node document."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    labels = metadata.get("labels") or {}
    has = resources(status.get("allocatable") or status.get("capacity"), config.gpu_resource)
    product = str(labels.get(PRODUCT) or "")
    if has.gpu:
        has = replace(has, gpu_type=product or None, gpu_memory=int(amount(labels.get(MEMORY))) * 2**20 or None)
    info = status.get("nodeInfo") or {}
    strange = _strange(info, config)
    ready: Mapping[str, Any] = next(
        (item for item in status.get("conditions") or () if item.get("type") == "Ready"), {}
    )
    label = labels.get(config.pool_label)
    taints = tuple(
        (str(taint.get("key")), str(taint.get("value") or ""), str(taint["effect"]))
        for taint in spec.get("taints") or ()
        if taint.get("effect") in ("NoSchedule", "NoExecute")
    )
    is_in_transition = any(_TRANSIENT_TAINTS.match(key) for key, _, _ in taints)
    return Node(
        name=metadata["name"],
        pool=label or ("gpu" if has.gpu else "cpu"),
        has=has,
        ready=ready.get("status") == "True",
        usable=ready.get("status") == "True" and not spec.get("unschedulable") and not is_in_transition and not strange,
        trouble="" if ready.get("status") == "True" else str(ready.get("message") or ready.get("reason") or ""),
        labelled=bool(label),
        taints=taints,
        apart=tuple(taint for taint in taints if taint[0] not in (*config.card_taints, config.pool_label)),
        labels=labels,
        product=product,
        kubelet=str(info.get("kubeletVersion") or ""),
        runtime=str(info.get("containerRuntimeVersion") or ""),
        strange=strange,
        has_memory_pressure=any(
            item.get("type") == "MemoryPressure" and item.get("status") == "True"
            for item in status.get("conditions") or ()
        ),
    )


def _strange(info: Mapping[str, Any], config: KubernetesConfig) -> str:
    system, architecture = str(info.get("operatingSystem") or _LINUX), str(info.get("architecture") or "")
    if system != _LINUX:
        return f"runs {system}, and trials run on Linux"
    if config.architecture and architecture and architecture != config.architecture:
        return f"is {architecture}, and the worker's Python is for {config.architecture}"
    return ""


def load(document: Mapping[str, Any], config: KubernetesConfig) -> Load | None:
    """Return the load of a pod; None if it is unscheduled or finished. Other servers' pods count as foreign."""
    spec, metadata = document.get("spec") or {}, document["metadata"]
    if not spec.get("nodeName") or (document.get("status") or {}).get("phase") in _FINISHED_PHASES:
        return None
    labels = metadata.get("labels") or {}
    owners = metadata.get("ownerReferences") or ()
    ours = metadata.get("namespace") == config.namespace and belongs(labels, config.url)
    return Load(
        node=spec["nodeName"],
        holds=requests(spec, config.gpu_resource),
        holder=str(labels.get(HANDLE) or "") if ours else "",
        permanent=any(owner.get("kind") in _PERMANENT_OWNERS for owner in owners),
        infrastructure=ours and not labels.get(HANDLE),
    )


def machines(nodes: Iterable[Node], loads: Iterable[Load]) -> tuple[Machine, ...]:
    """Return the capacity of each usable node for trials.

    Foreign pods are subtracted, and also listed as `lent` if they are not permanent.
    """
    others: dict[str, list[Load]] = {}
    for item in loads:
        if not item.holder:
            others.setdefault(item.node, []).append(item)
    return tuple(_machine(item, others.get(item.name, ())) for item in sorted(nodes, key=_order) if item.usable)


def _machine(item: Node, others: Sequence[Load]) -> Machine:
    held = plus(each.holds for each in others)
    lent = plus(each.holds for each in others if not each.permanent)
    free = minus(item.has, held)
    return Machine(
        cpu=free.cpu or 0.0,
        memory=free.memory or 0,
        gpus=tuple(
            Gpu(f"{item.name}/{index}", item.product, item.has.gpu_memory or 0) for index in range(int(free.gpu))
        ),
        name=item.name,
        pool=item.pool,
        lent=replace(lent, gpu_type=item.has.gpu_type, gpu_memory=item.has.gpu_memory),
    )


def minus(one: Resources, other: Resources) -> Resources:
    """Return `one` minus `other`, clamped at zero."""
    return replace(
        one,
        cpu=max((one.cpu or 0.0) - (other.cpu or 0.0), 0.0),
        memory=max((one.memory or 0) - (other.memory or 0), 0),
        gpu=max(one.gpu - other.gpu, 0),
    )


def shortage(needed: Resources, message: str, nodes: Sequence[Node], loads: Sequence[Load]) -> str:
    """Return why a pod is unschedulable: per resource the amount free, the maximum on one node, and the holders.

    `message`: the one of the scheduler. Empty if the nodes do not explain it.
    """
    held: dict[str, list[Load]] = {}
    for item in loads:
        held.setdefault(item.node, []).append(item)
    usable = [item for item in nodes if item.open]
    by_holder: dict[str, list[Resources]] = {}
    for each in (load for item in usable for load in held.get(item.name, ())):
        by_holder.setdefault(each.holder, []).append(each.holds)
    return why_short(
        needed,
        [
            NodeUse(item.name, item.has, minus(item.has, plus(load.holds for load in held.get(item.name, ()))))
            for item in usable
        ],
        {holder: plus(amounts) for holder, amounts in by_holder.items()},
        lambda name: _SCHEDULER_WORDS[name] in message,
    )


def node_pool(nodes: Iterable[Node], pool: str | None, each: Resources) -> NodePool:
    """Return what the pod spec of such trials needs, beyond the label of the pool, to run on its nodes."""
    all_nodes = list(nodes)
    members = [item for item in all_nodes if pool is not None and item.pool == pool]
    return NodePool(
        tuple(sorted(item.name for item in members if not item.labelled)),
        tuple(sorted({taint for item in members if item.labelled and item.usable for taint in item.apart})),
        tuple(sorted({item.product for item in all_nodes if item.product and _suitable(item, each)})),
    )


def cores_per_gpu(nodes: Iterable[Node], each: Resources) -> float:
    """Return the cores for each GPU of a trial: the share of the suitable node that has fewest; 0 if none has GPUs.

    One core of each node is left to the pods that every node runs, so that the last GPU can be used, too.
    """
    request = each.gpu_request
    with_gpus = [item.has for item in nodes if item.has.gpu and item.usable]
    suitable = [
        has for has in with_gpus if suits(has.gpu_type or "", has.gpu_memory or 0, request.type, request.memory)
    ]
    return min((math.floor(((has.cpu or 0.0) - 1) / has.gpu) for has in suitable), default=0)


def _suitable(item: Node, each: Resources) -> bool:
    """Return True if the trial requests particular GPUs and the node's match."""
    has_gpu_request = each.gpu_type is not None or each.gpu_memory is not None
    return has_gpu_request and suits(item.product, item.has.gpu_memory or 0, each.gpu_type, each.gpu_memory)


_SCHEDULER_WORDS = {"cpu": "Insufficient cpu", "GiB memory": "Insufficient memory", "gpu": "Insufficient "}
"""kind of resource → what the scheduler's message contains if it is lacking"""


def _order(item: Node) -> str:
    return item.name


def survey(nodes: Iterable[Node], loads: Iterable[Load], others_known: bool) -> list[MachineAllocation]:
    """Return every node with its allocations, ours and those of others (None if not `others_known`)."""
    held: dict[str, list[Load]] = {}
    for item in loads:
        held.setdefault(item.node, []).append(item)
    return [
        MachineAllocation(
            item.name,
            item.pool,
            item.has,
            plus(load.holds for load in held.get(item.name, ()) if _ours(load)),
            plus(load.holds for load in held.get(item.name, ()) if not _ours(load)) if others_known else None,
            _trouble(item),
        )
        for item in sorted(nodes, key=_order)
    ]


def _ours(item: Load) -> bool:
    return bool(item.holder) or item.infrastructure


def _trouble(item: Node) -> str:
    if not item.ready:
        return f"not ready: {item.trouble}" if item.trouble else "not ready"
    if item.strange:
        return item.strange
    if not item.open:
        return "closed: cordoned, tainted for others, or about to go"
    return ""
