"""Safe defaults for the containers that an experiment adds to its pod."""

from __future__ import annotations

from collections.abc import Mapping

_DROPPED = ["MKNOD", "NET_RAW"]  # of the default capabilities: common programs do without, attacks do not
_GPUS = "NVIDIA_VISIBLE_DEVICES"


def hardened(containers: object, own: frozenset[str], *, restricted: bool) -> object:
    """Return the containers with defaults in place of what an experiment left open; `own` names Orchestune's.

    No privilege escalation, no raw sockets, and none of the node's GPUs if no device is requested: images for GPUs
    set the variable by which NVIDIA's runtime hands all of them out.

    `restricted`: the namespace allows no capability at all.
    """
    if not isinstance(containers, list):
        return containers
    return [_container(each, own, restricted) if isinstance(each, Mapping) else each for each in containers]


def gains_privileges(security: Mapping[str, object]) -> bool:
    """Return True for a security context with which the API takes no `allowPrivilegeEscalation: false`."""
    capabilities = security.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, Mapping) else None
    names = {str(name).upper().removeprefix("CAP_") for name in added} if isinstance(added, list) else set()
    return security.get("privileged") is True or "SYS_ADMIN" in names


def _container(container: Mapping[str, object], own: frozenset[str], restricted: bool) -> dict[str, object]:
    made, ours = dict(container), container.get("name") in own
    security = made.get("securityContext")
    if security is None or isinstance(security, Mapping):
        made["securityContext"] = _security(security or {}, ["ALL"] if restricted or ours else _DROPPED)
    if not ours and not _takes_devices(made):
        made["env"] = _without_gpus(made.get("env"))
    return made


def _security(given: Mapping[str, object], dropped: list[str]) -> dict[str, object]:
    made = {key: value for key, value in given.items() if value is not None}
    if not gains_privileges(made):
        made.setdefault("allowPrivilegeEscalation", False)
    elif made.get("allowPrivilegeEscalation") is False:
        del made["allowPrivilegeEscalation"]
    capabilities = made.get("capabilities")
    if capabilities is None:
        made["capabilities"] = {"drop": list(dropped)}
    elif isinstance(capabilities, Mapping) and capabilities.get("drop") is None:
        made["capabilities"] = {**capabilities, "drop": list(dropped)}
    return made


def _takes_devices(container: Mapping[str, object]) -> bool:
    """Return True if it requests extended resources: then the device plugin sets the variable."""
    resources = container.get("resources")
    parts = [resources.get("requests"), resources.get("limits")] if isinstance(resources, Mapping) else []
    return any("/" in str(name) for part in parts if isinstance(part, Mapping) for name in part)


def _without_gpus(env: object) -> object:
    if env is None:
        return [{"name": _GPUS, "value": "void"}]
    if not isinstance(env, list) or any(isinstance(item, Mapping) and item.get("name") == _GPUS for item in env):
        return env
    return [*env, {"name": _GPUS, "value": "void"}]
