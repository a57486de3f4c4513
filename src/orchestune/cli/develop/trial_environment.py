"""What a worker gives to the command of a trial, without a worker: files, variables, the command line."""

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
    """Which trial the command is told to be."""

    experiment: str
    handle: str
    trial: int
    seed: int
    parameters: Mapping[str, Value]
    fold: int = 0


@dataclass(frozen=True)
class TrialInputs:
    """What it gets of the machine."""

    base: Mapping[str, str]
    """the variables below its own"""
    secrets: Mapping[str, str]
    root: str | None
    """the project's folder, if it is on this machine"""
    report: str
    """where it may report to"""
    gpus: tuple[str, ...] = ()
    """cards that it has for itself"""


def call_by_hand(
    specification: Specification, call: TrialContext, given: TrialInputs, scratch: Path
) -> tuple[dict[str, str], list[str]]:
    """The variables and the command line; the files that they name are made in `scratch`."""
    (scratch / "parameters.json").write_bytes(parameters_document(call.parameters))
    each = specification.resources
    job = {
        "env": specification.env,
        "secrets": given.secrets,
        "root": given.root,
        "cpu": each.cpu,
        "gpu": each.gpu,
    }
    lease = {
        "attempt": call.experiment,
        "trial": call.trial,
        "fold": call.fold,
        "folds": specification.folds.count,
        "parameters": call.parameters,
        "seed": call.seed,
        "report": given.report,
        "gpus": given.gpus,
    }
    files = ("parameters.json", "metrics.jsonl", "stop.json", "artifacts.jsonl")
    own = of_attempt(lease, *(str(scratch / name) for name in files))
    common = of_job(given.base, job, call.experiment, call.handle)
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in common.items()} | own
    if specification.config:
        template = specification.config.to_json()
        path = config_copy.write(str(scratch / "config"), template["name"], template["parts"], call.parameters)
        found["ORCHESTUNE_CONFIG"] = path
    if specification.checkpoint_every is not None:
        (scratch / "checkpoint").mkdir()
        found["ORCHESTUNE_CHECKPOINT_DIR"] = str(scratch / "checkpoint")
    names = [parameter.name for parameter in specification.space.parameters]
    return found, render(specification.run, call.parameters, names, found.get("ORCHESTUNE_CONFIG", ""))
