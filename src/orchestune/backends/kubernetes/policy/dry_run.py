"""Server-side dry run of a Job with the file's `pod:`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import OrchestuneError, UsageError
from orchestune.kubeapi.client import ApiServer
from orchestune.ports.backend import WorkerOrder

_UNKNOWN_FIELD = re.compile(r'unknown field "(?P<path>[^"]+)"')
_PATH_STEP = re.compile(r"[^.\[\]]+")
_NO_DRY_RUN = re.compile(r'[^"]*admission webhook "[^"]+" does not support dry run')
"""complete message for an admission webhook without dry-run support: only the real Job can be validated"""
_HINT = "correct `pod:`; `kubectl explain job.spec.template` says what a pod has"


def dry_run_job(api: ApiServer, config: KubernetesConfig, each: Resources, placement: Placement) -> None:
    """Raise UsageError with the API server's message if it rejects the Job.

    If the dry run itself fails, the Job counts as valid.
    """
    order = WorkerOrder("rehearsal-00", "", "", 1, each=each, placement=placement)
    job = plan.job(config, order, plan.ClusterRequirements(), ["worker"])
    message = _refusal(api, config, job, "Strict")
    if unknown_paths := [path for path in _UNKNOWN_FIELD.findall(message) if not _is_ours(config, order, path)]:
        paths = ", ".join(path.removeprefix("spec.template.") for path in unknown_paths)
        raise UsageError(f"`pod:` names what a pod of this cluster does not have: {paths}", _HINT)
    if _UNKNOWN_FIELD.search(message):  # fields of ours that an older cluster does not know and drops
        message = _refusal(api, config, job, "Ignore")
    if message and not _NO_DRY_RUN.fullmatch(message):
        raise UsageError(message, _HINT)


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
    node: Any = plan.job(config, bare, plan.ClusterRequirements(), ["worker"])
    for step in _PATH_STEP.findall(path):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return False
    return True
