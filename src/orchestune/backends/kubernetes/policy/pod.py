"""Rules for the whole pod template of a worker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from orchestune.backends.kubernetes.policy.containers import PROFILE, RESOURCES, UNCONFINED, container, grace
from orchestune.backends.kubernetes.policy.rules import (
    Check,
    RuleScope,
    Table,
    each,
    free,
    mapping,
    named,
    never,
    only,
    shortened,
    switch,
    table,
    unless,
)
from orchestune.backends.kubernetes.policy.volumes import volume
from orchestune.errors import Problem

MOST_BYTES = 64 * 1024
"""maximum size of an experiment's additions: the API server stores at most 1.5 MiB per object, including all copies"""
USER_LABELS = "user.orchestune.dev/"
"""prefix of the labels that experiments may set: by any other label, a Service, a network policy, a disruption budget
or an identity provider of another team may select pods"""
_MAX_CONTAINERS = 32
"""maximum of containers, and of init containers. The server parses the requests of all pending pods in each tick"""
_MAX_TOLERATIONS = 100
"""`WorkerScaling` compares them with the taints of the nodes in each tick, for each unfinished experiment"""
_HARMLESS_DOMAINS = ("karpenter.sh", "cluster-autoscaler.kubernetes.io", "prometheus.io")
"""annotation domains that only keep a pod on its node or enable scraping of its metrics"""
_ACCOUNTS = ("serviceAccountName", "serviceAccount")
_UNQUALIFIED_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_]{0,61}[A-Za-z0-9])?")


def refusals(scope: RuleScope, template: Mapping[str, object]) -> list[Problem]:
    """Return a problem for everything in the template that its experiment may not set."""
    size = len(json.dumps(template)) - len(json.dumps(scope.own))
    if size > MOST_BYTES:
        return [Problem(f"adds {size} bytes to the pod (expected at most {MOST_BYTES})", "pod", hint="make it shorter")]
    parts: Table = {"metadata": table({"labels": _labels, "annotations": _annotations}), "spec": _spec}
    return [problem for key, check in parts.items() for problem in check(scope, key, template.get(key) or {})] + [
        scope.refuse(shortened(key), "a pod template has no such key") for key in template if key not in parts
    ]


def _labels(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    own = mapping(mapping(scope.own.get("metadata")).get("labels"))
    for key, text in mapping(value).items():
        free_key = str(key).startswith(USER_LABELS)
        if (key in own and own[key] == text) or free_key or scope.allowances.permit("label", str(key)):
            continue
        message = f"others may act on this label of a pod (expected a key that begins with {USER_LABELS})"
        yield scope.refuse(f"{path}.{shortened(key)}", message, "label", str(key))


def _annotations(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Refuse annotations by which controllers and runtimes grant devices, networks, sidecars or cloud roles."""
    own = mapping(mapping(scope.own.get("metadata")).get("annotations"))
    for key, text in mapping(value).items():
        harmless = _UNQUALIFIED_KEY.fullmatch(str(key)) or str(key).partition("/")[0] in _HARMLESS_DOMAINS
        if (key in own and own[key] == text) or harmless or scope.allowances.permit("annotation", str(key)):
            continue
        yield scope.refuse(
            f"{path}.{shortened(key)}", "others may act on this annotation of a pod", "annotation", str(key)
        )


def _account(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    return named("service-account", scope.service_account)(scope, path, value)


def _token(scope: RuleScope, path: str, spec: Mapping[str, object]) -> Iterator[Problem]:
    """Refuse a mounted token unless the administrator allows the account."""
    mounted = spec.get("automountServiceAccountToken")
    accounts = [spec[key] for key in _ACCOUNTS if spec.get(key) is not None]
    allowed = accounts and all(scope.allowances.permit("service-account", str(each)) for each in accounts)
    if mounted is not False and not allowed:
        text = "is left out, which means true" if mounted is None else f"found {shortened(mounted)}"
        yield scope.refuse(path, f"{text} (expected false, or an allowed `service_account`)")


def _pull_secret(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    yield from table({"name": named("pull-secret", *scope.pull_secrets)})(scope, path, value)


def _grace(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    own = mapping(scope.own.get("spec")).get("terminationGracePeriodSeconds")
    return iter(()) if value == own else grace(scope, path, value)


def _sysctl(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    yield from table({"name": named("sysctl"), "value": free})(scope, path, value)


_SECURITY: Table = {
    "appArmorProfile": PROFILE,
    "fsGroup": free,
    "fsGroupChangePolicy": free,
    "runAsGroup": free,
    "runAsNonRoot": free,
    "runAsUser": free,
    "seLinuxChangePolicy": free,
    "seLinuxOptions": UNCONFINED,
    "seccompProfile": PROFILE,
    "supplementalGroups": free,
    "supplementalGroupsPolicy": free,
    "sysctls": each(_sysctl),
}
_ANTI_AFFINITY: Table = {
    "preferredDuringSchedulingIgnoredDuringExecution": free,
    "requiredDuringSchedulingIgnoredDuringExecution": unless("anti-affinity", []),
}
_AFFINITY: Check = table({"nodeAffinity": free, "podAffinity": free, "podAntiAffinity": table(_ANTI_AFFINITY)})
_SPEC: Table = {
    "activeDeadlineSeconds": free,
    "affinity": _AFFINITY,
    "automountServiceAccountToken": free,
    "containers": each(container, _MAX_CONTAINERS),
    "dnsConfig": free,
    "dnsPolicy": free,
    "enableServiceLinks": free,
    "hostAliases": free,
    "hostIPC": switch("host-ipc"),
    "hostNetwork": switch("host-network"),
    "hostPID": switch("host-pid"),
    "hostUsers": free,
    "hostname": free,
    "imagePullSecrets": each(_pull_secret),
    "initContainers": each(container, _MAX_CONTAINERS),
    "nodeName": unless("node-name"),
    "nodeSelector": free,
    "os": only({"name": "linux"}),
    "preemptionPolicy": free,
    "priority": never,
    "priorityClassName": named("priority-class"),
    "readinessGates": free,
    "resources": RESOURCES,
    "restartPolicy": only("Never"),
    "runtimeClassName": named("runtime-class"),
    "schedulerName": named("scheduler", "default-scheduler"),
    "securityContext": table(_SECURITY),
    "serviceAccount": _account,
    "serviceAccountName": _account,
    "setHostnameAsFQDN": free,
    "shareProcessNamespace": free,
    "terminationGracePeriodSeconds": _grace,
    "tolerations": each(free, _MAX_TOLERATIONS),
    "topologySpreadConstraints": free,
    "volumes": each(volume),
}


def _spec(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    spec = mapping(value)
    if all(spec.get(key) is None for key in _ACCOUNTS):
        yield from _account(scope, f"{path}.serviceAccountName", "default")
    yield from _token(scope, f"{path}.automountServiceAccountToken", spec)
    if mapping(spec.get("securityContext")).get("seccompProfile") is None:
        yield from PROFILE(scope, f"{path}.securityContext.seccompProfile", "nothing, which means Unconfined")
    yield from table(_SPEC)(scope, path, value)
