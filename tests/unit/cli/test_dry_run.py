"""A dry run shows what the backend of its place would start, and creates nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.backends.docker.plan import DockerHost
from orchestune.domain.resources.gpus import Gpu
from tests.unit.cli.conftest import Result

Cli = Callable[..., Result]
EXPERIMENT = """\
name: Small model
image: lab/model:1
run: python model.py {args}
parameters: {alpha: 0.0..1.0}
metrics: {accuracy: maximize}
budget: 4
resources: {cpu: 2, memory: 1Gi}
"""
SBATCH = """\
#!/bin/sh
echo "$@" >> "$SBATCH_CALLS"
test -z "$SBATCH_FAILURE" || { echo "sbatch: error: $SBATCH_FAILURE" >&2; exit 1; }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, which is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "experiment.yml").write_text(EXPERIMENT)
    (folder / "model.py").write_text("print('accuracy=0.5')\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTUNE_SHARED", str(tmp_path / "shared"))
    return folder


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the calls of an `sbatch` that accepts every job unless SBATCH_FAILURE is set."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "calls"


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon of this machine, which has two GPUs."""
    host = DockerHost("lab", 8.0, 2**33, "")
    engine = "orchestune.backends.docker.client.DockerEngine"
    monkeypatch.setattr(f"{engine}.about", lambda self: host)
    monkeypatch.setattr(f"{engine}.image", lambda self, name: None)
    gpus = (Gpu("GPU-a", "T4", 2**34), Gpu("GPU-b", "A100", 2**36))
    monkeypatch.setattr("orchestune.backends.docker.gpus.ask", lambda: gpus)


def test_the_options_of_a_job_of_slurm_are_shown_and_none_is_submitted(
    project: Path, calls: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_CALLS", str(calls))
    [job] = json.loads(cli("run", "--cluster", "slurm", "--dry-run", "--json").out)["objects"]
    output = cli("run", "--cluster", "slurm", "--dry-run").out
    options = job["sbatch"]
    assert "--job-name=orchestune-small-model-0000-000000000000" in options
    assert "--cpus-per-task=2" in options and "--mem=1024M" in options
    assert any(option.startswith(f"--chdir={tmp_path / 'shared'}/") for option in options)
    assert "each worker would be a Slurm job with these options:" in output and "--cpus-per-task=2" in output
    assert all(call.startswith("--test-only") for call in calls.read_text().splitlines())
    assert not (tmp_path / "home").exists() and not (tmp_path / "shared").exists()


def test_a_slurm_that_does_not_answer_is_noted(
    project: Path, calls: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_CALLS", str(calls))
    monkeypatch.setenv("SBATCH_FAILURE", "Unable to contact slurm controller (connect failure)")
    result = cli("run", "--cluster", "slurm", "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert "not checked whether Slurm accepts the jobs: Slurm: Unable to contact" in result.out.replace(
        "\n" + " " * 13, " "
    )


def test_a_container_gets_the_gpus_that_the_server_would_choose(project: Path, docker: None, cli: Cli) -> None:
    words = ("run", "--cluster", "docker", "--dry-run", "--json", "--set")
    [container] = json.loads(cli(*words, "resources.gpu=1").out)["objects"]
    assert container["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-a"]
    refused = cli(*words, "resources.gpu=3")
    assert refused.code == 2 and "this can never run: a trial needs 3 gpu" in refused.err


def test_a_volume_outside_of_the_project_is_refused_as_by_the_server(
    project: Path, docker: None, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", "--cluster", "docker", "--dry-run", "--json", "--set", "volumes=[{path: /srv, mount: /data}]")
    refused = cli(*words)
    assert refused.code == 2 and "cannot mount '/srv'" in refused.err
    monkeypatch.setenv("ORCHESTUNE_DOCKER_ALLOW", "/srv")
    [container] = json.loads(cli(*words).out)["objects"]
    assert [mount["Target"] for mount in container["HostConfig"]["Mounts"]][-1] == "/data"


def test_a_process_of_this_machine_is_not_shown(project: Path, cli: Cli, tmp_path: Path) -> None:
    assert "objects" not in json.loads(cli("run", "--dry-run", "--json").out)
    assert not (tmp_path / "home").exists()
