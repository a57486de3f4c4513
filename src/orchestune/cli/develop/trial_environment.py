"""Files, environment and command line of a trial, as a worker creates them, for commands without a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.experiment import Specification
from orchestune.worker.command import render
from orchestune.worker.environment import of_attempt, of_job, parameters_document
from orchestune.worker.files import config_copy


@dataclass(frozen=True)
class TrialContext:
    """Identity of the trial, as passed to the command."""

    experiment: str
    handle: str
    trial: int
    seed: int
    parameters: Mapping[str, Value]
    fold: int = 0


@dataclass(frozen=True)
class TrialInputs:
    """Inputs of the trial from this machine."""

    base: Mapping[str, str]
    """environment below the trial's own variables"""
    secrets: Mapping[str, str]
    root: str | None
    """folder of the project, if on this machine"""
    report: str
    """URL for reports"""
    gpus: tuple[str, ...] = ()
    """GPUs assigned to the trial"""


def environment_and_command(
    specification: Specification, context: TrialContext, inputs: TrialInputs, scratch: Path
) -> tuple[dict[str, str], list[str]]:
    """Return the environment and command line; the files that they refer to are created in `scratch`."""
    (scratch / "parameters.json").write_bytes(parameters_document(context.parameters))
    resources = specification.resources
    job = {
        "env": specification.env,
        "secrets": inputs.secrets,
        "root": inputs.root,
        "cpu": resources.cpu,
        "gpu": resources.gpu,
    }
    lease = {
        "attempt": context.experiment,
        "trial": context.trial,
        "fold": context.fold,
        "folds": specification.folds.count,
        "parameters": context.parameters,
        "seed": context.seed,
        "report": inputs.report,
        "gpus": inputs.gpus,
    }
    files = ("parameters.json", "metrics.jsonl", "stop.json", "artifacts.jsonl")
    attempt_variables = of_attempt(lease, *(str(scratch / name) for name in files))
    job_variables = of_job(inputs.base, job, context.experiment, context.handle)
    variables = {os.fsdecode(name): os.fsdecode(value) for name, value in job_variables.items()} | attempt_variables
    if specification.config:
        template = specification.config.to_json()
        path = config_copy.write(str(scratch / "config"), template["name"], template["parts"], context.parameters)
        variables["ORCHESTUNE_CONFIG"] = path
    if specification.checkpoint_every is not None:
        (scratch / "checkpoint").mkdir()
        variables["ORCHESTUNE_CHECKPOINT_DIR"] = str(scratch / "checkpoint")
    names = [parameter.name for parameter in specification.space.parameters]
    return variables, render(specification.run, context.parameters, names, variables.get("ORCHESTUNE_CONFIG", ""))
