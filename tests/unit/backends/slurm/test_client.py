from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.backends.slurm import client
from orchestune.backends.slurm.client import Slurm
from orchestune.errors import TemporaryError, UsageError


def commands(folder: Path, script: str, **variables: str) -> Slurm:
    """Slurm, whose every command is this script."""
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return Slurm({"PATH": f"{folder}:{os.environ['PATH']}", **variables})


def test_the_variables_of_a_site_reach_sbatch_and_those_that_change_what_an_order_is_do_not(tmp_path: Path) -> None:
    slurm = commands(
        tmp_path, "env > $(dirname $0)/seen; cat > $(dirname $0)/script; echo '42;cluster'",
        SLURM_CONF="/etc/x", SBATCH_ACCOUNT="lab", SBATCH_WAIT="1", SBATCH_ARRAY_INX="1-9", SLURM_JOB_ID="7", TOKEN="t",
    )  # fmt: skip
    assert slurm.submit("#!/bin/sh\n", ["--mem=1M"], {"PATH": os.environ["PATH"], "MINE": "1"}) == "42"
    environment = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert (environment["SLURM_CONF"], environment["SBATCH_ACCOUNT"], environment["MINE"]) == ("/etc/x", "lab", "1")
    assert not {"SBATCH_WAIT", "SBATCH_ARRAY_INX", "SLURM_JOB_ID", "TOKEN"} & environment.keys()
    assert (tmp_path / "script").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("sbatch: error: Unable to contact slurm controller (connect failure)", TemporaryError),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", TemporaryError),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", TemporaryError),
        ("sbatch: error: Job violates accounting/QOS policy (job submit limit)", TemporaryError),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination", UsageError),
    ],
)  # fmt: skip
def test_what_may_go_well_later_is_tried_again(tmp_path: Path, message: str, kind: type[Exception]) -> None:
    slurm = commands(tmp_path, f"echo '{message}' >&2; exit 1")
    with pytest.raises(kind, match="Slurm"):
        slurm.submit("", [], {})


def test_a_controller_that_was_away_has_its_rest(tmp_path: Path) -> None:
    calls = tmp_path / "asked"
    slurm = commands(
        tmp_path, f"echo x >> {calls}; echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1"
    )
    for _ in range(3):
        with pytest.raises(TemporaryError, match="Unable to contact"):
            slurm.jobs()
    assert calls.read_text() == "x\n"
    slurm = commands(tmp_path, "echo '5|RUNNING|n1|None|2|300M|gres:gpu:1|a|b'")
    [job] = slurm.jobs().values()
    assert (job.id, job.node, job.cpus, job.memory, job.gpus, job.name) == ("5", "n1", 2, 300 * 2**20, 1, "a|b")


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(TemporaryError, match="has not answered"):
        commands(tmp_path, "exec sleep 60").jobs()


def test_what_is_gone_already_is_ended(tmp_path: Path) -> None:
    slurm = commands(
        tmp_path, "echo 'scancel: error: Kill job error on job id 3: Invalid job id specified' >&2; exit 1"
    )
    slurm.cancel("3")
    slurm.signal("3", "TERM", full=False)
    assert slurm.exit_code("3") is None


def test_a_machine_without_slurm_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sbatch is not on the PATH"):
        Slurm({"PATH": str(tmp_path)}).dry_run("", [])
