"""Safe defaults for the containers that an experiment adds to its pod."""

from __future__ import annotations

from collections.abc import Mapping

from orchestune.backends.kubernetes.quantities import amount

_DROPPED = ["MKNOD", "NET_RAW"]  # of the default capabilities: common programs do without, attacks do not
_GPUS = "NVIDIA_VISIBLE_DEVICES"


def hardened(containers: object, own: frozenset[str], gpu_resource: str, *, restricted: bool) -> object:
    """Return the containers with defaults in place of what an experiment left open; `own` names Orchestune's.

    No privilege escalation, no raw sockets, and none of the node's GPUs if none is requested: images for GPUs
    set the variable by which NVIDIA's runtime hands all of them out.

    `restricted`: the namespace allows no capability at all.
    """
    if not isinstance(containers, list):
        return containers
    return [
        _container(each, own, gpu_resource, restricted) if isinstance(each, Mapping) else each for each in containers
    ]


def gains_privileges(security: Mapping[str, object]) -> bool:
    """Return True for a security context with which the API takes no `allowPrivilegeEscalation: false`."""
    capabilities = security.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, Mapping) else None
    names = {str(name).upper().removeprefix("CAP_") for name in added} if isinstance(added, list) else set()
    return security.get("privileged") is True or "SYS_ADMIN" in names


def _container(
    container: Mapping[str, object], own: frozenset[str], gpu_resource: str, restricted: bool
) -> dict[str, object]:
    copy, ours = dict(container), any(container.get("name") == name for name in own)
    security = copy.get("securityContext")
    if security is None or isinstance(security, Mapping):
        copy["securityContext"] = _security(security or {}, ["ALL"] if restricted or ours else _DROPPED)
    if not _takes_gpus(copy, gpu_resource):
        copy["env"] = _without_gpus(copy.get("env"))
    return copy


def _security(given: Mapping[str, object], dropped: list[str]) -> dict[str, object]:
    security = {key: value for key, value in given.items() if value is not None}
    if not gains_privileges(security):
        security.setdefault("allowPrivilegeEscalation", False)
    elif security.get("allowPrivilegeEscalation") is False:
        del security["allowPrivilegeEscalation"]
    capabilities = security.get("capabilities")
    if capabilities is None:
        security["capabilities"] = {"drop": list(dropped)}
    elif isinstance(capabilities, Mapping) and capabilities.get("drop") is None:
        security["capabilities"] = {**capabilities, "drop": list(dropped)}
    return security


def _takes_gpus(container: Mapping[str, object], gpu_resource: str) -> bool:
    """Return True if it requests a GPU: then the device plugin says in the variable which one."""
    resources = container.get("resources")
    parts = [resources.get("requests"), resources.get("limits")] if isinstance(resources, Mapping) else []
    amounts = [item for part in parts if isinstance(part, Mapping) for item in part.items()]
    return any(
        amount(count) > 0 for name, count in amounts if name == gpu_resource or str(name).startswith("nvidia.com/")
    )


def _without_gpus(env: object) -> object:
    if env is None:
        return [{"name": _GPUS, "value": "void"}]
    if not isinstance(env, list) or any(isinstance(item, Mapping) and item.get("name") == _GPUS for item in env):
        return env
    return [*env, {"name": _GPUS, "value": "void"}]
