from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.slurm import plan, preflight
from orchestune.backends.slurm.client import Slurm
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError
from tests.contract.backend_contract import new_order


@pytest.mark.parametrize(
    ("each", "placement", "expected_options"),
    [
        (Resources(), Placement(), []),
        (Resources(cpu=1.5), Placement(), ["--cpus-per-task=2"]),
        (Resources(memory=2**20 + 1), Placement(), ["--mem=2M"]),
        (Resources(gpu=2), Placement(), ["--gres=gpu:2"]),
        (Resources(gpu=1, gpu_type="a100"), Placement(pool="gpu"), ["--gres=gpu:a100:1", "--partition=gpu"]),
        (
            Resources(cpu=1),
            Placement(pool="gpu", slurm={"partition": "long", "time": "4:00", "exclusive": True, "contiguous": False}),
            ["--cpus-per-task=1", "--partition=gpu", "--partition=long", "--time=4:00", "--exclusive"],
        ),
    ],
)  # fmt: skip
def test_what_a_trial_needs_is_said_in_slurms_words_and_the_files_own_come_last(
    each: Resources, placement: Placement, expected_options: list[str]
) -> None:
    always = plan.resource_options(Resources(), Placement(), 10.0)
    assert [
        option for option in plan.resource_options(each, placement, 10.0) if option not in always
    ] == expected_options


@pytest.mark.parametrize(("grace", "seconds"), [(0.5, 60), (10.0, 60), (31.2, 62), (600.0, 630)])
def test_a_worker_is_told_early_enough_for_its_trials_grace(grace: float, seconds: int) -> None:
    assert f"--signal=B:TERM@{seconds}" in plan.resource_options(Resources(), Placement(), grace)


def test_a_job_has_the_name_of_its_experiment_and_of_its_worker() -> None:
    order = replace(new_order(), handle="a b/c-7f3a")
    name = plan.name(order)
    assert name.startswith("orchestune-a-b-c-7f3a-") and plan.is_named_for(name, order.worker)
    assert not plan.is_named_for(name, new_order().worker)
    assert not plan.is_named_for(name.removeprefix("orchestune-"), order.worker)


def test_a_path_with_percent_signs_is_no_pattern() -> None:
    options = plan.job(new_order(), Path("/a%j/log"), Path("/a%j"), ["n2", "n1"])
    assert "--output=/a%%j/log" in options and "--chdir=/a%j" in options and "--exclude=n1,n2" in options


def test_the_script_says_where_the_folder_is_missing_and_else_becomes_the_worker(tmp_path: Path) -> None:
    file = tmp_path / "it's" / "worker.json"

    def run() -> subprocess.CompletedProcess[str]:
        script = plan.script(tmp_path, file, ["sh", "-c", 'echo "$0 on $ORCHESTUNE_NODE"', "worker"])
        environ = {"SLURMD_NODENAME": "n1", "PATH": "/usr/bin:/bin"}
        return subprocess.run(["sh"], input=script, env=environ, capture_output=True, text=True, check=False)

    missing = run()
    assert (missing.returncode, str(file) in missing.stdout) == (plan.UNSHARED, True)
    file.parent.mkdir()
    file.touch()
    assert run().stdout == "worker on n1\n"


class Silent(Slurm):
    """Takes every job."""

    def dry_run(self, script: str, options: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("each", "placement", "message"),
    [
        (Resources(gpu=0.5), Placement(), "whole GPUs"),
        (Resources(gpu=1, gpu_memory=2**30), Placement(), "by type"),
        (Resources(pin=True), Placement(), "gives each job its cores"),
        (Resources(), Placement(volumes=(Volume("/data", path="/d"),)), "volumes are for containers"),
    ],
)
def test_what_slurm_cannot_be_asked_for_is_refused(each: Resources, placement: Placement, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight.check(Silent(), each, placement)


def test_a_job_without_wishes_is_fine() -> None:
    preflight.check(Silent(), Resources(cpu=1, memory=2**30, gpu=1), Placement())
