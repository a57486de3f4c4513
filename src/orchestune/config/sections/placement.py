"""The keys that place trials: images and their build, pools, queues, volumes, pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.config.document.kinds import BOOLEAN, NUMBER, SIZE, Key, ValueKind, string
from orchestune.config.document.nodes import Entries, ScalarNode, plain
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of, section
from orchestune.config.sections.slurm import SLURM
from orchestune.domain.resources.placement import Placement, Volume


@dataclass(frozen=True)
class Build:
    """Instructions to build the image, beyond its name. They have no effect once it is built."""

    install: tuple[str, ...] = ()
    """commands to run in the image, in order"""
    dockerfile: str | None = None
    """path relative to the experiment file"""

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

IMAGE = string(
    "the name of an image, such as python:3.12-slim or registry.example.org/team/model:1", _REFERENCE, most=500
)
_COMMAND = string("a command, such as pip install -r requirements.txt", most=10_000)
INSTALL = either(
    "a command or a list of commands",
    scalar=converted(_COMMAND, lambda one: (one,)),
    listing=list_of(_COMMAND, "a list of commands", most=100),
)
DOCKERFILE = string("the path of a Dockerfile", most=1000)
NAME = string("a name of lower-case letters, digits, - and .", _DNS_NAME)

_VOLUME_KEYS = (
    Key("mount", string("an absolute path", _ABSOLUTE, most=1000), "Mount path in the trial.", required=True),
    Key("claim", NAME, "A PersistentVolumeClaim of the namespace."),
    Key("path", string("an absolute path", _ABSOLUTE, most=1000), "A folder of the host."),
    Key("read_only", BOOLEAN, "Mount it read-only.", "false"),
)
_VOLUME = section(_VOLUME_KEYS)


def _read_volume(field: Field) -> Volume | None:
    section = _VOLUME.read(field)
    if section is None or section.get("mount") is None:
        return None
    if (section.get("claim") is None) == (section.get("path") is None):
        field.reject("needs exactly one of `claim` and `path`")
        return None
    return Volume(section["mount"], section.get("claim"), section.get("path"), bool(section.get("read_only")))


VOLUMES = list_of(_VOLUME.read_by(_read_volume), "a list of volumes", least=0, most=100)


def _read_pod(field: Field) -> dict[str, Any] | None:
    if not isinstance(field.node, Entries):
        field.expected("a mapping, merged into the pod template")
        return None
    for _, entry in field.entries().values():
        _check_finite(entry)
    patch: dict[str, Any] = plain(field.node)
    return patch


def _check_finite(field: Field) -> None:
    value = field.node.value if isinstance(field.node, ScalarNode) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        NUMBER.read(field)
    for child in [*field.items(), *(entry for _, entry in field.entries().values())]:
        _check_finite(child)


POD = ValueKind[dict[str, Any]]("a mapping, merged into the pod template", {"type": "object"}, _read_pod)

KEYS = (
    Key("image", IMAGE, "The container image of the trials, for containers and clusters. Pinned by its digest when the"
        " experiment starts.", "the cluster's default image"),
    Key("install", INSTALL, "Commands that build the image: run once in `image`, and again only if they, the"
        " image or the files that they name have changed."),
    Key("dockerfile", DOCKERFILE, "A Dockerfile that builds the image, instead of `image`."),
    Key("pool", NAME, "The node pool; `gpu` or `cpu` if nodes have no labels.", "chosen by `resources.gpu`"),
    Key("queue", NAME, "The LocalQueue of Kueue that admits the workers."),
    Key("service_account", NAME, "The ServiceAccount of the pods.", "one without permissions"),
    Key("priority_class", NAME, "The PriorityClass of the pods."),
    Key("shm", SIZE, "The size of /dev/shm.", "the default of the container runtime"),
    Key("volumes", VOLUMES, "Volumes to mount into each trial: `{claim: data, mount: /data}`."),
    Key("pod", POD, "Further fields of the pods, merged into their Kubernetes pod template."),
    Key("slurm", SLURM, "Further options of Slurm jobs, as long options of sbatch: `{account: lab, time: 4:00:00}`."),
)  # fmt: skip


def placement(values: Mapping[str, Any]) -> Placement:
    """Combine the keys into a placement."""
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
    """Build the image settings; conflicts are reported."""
    if values.get("dockerfile") and values.get("image"):
        root.find("dockerfile").reject("builds the image, so `image` cannot be set too", "remove one of them")
    return Build(values.get("install") or (), values.get("dockerfile"))
