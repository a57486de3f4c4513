"""The pools of a cluster: `cpu`, `gpu`, `system`, and those with user-defined names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestune.config.document.kinds import BOOLEAN, SIZE_PATTERN, Key, integer, one_of, quantity, string
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, converted, either, list_of, mapping_of, section
from orchestune.domain.clusters.cluster import Pool, Taint
from orchestune.domain.resources.resources import parse_bytes

TOP_LEVEL_POOLS = ("cpu", "gpu", "system")
"""pools that are allowed at the top level of the file"""
MAX_NODES = 450
"""limit of one managed node group of EKS"""
_MIN_DISK_BYTES, _MAX_DISK_BYTES = 20 * 2**30, 16384 * 2**30
_RESERVED = ("kubernetes.io", "k8s.io", "eks.amazonaws.com", "orchestune.dev")
_LABEL_KEY = r"(?:[a-z0-9](?:[a-z0-9.\-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?)?"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

INSTANCE_TYPE = string("an instance type such as c5.xlarge", r"[a-z0-9\-]+\.[a-z0-9\-]+", most=60)


def _parse_disk(size: str | int | float) -> int:
    """Parse a disk size. A bare number is GiB, as in the older files."""
    is_bare = isinstance(size, (int, float)) or str(size).isdigit()
    return int(float(size) * 2**30) if is_bare else parse_bytes(size)


DISK = quantity(
    "the size of a disk such as 100Gi; a bare number is GiB", SIZE_PATTERN, _parse_disk,
    lambda size: "" if _MIN_DISK_BYTES <= size <= _MAX_DISK_BYTES else "disk size out of range (expected 20Gi to"
        " 16384Gi)",
)  # fmt: skip


def _read_label(field: Field) -> str | None:
    if isinstance(field.node, ScalarNode) and not isinstance(field.node.value, bool):
        return LABEL_VALUE.read(field)
    field.expected("text (quote true and false)")
    return None


LABEL_VALUE = string("at most 63 letters, digits, - _ and .", _LABEL_VALUE, most=63, any_scalar=True)
LABELS = mapping_of(
    NamedEntry("a label", _LABEL_KEY, "use letters, digits, - _ and ., optionally after a DNS name and /"),
    LABEL_VALUE.read_by(_read_label),
    "a mapping from labels to values", most=50,
)  # fmt: skip

_TAINT_KEYS = (
    Key("key", string("the key of a taint", _LABEL_KEY, most=317), "The key of the taint.", required=True),
    Key("value", LABEL_VALUE, "The value of the taint.", "empty"),
    Key("effect", one_of(_EFFECTS, {"no_schedule": "NoSchedule", "no_execute": "NoExecute"}), "The effect of the"
        " taint.",
        "NoSchedule"),
)  # fmt: skip
_TAINT_WORDS = "a taint such as team=vision:NoSchedule"
_TAINT_TEXT = string(_TAINT_WORDS, rf"{_LABEL_KEY}(?:={_LABEL_VALUE})?:(?:{'|'.join(_EFFECTS)})", most=400)


def _taint_from_text(text: str) -> Taint:
    rest, _, effect = text.rpartition(":")
    key, _, value = rest.partition("=")
    return Taint(key, value, effect)


def _taint_from_mapping(section: dict[str, Any]) -> Taint:
    return Taint(section.get("key") or "", section.get("value") or "", section.get("effect") or "NoSchedule")


TAINTS = list_of(
    either(f"{_TAINT_WORDS}, or a mapping with key, value, effect",
           scalar=converted(_TAINT_TEXT, _taint_from_text),
           mapping=converted(section(_TAINT_KEYS), _taint_from_mapping)),
    "a list of taints", least=0, most=50,
)  # fmt: skip

POOL_KEYS = (
    Key("instance_type", either("an instance type such as c5.xlarge, or a list of them",
                                scalar=converted(INSTANCE_TYPE, lambda one: (one,)),
                                listing=list_of(INSTANCE_TYPE, "a list of instance types", most=20)),
        "The machine type; of a list, the first with capacity, which spot pools need. All of one"
        " architecture.", required=True),
    Key("min_nodes", integer(0, MAX_NODES), "Minimum number of machines.", "0"),
    Key("max_nodes", integer(1, MAX_NODES), "Maximum number of machines; they are started for pending trials.",
        required=True),
    Key("spot", BOOLEAN, "Spot machines, which cost less and may be preempted at any time: their trials are"
        " requeued.", "false"),
    Key("disk", DISK, "The disk of each machine, encrypted.", "100Gi"),
    Key("gpu", BOOLEAN, "Require GPUs. A pool named `gpu` always does.", "by machine type"),
    Key("labels", LABELS, "Labels of its nodes, in addition to `orchestune.dev/pool`.", "none"),
    Key("taints", TAINTS, "Taints of its nodes. GPU nodes also have `nvidia.com/gpu`, so that nothing else runs there;"
        " experiments that name the pool tolerate its other taints.", "none"),
)  # fmt: skip
POOL_ALSO = {
    "instance_types": "instance_type", "type": "instance_type", "machine_type": "instance_type", "min": "min_nodes",
    "max": "max_nodes", "node_volume_size": "disk", "volume_size": "disk", "disk_size": "disk", "gpus": "gpu",
}  # fmt: skip
POOL = section(POOL_KEYS, also=POOL_ALSO)
NAMES = NamedEntry(
    "a pool", r"[a-z0-9](?:[a-z0-9\-]{0,38}[a-z0-9])?", "use a-z, 0-9 and -, at most 40 characters",
    {name: f"write it at the top level of the file: {name}:" for name in TOP_LEVEL_POOLS},
)  # fmt: skip
POOLS = mapping_of(NAMES, POOL, "a mapping from names to pools", most=27)


def pool(name: str, field: Field, section: dict[str, Any]) -> Pool | None:
    """Build a pool from its section; conflicts are reported."""
    min_nodes, max_nodes = section.get("min_nodes") or 0, section.get("max_nodes")
    if max_nodes is not None and min_nodes > max_nodes:
        field.find("min_nodes").reject(f"{min_nodes} is more than max_nodes ({max_nodes})")
    if name == "gpu" and section.get("gpu") is False:
        field.find("gpu").reject("cannot be false: the pool `gpu` has GPUs", "rename the pool under `pools`")
    for label, (key_node, _) in field.find("labels").entries().items():
        domain = label.partition("/")[0] if "/" in label else ""
        if any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
            Field(key_node, f"{field.key}.labels.{label}", field.report).reject(f"labels of {domain} are reserved")
    _check_taints(field, section.get("taints") or ())
    report_duplicates(field.find("instance_type"), section.get("instance_type") or ())
    if section.get("instance_type") is None or max_nodes is None:
        return None
    return Pool(
        name, section["instance_type"], min_nodes, max_nodes, section.get("disk") or 100 * 2**30,
            bool(section.get("spot")),
        name == "gpu" or bool(section.get("gpu")), section.get("labels") or {}, section.get("taints") or (), field.key,
    )  # fmt: skip


def _check_taints(field: Field, taints: tuple[Taint, ...]) -> None:
    for item, taint in zip(field.find("taints").items(), taints, strict=False):
        domain = taint.key.partition("/")[0] if "/" in taint.key else ""
        if any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
            item.reject(f"taints of {domain} are reserved")
    report_duplicates(field.find("taints"), [f"{taint.key}:{taint.effect}" for taint in taints])


def report_duplicates(field: Field, names: Sequence[str]) -> None:
    """Report duplicate names, which the provider rejects only when half of the cluster is created."""
    names_seen = set[str]()
    for item, name in zip(field.items(), names, strict=False):
        if name in names_seen:
            item.reject(f"lists {name} twice")
        names_seen.add(name)
