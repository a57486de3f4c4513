"""Environment variables of the user's command."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from orchestune.worker.command import plain, variable
from orchestune.worker.processes.tree import ATTEMPT_VARIABLE

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT", "PYTHON_CPU_COUNT",
)  # fmt: skip
_JAX_MEMORY_FRACTION = 0.9
"""fraction of the GPU share's memory that JAX preallocates; the process needs some in addition"""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the worker's environment without the variables for the worker itself."""
    return {name: value for name, value in environ.items() if not name.startswith("ORCHESTUNE_WORKER_")}


def with_home(base: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the environment with a writable HOME: containers with a numeric user often have none."""
    home = base.get("HOME")
    if home and os.access(home, os.W_OK):
        return dict(base)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return {**base, "HOME": folder}


def cores_per_slot(slots: int) -> int:
    """Return each slot's share of the cores that this process may use; 0, no limit, for a single slot."""
    if slots < 2:
        return 0
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, cores // slots)


def of_job(
    base: Mapping[str, str], job: Mapping[str, Any], experiment: str, handle: str, cores: int = 0
) -> dict[bytes, bytes]:
    """Return the variables shared by all attempts of a revision: base, inherited, `env:`, secrets, experiment.

    They are encoded here so that this is not repeated for each attempt. `cores`: for the thread pools of a job that
    requests none.
    """
    variables = dict(base)
    variables.update({str(name): str(value) for name, value in (job.get("inherited") or {}).items()})
    variables["PYTHONUNBUFFERED"] = "1"
    variables.update({str(name): str(value) for name, value in (job.get("env") or {}).items()})
    variables.update({str(name): str(value) for name, value in (job.get("secrets") or {}).items()})
    for name, value in {**_threads(job.get("cpu") or cores, variables), **_share(job)}.items():
        variables.setdefault(name, value)
    variables["ORCHESTUNE_EXPERIMENT"], variables["ORCHESTUNE_HANDLE"] = experiment, handle
    if job.get("root"):
        root, folder = str(job["root"]), str(job.get("folder") or "")
        variables["ORCHESTUNE_ORIGINAL_DIR"] = os.path.join(root, folder) if folder else root
    return encoded(variables)


def _threads(cores: float, environ: Mapping[str, str]) -> dict[str, str]:
    """Limit thread pools to these cores; 0 or an OMP_NUM_THREADS set by the user disables all of the limits.

    Two trials that each use all cores take far longer than one after the other: their threads wait for each other.
    """
    if not cores or "OMP_NUM_THREADS" in environ:
        return {}
    return dict.fromkeys(_THREADS, str(max(int(cores), 1)))


def _share(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the share of a trial that shares a GPU, and settings that stop frameworks from allocating all memory."""
    share = float(job.get("gpu") or 0)
    if not 0 < share < 1:
        return {}
    return {
        "ORCHESTUNE_GPU_SHARE": f"{share:g}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{share * _JAX_MEMORY_FRACTION:.3f}",
    }


def encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    """Encode names and values as the operating system expects them."""
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}


def of_attempt(lease: Mapping[str, Any], parameters: str, metrics: str, stop: str, artifacts: str) -> dict[str, str]:
    """Return the variables of one attempt; `parameters`, `metrics`, `stop` and `artifacts` are paths of its files."""
    variables = {}
    for name, value in lease["parameters"].items():
        if value is not None:
            variables[variable(name)] = plain(value)
    variables["ORCHESTUNE_PARAMS"], variables["ORCHESTUNE_METRICS"] = parameters, metrics
    variables["ORCHESTUNE_STOP"], variables["ORCHESTUNE_ARTIFACTS"] = stop, artifacts
    variables["ORCHESTUNE_REPORT_URL"] = str(lease.get("report") or "")
    variables["ORCHESTUNE_TRIAL"], variables["ORCHESTUNE_ATTEMPT"] = str(lease["trial"]), str(lease.get("number") or 1)
    variables["ORCHESTUNE_FOLD"], variables["ORCHESTUNE_FOLDS"] = (
        str(lease.get("fold") or 0),
        str(lease.get("folds") or 1),
    )
    variables["ORCHESTUNE_SEED"] = str(lease.get("seed") or 0)
    variables[ATTEMPT_VARIABLE] = str(lease["attempt"])
    if lease.get("gpus"):
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, lease["gpus"]))
    return variables


def parameters_document(parameters: Mapping[str, Any]) -> bytes:
    """Return the content of `$ORCHESTUNE_PARAMS`, one parameter per line."""
    return json.dumps(parameters, separators=(",\n ", ": ")).encode("utf-8")  # `indent` is ten times slower
