"""The request to Slurm for one worker, as pure functions: its job, and the file that the worker reads in it."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.images.runtime.private_python import command
from orchestune.ports.backend import WorkerOrder

NOTICE = 60
"""minimum seconds between the worker's SIGTERM and the job's time limit: time to publish checkpoints"""
FAREWELL = 30
"""seconds beyond the trial's grace until the worker is killed"""
_MEBI = 2**20
_OURS = "orchestune"


def name(order: WorkerOrder) -> str:
    """Return the job's name: the experiment's handle and the random part of the worker's id."""
    handle = re.sub(r"[^a-zA-Z0-9_.-]", "-", order.handle)
    return "-".join(part for part in (_OURS, handle, _random(order.worker)) if part)


def is_ours(job: str) -> bool:
    """Return True if a job of this name is one of our workers."""
    return job.startswith(f"{_OURS}-")


def is_named_for(job: str, worker: str) -> bool:
    """Return True if a job of this name belongs to the worker."""
    return is_ours(job) and job.endswith(f"-{_random(worker)}")


def _random(worker: str) -> str:
    return worker.replace("-", "")[-12:]


def resource_options(each: Resources, placement: Placement, grace: float) -> list[str]:
    """Return the `sbatch` options that request a trial's resources; the file's own come last and take precedence."""
    options = ["--nodes=1", "--ntasks=1", "--no-requeue", "--export=ALL", "--input=/dev/null", "--open-mode=append"]
    options.append(f"--signal=B:TERM@{max(math.ceil(grace) + FAREWELL, NOTICE)}")
    if each.cpu:
        options.append(f"--cpus-per-task={math.ceil(each.cpu)}")
    if each.memory:
        options.append(f"--mem={math.ceil(each.memory / _MEBI)}M")
    if each.gpu:
        kind = f"{each.gpu_type}:" if each.gpu_type else ""
        options.append(f"--gres=gpu:{kind}{each.gpu:g}")
    if placement.pool:
        options.append(f"--partition={placement.pool}")
    return [*options, *file_options(placement.slurm)]


def file_options(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the file's options for `sbatch`: true as a flag without a value; false is omitted."""
    for key, value in options.items():
        if value is True:
            yield f"--{key}"
        elif value is not False:
            yield f"--{key}={value}"


def job(order: WorkerOrder, log: Path, folder: Path, excluded: Collection[str]) -> list[str]:
    """Return all options of the worker's job; `log` is its output, `folder` its working directory."""
    options = [f"--job-name={name(order)}", f"--output={_literal(log)}", f"--chdir={folder}"]
    if excluded:
        options.append(f"--exclude={','.join(sorted(excluded))}")
    return [*options, *resource_options(order.each, order.placement, order.grace)]


def script(runtime: Path, file: Path, program: Sequence[str] = ()) -> str:
    """Return the job's script: it replaces the shell with the worker, run by the private Python in `runtime`."""
    start = shlex.join(program or command(str(runtime)))
    missing = shlex.quote(f"this node does not see {file}: it has to be in a folder that the nodes share")
    return (
        f"#!/bin/sh\ntest -r {shlex.quote(str(file))} || {{ echo {missing}; exit {UNSHARED}; }}\n"
        f"export ORCHESTUNE_NODE=$SLURMD_NODENAME\nexec {start}\n"
    )


UNSHARED = 66
"""exit code of a job whose node cannot read the worker's file"""


def document(order: WorkerOrder, url: str, address: Path | None, state: Path, umask: int | None = None) -> str:
    """Return the worker's file: server address, credentials and settings.

    Slurm itself assigns the GPUs. `umask` is that of commands: `sbatch` would pass on the server's.
    """
    return json.dumps(
        {
            "url": url,
            "endpoint": str(address) if address else None,
            "token": order.token,
            "worker": order.worker,
            "slots": order.slots,
            "state": str(state),
            "gpus": [],
            "tags": {},
            **({} if umask is None else {"umask": f"{umask:04o}"}),
        }
    )


def _literal(path: Path) -> str:
    """Escape an output path: `%` starts a pattern there."""
    return str(path).replace("%", "%%")
