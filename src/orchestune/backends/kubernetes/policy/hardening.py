"""Safe defaults for the containers that an experiment adds to its pod."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestune.backends.kubernetes.objects.quantities import amount

_DROPPED_CAPABILITIES = ["MKNOD", "NET_RAW"]  # default capabilities that common programs do not need but attacks do
DEVICES = {
    "AMD_VISIBLE_DEVICES": "amd.com",
    "ASCEND_VISIBLE_DEVICES": "huawei.com",
    "HABANA_VISIBLE_DEVICES": "habana.ai",
    "MTHREADS_VISIBLE_DEVICES": "mthreads.com",
    "NVIDIA_VISIBLE_DEVICES": "nvidia.com",
}
"""variables by which vendors' container runtimes select devices, and each vendor's resource domain"""
_GPU_NAMES = {
    "amd.com": ("gpu", "cpx_", "dpx_", "qpx_", "spx_"),
    "habana.ai": ("gaudi",),
    "huawei.com": ("ascend", "npu"),
    "mthreads.com": ("gpu", "sgpu", "vgpu"),
    "nvidia.com": ("gpu", "mig-"),
}
"""prefixes, in lower case, of the resources for which each vendor's device plugin sets the variable; a network device
of the same vendor (`nvidia.com/hostdev`) gives no right to its GPUs"""
_EMPTY_VALUES = {"NVIDIA_VISIBLE_DEVICES": "void"}  # if it is empty, old CUDA images get all GPUs


def hardened(containers: object, own: frozenset[str], gpu_resource: str, *, restricted: bool) -> object:
    """Return the containers with safe defaults for what an experiment left open; `own` names Orchestune's.

    No privilege escalation, no raw sockets, and no devices of the node unless requested: images set the variables by
    which vendors' runtimes expose all of them. If a container fails, its status has the end of its log.

    `restricted`: the namespace allows no capability at all.
    """
    if not isinstance(containers, list):
        return containers
    return [
        _container(each, own, gpu_resource, restricted) if isinstance(each, Mapping) else each for each in containers
    ]


def gains_privileges(security: Mapping[str, object]) -> bool:
    """Return True if the API rejects `allowPrivilegeEscalation: false` with this security context."""
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
        copy["securityContext"] = _security(security or {}, ["ALL"] if restricted or ours else _DROPPED_CAPABILITIES)
    copy.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")  # why an init container failed
    copy["env"] = _without_devices(copy.get("env"), _requested(copy, gpu_resource))
    return copy


def _security(declared: Mapping[str, object], dropped: list[str]) -> dict[str, object]:
    security = {key: value for key, value in declared.items() if value is not None}
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


def _requested(container: Mapping[str, object], gpu_resource: str) -> Collection[str]:
    """Return the variables of the vendors whose GPUs are requested: the device plugin sets them."""
    resources = container.get("resources")
    parts = [resources.get("requests"), resources.get("limits")] if isinstance(resources, Mapping) else []
    amounts = [item for part in parts if isinstance(part, Mapping) for item in part.items()]
    names = {str(name) for name, count in amounts if amount(count) > 0}
    if gpu_resource in names and gpu_resource.partition("/")[0] not in DEVICES.values():
        return DEVICES  # the cluster's own name for devices of any vendor
    domains = {name.partition("/")[0] for name in names if name == gpu_resource or _is_gpu(name)}
    return {variable for variable, domain in DEVICES.items() if domain in domains}


def _is_gpu(resource: str) -> bool:
    domain, _, name = resource.partition("/")
    return name.lower().startswith(_GPU_NAMES.get(domain, ()))


def _without_devices(env: object, requested: Collection[str]) -> object:
    if env is not None and not isinstance(env, list):
        return env
    variables: list[object] = env or []
    names = [item.get("name") for item in variables if isinstance(item, Mapping)] + list(requested)
    return [
        *variables,
        *({"name": name, "value": _EMPTY_VALUES.get(name, "")} for name in DEVICES if name not in names),
    ]
