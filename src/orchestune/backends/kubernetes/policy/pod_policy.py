"""Enforcement of the pod policy: rejects experiments whose pods exceed what the administrator allows.

The server creates pods with its own rights, so Kubernetes does not check the rights of the experiment's author. The
check runs when an experiment is created, in a dry run, and again for each Job, as the allow-list may have shrunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.policy import pod
from orchestune.backends.kubernetes.policy.rules import RuleScope, label, mapping, mappings, shortened
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import Denied, NotFound, PolicyRefused, Problem
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.labels import OWN_LABELS, are_in
from orchestune.ports.backend import WorkerOrder

_PROTECTED = (
    plan.MOUNT,
    plan.STATE,
    plan.ORDERS,
    "/var/run/secrets",
    "/run/secrets",
    "/var/run/nvidia-container-devices",
    "/run/nvidia-container-devices",
    "/dev",
    "/proc",
    "/sys",
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""names of cluster objects; no other text may become part of a path of the API"""
_VOLUME_NAME = re.compile(r"volume-(\d+)")


def refuse_placement(config: KubernetesConfig, each: Resources, placement: Placement) -> None:
    """Check an experiment before anything is started. Raises PolicyRefused listing all rejected keys."""
    refuse_template(config, _sample_order(placement, each), plan.ClusterRequirements())


def refuse_template(config: KubernetesConfig, order: WorkerOrder, requirements: plan.ClusterRequirements) -> None:
    """Check the pod of one worker as it would be created. Raises PolicyRefused listing all rejected keys."""
    template = plan.template(config, order, requirements, ["worker"])
    bare = replace(order.placement, pod={}, volumes=(), service_account=None, priority_class=None)
    own = plan.template(config, replace(order, placement=bare), requirements, ["worker"])
    scope = RuleScope(
        cluster=config.cluster,
        own=own,
        allowances=config.allow,
        service_account=config.worker_service_account,
        pull_secrets=config.pull_secrets,
        gpu_resource=config.gpu_resource,
        protected=_PROTECTED,
        aliases=tuple(_aliases(order.placement, template)),
    )
    problems = [*_invalid_names(order.placement), *pod.refusals(scope, template)]
    if problems:
        raise PolicyRefused.first_of(problems)


def refuse_own_objects(api: ApiServer, config: KubernetesConfig, placement: Placement) -> None:
    """Refuse claims and accounts with Orchestune's labels, even if an allow-list names them by mistake.

    Objects that do not exist or that the server may not read are left to the other checks.
    """
    template = plan.template(config, _sample_order(placement), plan.ClusterRequirements(), ["worker"])
    scope = RuleScope(config.cluster, {}, aliases=tuple(_aliases(placement, template)))
    for kind, path, name in _objects(mapping(template["spec"])):
        if name in (None, config.worker_service_account):
            continue
        try:
            document = api.call("GET", f"/api/v1/namespaces/{config.namespace}/{kind}/{name}")
        except (Denied, NotFound):
            continue
        if are_in(OWN_LABELS, document["metadata"].get("labels")):
            raise PolicyRefused.one(f"'{name}' belongs to Orchestune's server", scope.key(path), "name another one")


def _invalid_names(placement: Placement) -> Iterator[Problem]:
    """Yield a problem for each key of the placement that is not an object's name, even if `pod:` overrides it.

    The preflight checks request these objects with the server's rights: a name such as `../secrets/x` or `x?watch=true`
    would request something else.
    """
    names = {"queue": placement.queue, "service_account": placement.service_account}
    names["priority_class"] = placement.priority_class
    names |= {f"volumes[{index}].claim": volume.claim for index, volume in enumerate(placement.volumes)}
    for key, name in names.items():
        if name is not None and not _NAME.fullmatch(name):
            yield Problem(
                f"invalid name '{shortened(name)}' (expected at most 253 lower-case letters, digits, - and .)", key=key
            )


def _objects(spec: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Yield kind, path and name of the pod's accounts and claims, whichever key of the file they come from."""
    for key in ("serviceAccountName", "serviceAccount"):
        yield "serviceaccounts", f"spec.{key}", spec.get(key)
    for index, item in enumerate(mappings(spec.get("volumes"))):
        claim = mapping(item.get("persistentVolumeClaim")).get("claimName")
        yield "persistentvolumeclaims", f"spec.volumes[{label(item, index)}]", claim


def _sample_order(placement: Placement, each: Resources | None = None) -> WorkerOrder:
    return WorkerOrder("rehearsal-00", "", "", 1, each=each or Resources(), placement=placement)


def _aliases(placement: Placement, template: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield (template path, key of the file) for everything that does not come from `pod:`."""
    spec = mapping(template.get("spec"))
    if placement.service_account and spec.get("serviceAccountName") == placement.service_account:
        yield "spec.serviceAccountName", "service_account"
    if placement.priority_class and spec.get("priorityClassName") == placement.priority_class:
        yield "spec.priorityClassName", "priority_class"
    for index, item in enumerate(mappings(spec.get("volumes"))):
        if (number := _number(placement, item)) is not None:
            kind = "claim" if placement.volumes[number].claim is not None else "path"
            yield f"spec.volumes[{label(item, index)}]", f"volumes[{number}].{kind}"
    for index, container in enumerate(mappings(spec.get("containers"))):
        for mount_index, item in enumerate(mappings(container.get("volumeMounts"))):
            if (number := _number(placement, item)) is not None:
                begin = f"spec.containers[{label(container, index)}].volumeMounts[{label(item, mount_index)}]"
                yield begin, f"volumes[{number}].mount"


def _number(placement: Placement, item: Mapping[str, object]) -> int | None:
    """Return the index in `volumes:` of an entry of the template; None if it comes from elsewhere."""
    match = _VOLUME_NAME.fullmatch(str(item.get("name")))
    number = int(match[1]) if match else -1
    return number if 0 <= number < len(placement.volumes) else None
