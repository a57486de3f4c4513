"""Server-side dry run of a Job with the file's `pod:`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from orchestune.backends.kubernetes.client import ApiServer
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import OrchestuneError, UsageError
from orchestune.ports.backend import WorkerOrder

_UNKNOWN = re.compile(r'unknown field "(?P<path>[^"]+)"')
_STEP = re.compile(r"[^.\[\]]+")
_NO_REHEARSAL = re.compile(r'[^"]*admission webhook "[^"]+" does not support dry run')
"""complete message for an admission webhook without dry-run support: only the real Job can be validated"""
_HINT = "correct `pod:`; `kubectl explain job.spec.template` says what a pod has"


def rehearse(api: ApiServer, config: KubernetesConfig, each: Resources, placement: Placement) -> None:
    """Raise UsageError with the API server's message if it rejects the Job. If the dry run itself fails, the Job counts
    as valid.
    """
    order = WorkerOrder("rehearsal-00", "", "", 1, each=each, placement=placement)
    job = plan.job(config, order, plan.ClusterRequirements(), ["worker"])
    said = _refusal(api, config, job, "Strict")
    if strange := [path for path in _UNKNOWN.findall(said) if not _is_ours(config, order, path)]:
        shown = ", ".join(path.removeprefix("spec.template.") for path in strange)
        raise UsageError(f"`pod:` names what a pod of this cluster does not have: {shown}", _HINT)
    if _UNKNOWN.search(said):  # fields of ours that an older cluster does not know and drops
        said = _refusal(api, config, job, "Ignore")
    if said and not _NO_REHEARSAL.fullmatch(said):
        raise UsageError(said, _HINT)


def _refusal(api: ApiServer, config: KubernetesConfig, job: plan.Manifest, validation: str) -> str:
    query = {"dryRun": "All", "fieldValidation": validation}
    try:
        api.call("POST", f"/apis/batch/v1/namespaces/{config.namespace}/jobs", job, query=query)
    except UsageError as exc:
        return exc.message
    except OrchestuneError:
        pass
    return ""


def _is_ours(config: KubernetesConfig, order: WorkerOrder, path: str) -> bool:
    """Return True if the Job has this field without the file's `pod:`."""
    bare = replace(order, placement=replace(order.placement, pod={}))
    found: Any = plan.job(config, bare, plan.ClusterRequirements(), ["worker"])
    for step in _STEP.findall(path):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return False
    return True
