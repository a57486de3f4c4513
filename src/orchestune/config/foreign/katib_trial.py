"""The trial template of Katib: from the pod that it describes to a command and where it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestune.config.foreign.notes import ForeignFile, number, without_empty

_REFERENCE = re.compile(r"\$\{trialParameters\.([^}]+)\}")
_OF_KATIB = re.compile(r"\$\{trialSpec\.[^}]+\}")
_SILENT = (
    "restartPolicy",
    "primaryPodLabels",
    "primaryContainerName",
    "successCondition",
    "failureCondition",
    "retain",
)
_RESTS = (
    "nodeSelector", "tolerations", "affinity", "imagePullSecrets", "securityContext", "runtimeClassName", "hostNetwork",
    "dnsPolicy", "schedulerName",
)  # fmt: skip
"""parts of a pod that are handed on as they stand"""


def trial(template: ForeignFile, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The keys of the experiment file that say what one trial is; `parameters`: what each is called here."""
    names = {}
    for item in template.each("trialParameters"):
        name, reference = item.text("name"), item.text("reference")
        if name and reference:
            names[name] = reference
        item.leave("description")
    primary = template.text("primaryContainerName")
    if "configMap" in template:
        template.take("configMap")
        template.wrong(
            "the trial stands in a ConfigMap", "put it here as trialSpec; kubectl get configmap shows it", "configMap"
        )
        return {}
    pod, seconds = _pod(template.below("trialSpec"))
    template.leave(*_SILENT)
    containers = pod.each("containers")
    own = next((one for one in containers if one.text("name") == primary), containers[0] if containers else None)
    if own is None:
        template.wrong("has no container", "a Job with a pod template is expected", "trialSpec")
        return {}
    if len(containers) > 1:
        pod.note("of several containers only that of the trial is taken", "containers")
    found = _command(own, _Names(names, parameters))
    found |= {"image": own.text("image"), "resources": _resources(own.below("resources"))}
    found |= _where(pod, own)
    limits = [limit for limit in (seconds, number(pod.value("activeDeadlineSeconds"))) if limit is not None]
    found["timeout"] = f"{min(limits):g}s" if limits else None
    own.leave("name", "imagePullPolicy")
    pod.leave(*_SILENT)
    return without_empty(found)


def _pod(spec: ForeignFile) -> tuple[ForeignFile, float | None]:
    """The pod of a Job, or of the first kind of replica of a training job; how many seconds it may take."""
    kind = spec.text("kind") or "Job"
    inner = spec.below("spec")
    seconds = number(inner.value("activeDeadlineSeconds"))
    for name in inner:
        if name.endswith("ReplicaSpecs"):
            replicas = inner.below(name)
            first = next(iter(replicas), "")
            inner.note(f"of the {kind} the pod of {first} is taken; a trial here is one process", name)
            for other in replicas:
                if other != first:
                    replicas.take(other)
            inner = replicas.below(first)
            inner.take("replicas")
            break
    found = inner.below("template").below("spec")
    inner.leave("backoffLimit", "completions", "parallelism", *_SILENT)
    spec.leave("apiVersion", "metadata")
    return found, seconds


class _Names:
    """Katib's references as placeholders."""

    def __init__(self, names: dict[str, str], parameters: Mapping[str, str]) -> None:
        self.names, self.parameters = names, parameters

    def in_text(self, text: str, container: ForeignFile) -> str:
        """`--lr=${trialParameters.learningRate}` as `--lr={lr}`."""
        parts = _REFERENCE.split(text)
        made = [part.replace("{", "{{").replace("}", "}}") if index % 2 == 0 and not _OF_KATIB.search(part) else part
                for index, part in enumerate(parts)]  # fmt: skip
        for index in range(1, len(parts), 2):
            reference = self.names.get(parts[index], parts[index])
            if reference in self.parameters:
                made[index] = f"{{{self.parameters[reference]}}}"
            elif _OF_KATIB.fullmatch(reference):
                made[index] = reference
            else:
                container.note(f"${{trialParameters.{parts[index]}}} has no counterpart here ({reference})")
                made[index] = ""
        if _OF_KATIB.search("".join(made)):
            container.note("${trialSpec.…} has no counterpart here; $ORCHESTUNE_TRIAL is the number of the trial")
            made = [_OF_KATIB.sub("trial", part) for part in made]
        return "".join(made)


def _command(container: ForeignFile, names: _Names) -> dict[str, Any]:
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
            item.note(f"{name} comes from the cluster: name it under secrets, or in a pod patch")
        item.leave()
    if not words:
        container.note(
            "the image's own entry point is not known here, so the command has to be said: end with -- COMMAND"
        )
    made = [names.in_text(word, container) for word in words]
    run: Any = [*(["env", *varied] if varied else []), *made]
    if all(re.fullmatch(r"[\w./:=@%+,{}\-]+", word) for word in run):
        run = " ".join(run)
    return {"run": run if words else None, "env": fixed}


def _resources(resources: ForeignFile) -> dict[str, Any]:
    asked = {**resources.mapping("limits"), **resources.mapping("requests")}
    resources.leave()
    gpus = [name for name in asked if "gpu" in name]
    found = without_empty({"cpu": _cores(asked.pop("cpu", None)), "memory": asked.pop("memory", None)})
    if gpus:
        found["gpu"] = number(asked.pop(gpus[0]))
    for name in asked:
        resources.note(f"{name} has no counterpart here")
    return found


def _cores(value: Any) -> Any:
    return f"{value}" if isinstance(value, str) and value.endswith("m") else number(value)


def _where(pod: ForeignFile, container: ForeignFile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "service_account": pod.text("serviceAccountName") or pod.text("serviceAccount"),
        "priority_class": pod.text("priorityClassName"),
        "pod": without_empty({"spec": without_empty({name: pod.value(name) for name in _RESTS})}),
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
        where = without_empty({"claim": claim.text("claimName"), "path": host.text("path")})
        if where:
            volumes.append({**where, "mount": path, **({"read_only": True} if read_only else {})})
        elif path == "/dev/shm":
            found["shm"] = empty.text("sizeLimit") or "1Gi"
        else:
            volume.note(f"what is mounted at {path} has no counterpart here; a pod patch may say it")
        volume.leave("name", "configMap", "secret", "emptyDir", "projected")
    found["volumes"] = volumes
    return found
