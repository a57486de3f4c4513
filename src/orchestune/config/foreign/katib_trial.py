"""Converts the trial template of Katib, a pod, to a command and its placement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestune.config.foreign.notes import ForeignFile, number, without_empty

_REFERENCE = re.compile(r"\$\{trialParameters\.([^}]+)\}")
_OF_KATIB = re.compile(r"\$\{trialSpec\.[^}]+\}")
_IGNORED = (
    "restartPolicy",
    "primaryPodLabels",
    "primaryContainerName",
    "successCondition",
    "failureCondition",
    "retain",
)
_COPIED_FIELDS = (
    "nodeSelector", "tolerations", "affinity", "imagePullSecrets", "securityContext", "runtimeClassName", "hostNetwork",
    "dnsPolicy", "schedulerName",
)  # fmt: skip
"""fields of a pod that are copied to the pod patch"""


def trial(template: ForeignFile, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Convert the template to the keys that define a trial. `parameters` maps names of parameters to new names."""
    names = {}
    for item in template.each("trialParameters"):
        name, reference = item.text("name"), item.text("reference")
        if name and reference:
            names[name] = reference
        item.leave("description")
    primary = template.text("primaryContainerName")
    if "configMap" in template:
        template.take("configMap")
        template.reject(
            "the trial template is in a ConfigMap", "copy it here as trialSpec, from kubectl get configmap", "configMap"
        )
        return {}
    pod, seconds = _pod(template.below("trialSpec"))
    template.leave(*_IGNORED)
    containers = pod.each("containers")
    container = next((one for one in containers if one.text("name") == primary), containers[0] if containers else None)
    if container is None:
        template.reject("has no container", "write a Job with a pod template", "trialSpec")
        return {}
    if len(containers) > 1:
        pod.note("only the trial's container is used", "containers")
    document = _command(container, _References(names, parameters))
    document |= {"image": container.text("image"), "resources": _resources(container.below("resources"))}
    document |= _placement(pod, container)
    limits = [limit for limit in (seconds, number(pod.value("activeDeadlineSeconds"))) if limit is not None]
    document["timeout"] = f"{min(limits):g}s" if limits else None
    container.leave("name", "imagePullPolicy")
    pod.leave(*_IGNORED)
    return without_empty(document)


def _pod(spec: ForeignFile) -> tuple[ForeignFile, float | None]:
    """Return the pod of a Job, or of the first replica type of a training job, and its deadline in seconds."""
    kind = spec.text("kind") or "Job"
    inner = spec.below("spec")
    seconds = number(inner.value("activeDeadlineSeconds"))
    for name in inner:
        if name.endswith("ReplicaSpecs"):
            replicas = inner.below(name)
            first = next(iter(replicas), "")
            inner.note(f"only the {first} pod of the {kind} is used: a trial is one process", name)
            for other in replicas:
                if other != first:
                    replicas.take(other)
            inner = replicas.below(first)
            inner.take("replicas")
            break
    pod = inner.below("template").below("spec")
    inner.leave("backoffLimit", "completions", "parallelism", *_IGNORED)
    spec.leave("apiVersion", "metadata")
    return pod, seconds


class _References:
    """Converts Katib's references to placeholders."""

    def __init__(self, names: dict[str, str], parameters: Mapping[str, str]) -> None:
        self.names, self.parameters = names, parameters

    def in_text(self, text: str, container: ForeignFile) -> str:
        """Convert `--lr=${trialParameters.learningRate}` to `--lr={lr}`."""
        parts = _REFERENCE.split(text)
        converted = [
            part.replace("{", "{{").replace("}", "}}") if index % 2 == 0 and not _OF_KATIB.search(part) else part
            for index, part in enumerate(parts)
        ]
        for index in range(1, len(parts), 2):
            reference = self.names.get(parts[index], parts[index])
            if reference in self.parameters:
                converted[index] = f"{{{self.parameters[reference]}}}"
            elif _OF_KATIB.fullmatch(reference):
                converted[index] = reference
            else:
                container.note(f"${{trialParameters.{parts[index]}}} has no counterpart ({reference})")
                converted[index] = ""
        if _OF_KATIB.search("".join(converted)):
            container.note("${trialSpec.…} has no counterpart; $ORCHESTUNE_TRIAL is the number of the trial")
            converted = [_OF_KATIB.sub("trial", part) for part in converted]
        return "".join(converted)


def _command(container: ForeignFile, names: _References) -> dict[str, Any]:
    words = [str(word) for name in ("command", "args") for word in container.values(name)]
    fixed: dict[str, str] = {}
    varied: list[str] = []
    for item in container.each("env"):
        name, value = item.text("name"), item.text("value")
        if name and value is not None and _REFERENCE.search(value):
            varied.append(f"{name}={names.in_text(value, container)}")
        elif name and value is not None:
            fixed[name] = value
        elif name:
            item.take("valueFrom")
            item.note(f"{name} comes from the cluster: list it under secrets, or in a pod patch")
        item.leave()
    if not words:
        container.note("the entry point of the image is unknown: add the command, -- COMMAND")
    converted = [names.in_text(word, container) for word in words]
    run: Any = [*(["env", *varied] if varied else []), *converted]
    if all(re.fullmatch(r"[\w./:=@%+,{}\-]+", word) for word in run):
        run = " ".join(run)
    return {"run": run if words else None, "env": fixed}


def _resources(resources: ForeignFile) -> dict[str, Any]:
    amounts = {**resources.mapping("limits"), **resources.mapping("requests")}
    resources.leave()
    gpus = [name for name in amounts if "gpu" in name]
    converted = without_empty({"cpu": _cores(amounts.pop("cpu", None)), "memory": amounts.pop("memory", None)})
    if gpus:
        converted["gpu"] = number(amounts.pop(gpus[0]))
    for name in amounts:
        resources.note(f"{name} has no counterpart")
    return converted


def _cores(value: Any) -> Any:
    return f"{value}" if isinstance(value, str) and value.endswith("m") else number(value)


def _placement(pod: ForeignFile, container: ForeignFile) -> dict[str, Any]:
    placement: dict[str, Any] = {
        "service_account": pod.text("serviceAccountName") or pod.text("serviceAccount"),
        "priority_class": pod.text("priorityClassName"),
        "pod": without_empty({"spec": without_empty({name: pod.value(name) for name in _COPIED_FIELDS})}),
    }
    mounts = {}
    for mount in container.each("volumeMounts"):
        mounts[mount.text("name")] = (mount.text("mountPath"), mount.value("readOnly"))
        mount.leave()
    volumes = []
    for volume in pod.each("volumes"):
        path, read_only = mounts.get(volume.text("name"), (None, None))
        if path is None:
            continue
        claim, host, empty = volume.below("persistentVolumeClaim"), volume.below("hostPath"), volume.below("emptyDir")
        source = without_empty({"claim": claim.text("claimName"), "path": host.text("path")})
        if source:
            volumes.append({**source, "mount": path, **({"read_only": True} if read_only else {})})
        elif path == "/dev/shm":
            placement["shm"] = empty.text("sizeLimit") or "1Gi"
        else:
            volume.note(f"the volume at {path} has no counterpart; use a pod patch")
        volume.leave("name", "configMap", "secret", "emptyDir", "projected")
    placement["volumes"] = volumes
    return placement
