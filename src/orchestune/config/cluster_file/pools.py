"""The pools of a cluster: `cpu`, `gpu`, `system`, and those that have names of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestune.config.document.kinds import SIZE_PATTERN, TRUTH, Key, amount, one_of, text, whole
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, changed, either, list_of, mapping_of, section
from orchestune.domain.clusters.cluster import Pool, Taint
from orchestune.domain.resources.resources import parse_bytes

SHORT = ("cpu", "gpu", "system")
"""pools that may stand at the top of the file"""
MOST_MACHINES = 450
"""of one managed node group of EKS"""
_LEAST_DISK, _MOST_DISK = 20 * 2**30, 16384 * 2**30
_RESERVED = ("kubernetes.io", "k8s.io", "eks.amazonaws.com", "orchestune.dev")
_LABEL_KEY = r"(?:[a-z0-9](?:[a-z0-9.\-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?)?"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

INSTANCE_TYPE = text("an instance type such as c5.xlarge", r"[a-z0-9\-]+\.[a-z0-9\-]+", most=60)


def _parse_disk(found: str | int | float) -> int:
    """A bare number is GiB, as in the older files."""
    bare = isinstance(found, (int, float)) or str(found).isdigit()
    return int(float(found) * 2**30) if bare else parse_bytes(found)


DISK = amount(
    "the size of a disk such as 100Gi; a bare number is GiB", SIZE_PATTERN, _parse_disk,
    lambda size: "" if _LEAST_DISK <= size <= _MOST_DISK else "a disk has from 20Gi to 16384Gi",
)  # fmt: skip


def _read_label(found: Field) -> str | None:
    if isinstance(found.node, ScalarNode) and not isinstance(found.node.value, bool):
        return LABEL_VALUE.read(found)
    found.expected("text, quoted where it is true or false")
    return None


LABEL_VALUE = text("at most 63 letters, digits, - _ and .", _LABEL_VALUE, most=63, loose=True)
LABELS = mapping_of(
    NamedEntry("a label", _LABEL_KEY, "letters, digits, - _ and . are allowed, a DNS name and / before them"),
    LABEL_VALUE.read_by(_read_label),
    "a mapping from labels to values", most=50,
)  # fmt: skip

_TAINT_KEYS = (
    Key("key", text("the key of a taint", _LABEL_KEY, most=317), "Its key.", required=True),
    Key("value", LABEL_VALUE, "Its value.", "empty"),
    Key("effect", one_of(_EFFECTS, {"no_schedule": "NoSchedule", "no_execute": "NoExecute"}), "What it does.",
        "NoSchedule"),
)  # fmt: skip
_TAINT_WORDS = "a taint such as team=vision:NoSchedule"
_TAINT_TEXT = text(_TAINT_WORDS, rf"{_LABEL_KEY}(?:={_LABEL_VALUE})?:(?:{'|'.join(_EFFECTS)})", most=400)


def _of_text(written: str) -> Taint:
    rest, _, effect = written.rpartition(":")
    key, _, value = rest.partition("=")
    return Taint(key, value, effect)


def _of_mapping(read: dict[str, Any]) -> Taint:
    return Taint(read.get("key") or "", read.get("value") or "", read.get("effect") or "NoSchedule")


TAINTS = list_of(
    either(f"{_TAINT_WORDS}, or a mapping with key, value, effect",
           scalar=changed(_TAINT_TEXT, _of_text),
           mapping=changed(section(_TAINT_KEYS), _of_mapping)),
    "a list of taints", least=0, most=50,
)  # fmt: skip

POOL_KEYS = (
    Key("instance_type", either("an instance type such as c5.xlarge, or a list of them",
                                scalar=changed(INSTANCE_TYPE, lambda one: (one,)),
                                listing=list_of(INSTANCE_TYPE, "a list of instance types", most=20)),
        "What machines are taken; of a list the first that has room, which spot pools live from. All of one"
        " architecture.", required=True),
    Key("min_nodes", whole(0, MOST_MACHINES), "So many machines are always there.", "0"),
    Key("max_nodes", whole(1, MOST_MACHINES), "So many at most; they are started for trials that wait.", required=True),
    Key("spot", TRUTH, "Spare machines, which cost less and may be taken away at any moment: their trials are offered"
        " again.", "false"),
    Key("disk", DISK, "The disk of each machine, encrypted.", "100Gi"),
    Key("gpu", TRUTH, "Whether its machines must have GPUs. A pool called `gpu` must.", "whatever the machines have"),
    Key("labels", LABELS, "Labels of its nodes, beside `orchestune.dev/pool`.", "none"),
    Key("taints", TAINTS, "Taints of its nodes. Those with GPUs have `nvidia.com/gpu`, so that nothing else runs there;"
        " who names the pool gets past its other ones.", "none"),
)  # fmt: skip
POOL_ALSO = {
    "instance_types": "instance_type", "type": "instance_type", "machine_type": "instance_type", "min": "min_nodes",
    "max": "max_nodes", "node_volume_size": "disk", "volume_size": "disk", "disk_size": "disk", "gpus": "gpu",
}  # fmt: skip
POOL = section(POOL_KEYS, also=POOL_ALSO)
NAMES = NamedEntry(
    "a pool", r"[a-z0-9](?:[a-z0-9\-]{0,38}[a-z0-9])?", "a-z, 0-9 and - are allowed, at most 40",
    {name: f"it stands at the top of the file: {name}:" for name in SHORT},
)  # fmt: skip
POOLS = mapping_of(NAMES, POOL, "a mapping from names to pools", most=27)


def pool(name: str, found: Field, read: dict[str, Any]) -> Pool | None:
    """The pool that was read; what contradicts itself goes into the report."""
    least, most = read.get("min_nodes") or 0, read.get("max_nodes")
    if most is not None and least > most:
        found.find("min_nodes").wrong(f"{least} is more than max_nodes, which is {most}")
    if name == "gpu" and read.get("gpu") is False:
        found.find("gpu").wrong("the pool `gpu` has GPUs", "give it another name under `pools`")
    for label, (place, _) in found.find("labels").entries().items():
        domain = label.partition("/")[0] if "/" in label else ""
        if any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
            Field(place, f"{found.key}.labels.{label}", found.report).wrong(f"labels of {domain} are not yours to give")
    _check_taints(found, read.get("taints") or ())
    refuse_twice(found.find("instance_type"), read.get("instance_type") or ())
    if read.get("instance_type") is None or most is None:
        return None
    return Pool(
        name, read["instance_type"], least, most, read.get("disk") or 100 * 2**30, bool(read.get("spot")),
        name == "gpu" or bool(read.get("gpu")), read.get("labels") or {}, read.get("taints") or (), found.key,
    )  # fmt: skip


def _check_taints(found: Field, taints: tuple[Taint, ...]) -> None:
    for item, taint in zip(found.find("taints").items(), taints, strict=False):
        domain = taint.key.partition("/")[0] if "/" in taint.key else ""
        if any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
            item.wrong(f"taints of {domain} are not yours to give")
    refuse_twice(found.find("taints"), [f"{taint.key}:{taint.effect}" for taint in taints])


def refuse_twice(found: Field, names: Sequence[str]) -> None:
    """The provider would, when half of the cluster is made."""
    seen = set[str]()
    for item, name in zip(found.items(), names, strict=False):
        if name in seen:
            item.wrong(f"names {name} twice")
        seen.add(name)
