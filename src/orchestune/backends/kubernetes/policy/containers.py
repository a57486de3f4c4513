"""Rules for containers: the worker's, the one that copies its Python, and those that an experiment adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestune.backends.kubernetes.policy.hardening import DEVICES, gains_privileges
from orchestune.backends.kubernetes.policy.rules import (
    Check,
    RuleScope,
    Table,
    each,
    free,
    mapping,
    mappings,
    never,
    only,
    shortened,
    switch,
    table,
    unless,
)
from orchestune.backends.kubernetes.policy.volumes import config_map_reference, mount_path, mounts, secret_reference
from orchestune.domain.specification.experiment import MAX_GRACE_SECONDS
from orchestune.errors import Problem

PROFILE: Check = unless("unconfined", {"type": "RuntimeDefault"})
"""the default profile of seccomp or AppArmor"""
UNCONFINED: Check = unless("unconfined")
_NO_GPU_VALUES = ("void", "none", "")
_COUNTED_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def _capabilities(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    added = mapping(value).get("add") or []
    for name in added if isinstance(added, list) else [added]:
        capability = str(name).upper().removeprefix("CAP_")
        if not scope.allowances.permit("capability", capability):
            yield scope.refuse(f"{path}.add", f"adds the capability {shortened(name)}", "capability", capability)
    dropped = mapping(value).get("drop") or []
    kept = isinstance(dropped, list) and not {"ALL", "NET_RAW"} & set(map(str, dropped))
    if kept and not scope.allowances.permit("capability", "NET_RAW"):
        message = "keeps the capability NET_RAW, by which others' connections can be read (expected it in `drop`)"
        yield scope.refuse(f"{path}.drop", message, "capability", "NET_RAW")
    yield from table({"add": free, "drop": free})(scope, path, value)


_SECURITY: Table = {
    "allowPrivilegeEscalation": switch("privilege-escalation"),
    "appArmorProfile": PROFILE,
    "capabilities": _capabilities,
    "privileged": switch("privileged"),
    "procMount": unless("unconfined", "Default"),
    "readOnlyRootFilesystem": free,
    "runAsGroup": free,
    "runAsNonRoot": free,
    "runAsUser": free,
    "seLinuxOptions": UNCONFINED,
    "seccompProfile": PROFILE,
}


def _no_host(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Refuse a host: the kubelet sends these requests from the node, so they would bypass every NetworkPolicy."""
    if value != "":
        yield scope.refuse(path, f"has the node connect to '{shortened(value)}' (expected no host: the pod itself)")


_HTTP: Table = {"host": _no_host, "httpHeaders": free, "path": free, "port": free, "scheme": free}
_ACTION: Table = {
    "exec": free,
    "grpc": free,
    "httpGet": table(_HTTP),
    "sleep": free,
    "tcpSocket": table({"host": _no_host, "port": free}),
}
_TIMING = ("failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold", "timeoutSeconds")


def grace(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check the termination grace period of a container."""
    if not isinstance(value, int) or not 0 <= value <= MAX_GRACE_SECONDS:
        yield scope.refuse(path, f"found {shortened(value)} (expected 0 to {MAX_GRACE_SECONDS:g} seconds)")


_PROBE: Check = table({**_ACTION, **dict.fromkeys(_TIMING, free), "terminationGracePeriodSeconds": grace})
_HANDLER: Check = table(_ACTION)
_LIFECYCLE: Check = table({"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": free})


def _variable(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Refuse variables by which vendors' runtimes expose GPUs that are not requested.

    The runtimes follow them even in containers without a request.
    """
    item = mapping(value)
    if item.get("name") in tuple(DEVICES) and ("valueFrom" in item or item.get("value") not in _NO_GPU_VALUES):
        yield scope.refuse(path, "takes GPUs that are not requested (expected them in `resources.gpu`)")
    yield from table({"name": free, "value": free, "valueFrom": table(_SOURCES)})(scope, path, value)


_SOURCES: Table = {
    "configMapKeyRef": table(config_map_reference()),
    "fieldRef": free,
    "resourceFieldRef": free,
    "secretKeyRef": table(secret_reference()),
}
_ALL_FROM: Table = {
    "configMapRef": table(config_map_reference()),
    "prefix": free,
    "secretRef": table(secret_reference()),
}


def amounts(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check requests or limits: devices other than the GPUs that Orchestune counts need an allowance."""
    for name, count in mapping(value).items():
        if str(count).strip().startswith("-"):
            yield scope.refuse(f"{path}.{shortened(name)}", f"found {shortened(count)} (expected no negative amount)")
        counted = name in (*_COUNTED_RESOURCES, scope.gpu_resource) or str(name).startswith("hugepages-")
        if not counted and not scope.allowances.permit("resource", str(name)):
            yield scope.refuse(f"{path}.{shortened(name)}", "is not counted by Orchestune", "resource", str(name))
    if not isinstance(value, Mapping):
        yield scope.refuse(path, f"found {shortened(value)} (expected a mapping)")


RESOURCES: Check = table({"requests": amounts, "limits": amounts})
_PORT: Table = {
    "containerPort": free,
    "hostIP": unless("host-port"),
    "hostPort": unless("host-port", 0),
    "name": free,
    "protocol": free,
}


def container(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check one container or init container."""
    own = _own(scope, mapping(value).get("name"))
    yield from _missing(scope, path, mapping(value))

    def variable(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        return iter(()) if value in mappings(own.get("env")) else _variable(scope, path, value)

    def mount(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        return mounts(own, scope, path, value)

    yield from table({**_CONTAINER, "env": each(variable), "volumeMounts": mount})(scope, path, value)


def _own(scope: RuleScope, name: object) -> Mapping[str, object]:
    """Return the container of that name in Orchestune's own template."""
    spec = mapping(scope.own.get("spec"))
    every = [*mappings(spec.get("containers")), *mappings(spec.get("initContainers"))]
    return next((item for item in every if item.get("name") == name), {})


def _missing(scope: RuleScope, path: str, value: Mapping[str, object]) -> Iterator[Problem]:
    """Refuse removed settings without which a container would have more rights than the default."""
    security = mapping(value.get("securityContext"))
    kept = security.get("allowPrivilegeEscalation") is None and not gains_privileges(security)
    if kept and not scope.allowances.permit("privilege-escalation"):
        at = f"{path}.securityContext.allowPrivilegeEscalation"
        yield scope.refuse(at, "is left out (expected false)", "privilege-escalation")
    if security.get("capabilities") is None:
        yield from _capabilities(scope, f"{path}.securityContext.capabilities", {})


def _message_path(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check the path: the kubelet mounts a file there."""
    return iter(()) if value == "/dev/termination-log" else mount_path(scope, path, value)


_CONTAINER: Table = {
    "args": free,
    "command": free,
    "envFrom": each(table(_ALL_FROM)),
    "image": free,
    "imagePullPolicy": free,
    "lifecycle": _LIFECYCLE,
    "livenessProbe": _PROBE,
    "name": free,
    "ports": each(table(_PORT)),
    "readinessProbe": _PROBE,
    "resizePolicy": free,
    "resources": RESOURCES,
    "restartPolicy": only("Always"),
    "restartPolicyRules": never,
    "securityContext": table(_SECURITY),
    "startupProbe": _PROBE,
    "stdin": free,
    "stdinOnce": free,
    "terminationMessagePath": _message_path,
    "terminationMessagePolicy": free,
    "tty": free,
    "volumeDevices": free,
    "workingDir": free,
}
