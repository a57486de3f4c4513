"""Permissions that an administrator of a cluster grants to experiments, such as `claim:datasets` or `privileged`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestune.domain.words import did_you_mean

NAMED: Mapping[str, str] = {
    "annotation": "an annotation of pods that has a domain, such as sidecar.istio.io/inject",
    "capability": "a Linux capability that containers may add, such as SYS_PTRACE",
    "claim": "a PersistentVolumeClaim",
    "configmap": "a ConfigMap",
    "csi-driver": "a driver of inline CSI volumes",
    "label": "a label of pods, such as app; those that begin with user.orchestune.dev/ need none",
    "path": "one folder of the nodes (hostPath), without those below it",
    "priority-class": "a PriorityClass",
    "pull-secret": "a Secret for pulling images",
    "resource": "an extended resource beside the GPUs that Orchestune counts, such as rdma/hca",
    "runtime-class": "a RuntimeClass",
    "scheduler": "another scheduler than the default one",
    "secret": "a Secret",
    "service-account": "a ServiceAccount, and its token",
    "storage-class": "a StorageClass of ephemeral volumes",
    "sysctl": "a sysctl of pods",
    "volume": "volumes of the kind nfs or image",
}
"""kinds that take a name → meaning of the name"""
PLAIN: Mapping[str, str] = {
    "anti-affinity": "required pod anti-affinity, which can keep other pods off all nodes",
    "host-ipc": "the IPC namespace of the node",
    "host-network": "the network of the node",
    "host-pid": "the processes of the node",
    "host-port": "ports of the node",
    "node-name": "a node chosen past the scheduler",
    "privilege-escalation": "programs that gain privileges, such as sudo",
    "privileged": "privileged containers: root on the node",
    "unconfined": "another seccomp, AppArmor or SELinux profile than the default, and an unmasked /proc",
}
"""kinds without a name → what they permit"""
RESERVED = "orchestune-"
"""prefix of the names of all objects that the server creates for itself"""
_OURS = ("claim", "configmap", "pull-secret", "secret", "service-account")
_NAME = re.compile(r"[A-Za-z0-9/]([-A-Za-z0-9_./]{0,314}[A-Za-z0-9_])?")
_PATH = re.compile(r"/[^\x00-\x1f\x7f:]{0,999}")
_VOLUMES = ("image", "nfs")


@dataclass(frozen=True, order=True)
class Allowance:
    """One permission. `str()` returns the form that administrators write, `KIND[:NAME]`."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @property
    def is_reserved(self) -> bool:
        """True if it names an object of the server itself, which no experiment may ever use."""
        return self.kind in _OURS and (self.name == RESERVED.rstrip("-") or self.name.startswith(RESERVED))


def parse(text: str) -> Allowance:
    """Parse `KIND[:NAME]`. Raises ValueError, which says what was expected, if `text` is invalid."""
    kind, _, name = text.strip().partition(":")
    if kind in PLAIN:
        if name:
            raise ValueError(f"'{kind}' takes no name: '{text}' (expected {kind})")
        return Allowance(kind)
    if kind not in NAMED:
        hint = did_you_mean(kind, [*NAMED, *PLAIN])
        kinds = ", ".join(sorted([*(f"{each}:NAME" for each in NAMED), *PLAIN]))
        raise ValueError(f"unknown kind of access: '{kind}' (expected {kinds})" + (f"; {hint}" if hint else ""))
    if not name:
        raise ValueError(f"'{kind}' needs a name: '{text}' (expected {kind}:NAME)")
    allowance = Allowance(kind, _name(kind, name))
    if allowance.is_reserved:
        raise ValueError(f"cannot allow '{text}': names that begin with {RESERVED} belong to the server")
    return allowance


def _name(kind: str, name: str) -> str:
    if kind == "path":
        path = name.rstrip("/") or "/"
        if not _PATH.fullmatch(path) or any(part in ("", ".", "..") for part in path[1:].split("/") if path != "/"):
            raise ValueError(f"invalid path: '{name}' (expected an absolute one without . and ..)")
        return path
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid name for '{kind}': '{name}' (expected letters, digits, - _ . and /)")
    if kind == "capability":
        return name.upper().removeprefix("CAP_")
    if kind == "volume" and name not in _VOLUMES:
        raise ValueError(f"unknown kind of volume: '{name}' (expected {' or '.join(_VOLUMES)})")
    return name


@dataclass(frozen=True)
class Allowances:
    """Permissions that an administrator grants to all experiments of a cluster."""

    granted: frozenset[Allowance] = frozenset()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Allowances:
        """Parse a list of permissions. Raises ValueError for the first invalid one."""
        return cls(frozenset(parse(text) for text in texts))

    def permit(self, kind: str, name: str = "") -> bool:
        """Return True if the permission is granted. Objects of the server never are."""
        allowance = Allowance(kind, name)
        return allowance in self.granted and not allowance.is_reserved

    def around(self, path: str) -> str | None:
        """Return another granted folder that contains `path`; None if there is none.

        A trial that can write to the outer folder can replace the inner one by a link to anywhere on the node.
        """
        paths = [each.name for each in self.granted if each.kind == "path" and each.name != path]
        return min((each for each in paths if path.startswith(each.rstrip("/") + "/")), default=None)

    def texts(self) -> list[str]:
        """Return the permissions in the form that administrators write, sorted."""
        return [str(each) for each in sorted(self.granted)]
