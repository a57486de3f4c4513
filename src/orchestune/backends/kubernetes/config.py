"""`kubernetes.json`: which cluster and namespace the server starts workers in, and with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from orchestune.domain.allowances import Allowances
from orchestune.domain.resources import Resources
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem
from orchestune.kubeapi.labels import POOL

_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "cluster": ((str,), "a name"),
    "namespace": ((str,), "a name"),
    "url": ((str,), "the address under which pods reach the server"),
    "runtime_image": ((str,), "a reference of an image"),
    "default_image": ((str, type(None)), "a reference of an image, or null"),
    "pull_secrets": ((list,), "a list of names"),
    "gpu_resource": ((str,), "the name of a resource, such as nvidia.com/gpu"),
    "pool_label": ((str,), "the key of a label"),
    "cpu": ((int, float), "a number of cores"),
    "memory": ((int, type(None)), "a number of bytes, or null"),
    "elastic": ((bool,), "true or false"),
    "worker_service_account": ((str,), "a name"),
    "restricted": ((bool, type(None)), "true, false, or null"),
    "user": ((int, type(None)), "the number of a user, or null"),
    "image_volumes": ((bool, type(None)), "true, false, or null"),
    "architecture": ((str,), "the architecture of nodes, such as arm64"),
    "farewell": ((int,), "a number of seconds"),
    "kubeconfig": ((str, type(None)), "the path of a kubeconfig, or null"),
    "context": ((str, type(None)), "the name of a context, or null"),
    "allow": ((list,), "a list such as [claim:datasets, privileged]"),
}
_NEEDED = ("cluster", "namespace", "url", "runtime_image")


@dataclass(frozen=True)
class KubernetesConfig:
    """What the file says."""

    cluster: str
    """the name of the backend, and of the cluster in every listing"""
    namespace: str
    url: str
    """how pods reach the server; without a slash at the end"""
    runtime_image: str
    """the image that holds the private Python"""
    default_image: str | None = None
    """for experiments that name none; None: such ones are refused"""
    pull_secrets: tuple[str, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    pool_label: str = POOL
    """label of a node that names its pool; without it a node's pool is `gpu` or `cpu`"""
    cpu: float = 1.0
    """cores of a trial whose file does not say"""
    memory: int | None = None
    """bytes of a trial whose file does not say; None: no limit"""
    elastic: bool = False
    """nodes are started on demand"""
    worker_service_account: str = "orchestune-worker"
    restricted: bool | None = None
    """whether pods must not run as root; None: as the namespace's labels say"""
    user: int | None = 65534
    """who trials run as where they must not run as root; None: the cluster says who (OpenShift)"""
    image_volumes: bool | None = None
    """whether the private Python comes into pods by an image volume; None: where the cluster has them"""
    architecture: str = ""
    """of the nodes on which the private Python runs; empty: all of them"""
    farewell: int = 30
    """seconds that a worker has, beyond the trial's grace, to publish a checkpoint and to hand its trial back"""
    kubeconfig: str | None = None
    """None: the account of the pod that the server runs in"""
    context: str | None = None
    allow: Allowances = Allowances()
    """what experiments may have of the cluster beyond the positive list of `policy`"""

    @property
    def card_taints(self) -> tuple[str, ...]:
        """Keys of the taints of nodes with cards: the resource's own, and that of whole cards of its maker, which nodes
        have too whose cards are sliced.
        """
        return tuple(dict.fromkeys((self.gpu_resource, f"{self.gpu_resource.partition('/')[0]}/gpu")))

    def needs(self, each: Resources) -> Resources:
        """What a trial takes: of what its file leaves open, what the cluster has to know is filled in."""
        cpu = self.cpu if each.cpu is None else each.cpu
        return replace(each, cpu=cpu, memory=self.memory if each.memory is None else each.memory)


def read(path: Path) -> KubernetesConfig:
    """The configuration in a file. BadInput names every mistake."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BadInput([Problem(f"cannot be read: {exc.strerror}", file=str(path))]) from exc
    except ValueError as exc:
        raise BadInput([Problem(f"is no JSON: {exc}", file=str(path))]) from exc
    if not isinstance(document, dict):
        raise BadInput([Problem("is no JSON object", file=str(path))])
    problems = [_unknown(key) for key in sorted(document.keys() - _TYPES.keys())]
    problems += [Problem("is missing", key=key) for key in _NEEDED if not document.get(key)]
    for key, value in document.items():
        types, allowed = _TYPES.get(key, ((object,), ""))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
            problems.append(Problem(f"found {json.dumps(value)}, expected {allowed}", key=key))
    if not problems:
        problems += _unfit_allowances(document.get("allow") or [])
    if problems:
        raise BadInput([Problem(each.message, each.key, str(path), hint=each.hint) for each in problems])
    return KubernetesConfig(**{**document, **_converted(document)})


def _converted(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"url": str(document["url"]).rstrip("/")}
    if "pull_secrets" in document:
        found["pull_secrets"] = tuple(str(name) for name in document["pull_secrets"])
    if "cpu" in document:
        found["cpu"] = float(document["cpu"])
    if "allow" in document:
        found["allow"] = Allowances.of(str(text) for text in document["allow"])
    return found


def _unfit_allowances(texts: list[object]) -> list[Problem]:
    try:
        Allowances.of(str(text) for text in texts)
    except ValueError as exc:
        return [Problem(str(exc), key="allow")]
    return []


def _unknown(key: str) -> Problem:
    known = [item.name for item in fields(KubernetesConfig)]
    return Problem("there is no such key", key=key, hint=did_you_mean(key, known) or f"known are {', '.join(known)}")
