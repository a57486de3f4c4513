"""`kubernetes.json`: cluster, namespace and defaults for the workers that the server starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from orchestune.domain.access.allowances import Allowances
from orchestune.domain.resources.resources import Resources
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
_REQUIRED = ("cluster", "namespace", "url", "runtime_image")


@dataclass(frozen=True)
class KubernetesConfig:
    """The settings of `kubernetes.json`."""

    cluster: str
    """name of the backend, and of the cluster in every listing"""
    namespace: str
    url: str
    """URL at which pods reach the server, without a trailing slash"""
    runtime_image: str
    """image that holds the private Python"""
    default_image: str | None = None
    """image of experiments that name none; None: they are rejected"""
    pull_secrets: tuple[str, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    pool_label: str = POOL
    """key of the node label that names the pool; unlabelled nodes belong to the pool `gpu` or `cpu`"""
    cpu: float = 1.0
    """default cores of a trial"""
    memory: int | None = None
    """default memory of a trial in bytes; None: no limit"""
    elastic: bool = False
    """nodes are added on demand (autoscaling)"""
    worker_service_account: str = "orchestune-worker"
    restricted: bool | None = None
    """pods must not run as root; None: as the namespace's labels say"""
    user: int | None = 65534
    """user id of trials where root is not allowed; None: assigned by the cluster (OpenShift)"""
    image_volumes: bool | None = None
    """deliver the private Python by an image volume; None: if the cluster supports it"""
    architecture: str = ""
    """architecture of the nodes that can run the private Python; empty: any"""
    farewell: int = 30
    """seconds beyond the trial's grace in which a worker may publish a checkpoint and requeue its trial"""
    kubeconfig: str | None = None
    """None: the service account of the server's pod"""
    context: str | None = None
    allow: Allowances = Allowances()
    """what experiments may use of the cluster beyond the allow-list in `policy`"""

    @property
    def card_taints(self) -> tuple[str, ...]:
        """Taint keys of nodes with GPUs.

        They are the GPU resource, and the vendor's whole-GPU resource, whose taint nodes with sliced GPUs carry as
        well.
        """
        return tuple(dict.fromkeys((self.gpu_resource, f"{self.gpu_resource.partition('/')[0]}/gpu")))

    def needs(self, each: Resources, cores_per_gpu: float = 0.0) -> Resources:
        """Return a trial's requests, with defaults for the values that the cluster requires.

        A trial that requests no cores gets those of its share of a node's GPUs, or `cpu`, reserved without a limit: its
        data loaders may use what others leave idle.
        """
        request = replace(each, memory=self.memory if each.memory is None else each.memory)
        if each.cpu is not None:
            return request
        return replace(request, cpu=max(self.cpu, cores_per_gpu * each.gpu), has_assumed_cpu=True)


def read(path: Path) -> KubernetesConfig:
    """Read the configuration from a file. Raises BadInput listing all mistakes."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput([Problem(f"cannot be read: {exc.strerror}", file=str(path))]) from exc
    return parse(content, str(path))


def parse(content: str | bytes, file: str) -> KubernetesConfig:
    """Parse the content of the configuration `file`. Raises BadInput listing all mistakes."""
    try:
        document = json.loads(content)
    except ValueError as exc:
        raise BadInput([Problem(f"is no JSON: {exc}", file=file)]) from exc
    if not isinstance(document, dict):
        raise BadInput([Problem("is no JSON object", file=file)])
    problems = [_unknown(key) for key in sorted(document.keys() - _TYPES.keys())]
    problems += [Problem("is missing", key=key) for key in _REQUIRED if not document.get(key)]
    for key, value in document.items():
        types, allowed = _TYPES.get(key, ((object,), ""))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
            problems.append(Problem(f"found {json.dumps(value)}, expected {allowed}", key=key))
    if not problems:
        problems += _unfit_allowances(document.get("allow") or [])
    if problems:
        raise BadInput([Problem(each.message, each.key, file, hint=each.hint) for each in problems])
    return KubernetesConfig(**{**document, **_converted(document)})


def _converted(document: Mapping[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {"url": str(document["url"]).rstrip("/")}
    if "pull_secrets" in document:
        converted["pull_secrets"] = tuple(str(name) for name in document["pull_secrets"])
    if "cpu" in document:
        converted["cpu"] = float(document["cpu"])
    if "allow" in document:
        converted["allow"] = Allowances.of(str(text) for text in document["allow"])
    return converted


def _unfit_allowances(texts: list[object]) -> list[Problem]:
    try:
        Allowances.of(str(text) for text in texts)
    except ValueError as exc:
        return [Problem(str(exc), key="allow")]
    return []


def _unknown(key: str) -> Problem:
    names = [item.name for item in fields(KubernetesConfig)]
    return Problem("there is no such key", key=key, hint=did_you_mean(key, names) or f"known are {', '.join(names)}")
