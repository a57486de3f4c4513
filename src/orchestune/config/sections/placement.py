"""Where and in what a trial runs: images, what is installed into them, pools, queues, volumes, pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.config.document.kinds import NUMBER, SIZE, TRUTH, Key, ValueKind, text
from orchestune.config.document.nodes import Entries, ScalarNode, plain
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of, section
from orchestune.config.sections.slurm import SLURM
from orchestune.domain.resources.placement import Placement, Volume


@dataclass(frozen=True)
class Build:
    """How the image is made, where the file says more than its name. None of it is there once it is built."""

    install: tuple[str, ...] = ()
    """commands that are run in the image, in this order"""
    dockerfile: str | None = None
    """path, relative to the experiment file"""

    def __bool__(self) -> bool:
        return bool(self.install or self.dockerfile)


_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = (
    rf"(?:(?:[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*)(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""the grammar of github.com/distribution/reference, for lower-case names"""
_DNS_NAME = r"[a-z0-9](?:[a-z0-9.\-]{0,251}[a-z0-9])?"
_ABSOLUTE = r"/[^\x00-\x1f:]*"

IMAGE = text(
    "the name of an image, such as python:3.12-slim or registry.example.org/team/model:1", _REFERENCE, most=500
)
_COMMAND = text("a command, such as pip install -r requirements.txt", most=10_000)
INSTALL = either(
    "a command or a list of commands",
    scalar=changed(_COMMAND, lambda one: (one,)),
    listing=list_of(_COMMAND, "a list of commands", most=100),
)
DOCKERFILE = text("the path of a Dockerfile", most=1000)
NAME = text("a name of lower-case letters, digits, - and .", _DNS_NAME)

_VOLUME_KEYS = (
    Key("mount", text("an absolute path", _ABSOLUTE, most=1000), "Where it appears in the trial.", required=True),
    Key("claim", NAME, "A PersistentVolumeClaim of the namespace."),
    Key("path", text("an absolute path", _ABSOLUTE, most=1000), "A folder of the machine."),
    Key("read_only", TRUTH, "Whether trials may only read it.", "false"),
)
_VOLUME = section(_VOLUME_KEYS)


def _read_volume(found: Field) -> Volume | None:
    read = _VOLUME.read(found)
    if read is None or read.get("mount") is None:
        return None
    if (read.get("claim") is None) == (read.get("path") is None):
        found.wrong("needs either claim or path, and not both")
        return None
    return Volume(read["mount"], read.get("claim"), read.get("path"), bool(read.get("read_only")))


VOLUMES = list_of(_VOLUME.read_by(_read_volume), "a list of volumes", least=0, most=100)


def _read_pod(found: Field) -> dict[str, Any] | None:
    if not isinstance(found.node, Entries):
        found.expected("a mapping, merged into the pod template")
        return None
    for _, below in found.entries().values():
        _check_finite(below)
    patch: dict[str, Any] = plain(found.node)
    return patch


def _check_finite(found: Field) -> None:
    value = found.node.value if isinstance(found.node, ScalarNode) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        NUMBER.read(found)
    for below in [*found.items(), *(entry for _, entry in found.entries().values())]:
        _check_finite(below)


POD = ValueKind[dict[str, Any]]("a mapping, merged into the pod template", {"type": "object"}, _read_pod)

KEYS = (
    Key("image", IMAGE, "The image whose programs the trials use, for containers and clusters. Pinned by its digest"
        " when the experiment starts.", "the cluster's default image"),
    Key("install", INSTALL, "Commands that make the image: run in `image` once, and again only when they, the image or"
        " the files that they name have changed."),
    Key("dockerfile", DOCKERFILE, "A Dockerfile that makes the image, in the place of `image`."),
    Key("pool", NAME, "The node pool; `gpu` or `cpu` where nodes are not labelled.", "chosen by `resources.gpu`"),
    Key("queue", NAME, "The LocalQueue of Kueue that admits the workers."),
    Key("service_account", NAME, "The ServiceAccount of the pods.", "one without rights"),
    Key("priority_class", NAME, "The PriorityClass of the pods."),
    Key("shm", SIZE, "The size of /dev/shm.", "what the place gives"),
    Key("volumes", VOLUMES, "Storage that is mounted into each trial: `{claim: data, mount: /data}`."),
    Key("pod", POD, "Whatever else the pods need: merged into the pod template of Kubernetes."),
    Key("slurm", SLURM, "What else jobs of Slurm need, as long options of sbatch: `{account: lab, time: 4:00:00}`."),
)  # fmt: skip


def placement(values: Mapping[str, Any]) -> Placement:
    """What the keys say together."""
    return Placement(
        image=values.get("image"),
        pool=values.get("pool"),
        queue=values.get("queue"),
        service_account=values.get("service_account"),
        priority_class=values.get("priority_class"),
        shm=values.get("shm"),
        volumes=values.get("volumes") or (),
        pod=values.get("pod") or {},
        slurm=values.get("slurm") or {},
    )


def build(root: Field, values: Mapping[str, Any]) -> Build:
    """How the image is made; reports what contradicts itself."""
    if values.get("dockerfile") and values.get("image"):
        root.find("dockerfile").wrong("makes the image, so `image` has no place beside it", "leave out one of them")
    return Build(values.get("install") or (), values.get("dockerfile"))
