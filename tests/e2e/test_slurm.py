"""Experiments as jobs of a real Slurm: exact budgets whatever Slurm does to its jobs, nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home
from tests.testbeds.slurm import Slurm

pytestmark = pytest.mark.slurm
HELD = "touch $HOLD/$ORCHESTUNE_TRIAL; while [ ! -e $HOLD/go ]; do sleep 0.05; done; echo loss={x}"
ADDRESS = "127.0.0.5"  # every address of that network is this machine's own


class Scene:
    """A home whose experiments run in one Slurm, which reaches the server at another address than this machine does."""

    def __init__(self, home: Home, slurm: Slurm) -> None:
        self.home, self.slurm = home, slurm

    def jobs(self, handle: str, states: str = "pending,running,completing,suspended,configuring") -> list[str]:
        """The numbers of those of the experiment."""
        return [number for number, (_, name) in self.slurm.jobs(states).items() if handle in name]

    def running(self, handle: str, count: int) -> list[str]:
        """The numbers of the experiment's jobs, once so many run."""

        def look() -> list[str] | None:
            jobs = self.jobs(handle, "running")
            return jobs if len(jobs) == count else None

        jobs = eventually(look, f"{count} jobs of {handle} run", self.home)
        assert jobs is not None
        return jobs

    def nothing_left(self, handle: str) -> None:
        """Wait until Slurm has nothing of the experiment."""
        eventually(lambda: not self.jobs(handle), f"no job of {handle} is left", self.home)


@pytest.fixture(scope="module")
def scene(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    shared = tmp_path_factory.mktemp("shared")
    settings = {"ORCHESTUNE_SHARED": str(shared), "ORCHESTUNE_SLURM_ADDRESS": ADDRESS, "ORCHESTUNE_CLUSTER": "slurm"}
    with Home(**slurm.environment(), **settings) as home:
        yield Scene(home, slurm)
        slurm.clear()  # the worker of a test stays warm for two minutes


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    folder = tmp_path / "hold"
    folder.mkdir()
    return folder


def begun(hold: Path, count: int) -> bool:
    return len([path for path in hold.iterdir() if path.name.isdecimal()]) >= count


def test_trials_run_where_slurm_puts_them_and_with_what_the_file_asks_for(scene: Scene, tmp_path: Path) -> None:
    run = "echo card $CUDA_VISIBLE_DEVICES of $SLURMD_NODENAME, $SLURM_CPUS_PER_TASK cores; sleep 1; echo loss={x}"
    asks = {"resources": {"gpu": {"count": 1, "type": "a100"}, "cpu": 2}, "slurm": {"partition": "gpu", "time": 5}}
    handle = launch(scene.home, write(tmp_path / "cards", run, budget=4, parallelism=2, **asks))
    assert reached(scene.home, handle, "completed")["counts"]["completed"] == 4
    nodes = {machine["name"]: machine for machine in scene.home.json("cluster", "status", "-n", "slurm")["machines"]}
    assert set(nodes) == {*scene.slurm.cpus, scene.slurm.gpu}
    assert (nodes[scene.slurm.gpu]["has"]["gpu"], nodes[scene.slurm.gpu]["pool"]) == (4, "gpu")
    output = scene.home.run("logs", handle).stdout
    assert set(re.findall(r"card (\S+) of (\S+), 2 cores", output)) == {("0", scene.slurm.gpu), ("1", scene.slurm.gpu)}
    assert {attempt["node"] for attempt in attempts(scene.home, handle)} == {scene.slurm.gpu}
    scene.nothing_left(handle)


def test_what_slurm_refuses_is_told_before_anything_begins(scene: Scene, tmp_path: Path) -> None:
    project = write(tmp_path / "gone", "echo loss={x}", slurm={"partition": "gone"})
    for words in (("run",), ("run", "--dry-run")):
        assert "invalid partition" in scene.home.run(*words, cwd=project, expect=2).stderr
    large = write(tmp_path / "large", "echo loss={x}", resources={"cpu": 5})
    assert "not available" in scene.home.run("run", cwd=large, expect=2).stderr
    assert not scene.home.json("status") or not scene.jobs("gone")


def test_jobs_that_slurm_takes_away_cost_nothing(scene: Scene, tmp_path: Path, hold: Path) -> None:
    project = write(tmp_path / "taken", HELD, budget=4, env={"HOLD": str(hold)})
    handle = launch(scene.home, project)
    eventually(lambda: begun(hold, 2), "two trials run", scene.home)
    cancelled, killed = scene.running(handle, 2)
    scene.slurm.say("scancel", cancelled)
    scene.slurm.say("scancel", "--signal=KILL", "--full", killed)
    ended = ("lost", "preempted")
    eventually(
        lambda: sum(attempt["state"] in ended for attempt in attempts(scene.home, handle)) == 2,
        "both losses are known",
        scene.home,
    )
    (hold / "go").touch()
    status = reached(scene.home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (4, 0)
    succeeded = [attempt["trial"] for attempt in attempts(scene.home, handle) if attempt["state"] == "succeeded"]
    assert sorted(succeeded) == [1, 2, 3, 4]
    scene.nothing_left(handle)


def test_a_job_that_a_more_important_one_displaces_is_submitted_again(scene: Scene, tmp_path: Path, hold: Path) -> None:
    project = write(
        tmp_path / "displaced", HELD, budget=1, parallelism=1, env={"HOLD": str(hold)}, resources={"cpu": 4}
    )
    handle = launch(scene.home, project)
    eventually(lambda: begun(hold, 1), "it runs", scene.home)
    [job] = scene.running(handle, 1)
    node = scene.slurm.say("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
    scene.slurm.say(
        "sbatch", "--partition=high", f"--nodelist={node}", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 5"
    )

    def is_preempted() -> bool:
        return [attempt["state"] for attempt in attempts(scene.home, handle)][:1] == ["preempted"]

    eventually(is_preempted, "its loss is known", scene.home)
    (hold / "go").touch()
    assert reached(scene.home, handle, "completed")["counts"]["completed"] == 1
    scene.nothing_left(handle)


def test_what_waits_in_slurms_queue_says_why_and_is_gone_when_it_is_stopped(scene: Scene, tmp_path: Path) -> None:
    blocks = [
        scene.slurm.say(
            "sbatch", "--parsable", "--partition=high", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 600"
        ).strip()
        for _ in scene.slurm.cpus
    ]
    try:
        handle = launch(scene.home, write(tmp_path / "waits", "echo loss={x}"))

        def why() -> str:
            return str((scene.home.json("status", handle)["reason"] or {}).get("message") or "")

        eventually(lambda: "in Slurm's queue: " in why(), "status tells what it waits for", scene.home)
        assert len(scene.jobs(handle, "pending")) == 2
        scene.home.run("stop", handle)
        reached(scene.home, handle, "stopped")
        scene.nothing_left(handle)
    finally:
        scene.slurm.say("scancel", *blocks)


def test_stopping_ends_what_ignores_it(scene: Scene, tmp_path: Path, hold: Path) -> None:
    handle = launch(scene.home, write(tmp_path / "stubborn", f"trap '' TERM; {HELD}", env={"HOLD": str(hold)}))
    eventually(lambda: begun(hold, 2), "two trials run", scene.home)
    scene.home.run("stop", handle)
    reached(scene.home, handle, "stopped")
    scene.nothing_left(handle)


def test_jobs_outlive_server_and_controller(scene: Scene, tmp_path: Path, hold: Path) -> None:
    home = scene.home
    handle = launch(home, write(tmp_path / "outlive", HELD, budget=4, env={"HOLD": str(hold)}))
    eventually(lambda: begun(hold, 2), "two trials run", home)
    before = set(scene.running(handle, 2))
    kill_server(home)
    scene.slurm.stop()
    home.run("status")
    scene.slurm.start()
    assert set(scene.running(handle, 2)) == before
    (hold / "go").touch()
    assert reached(home, handle, "completed")["counts"]["completed"] == 4
    assert [attempt["state"] for attempt in attempts(home, handle)] == ["succeeded"] * 4
    [address_file] = list(Path(home.env["ORCHESTUNE_SHARED"]).glob("slurm/*/server/address.json"))
    assert json.loads(address_file.read_text())["url"].startswith(f"http://{ADDRESS}:")
    scene.nothing_left(handle)


def test_at_the_end_of_its_time_a_trial_goes_on_from_its_checkpoint_in_the_next_job(
    scene: Scene, tmp_path: Path, hold: Path
) -> None:
    train = """
    trap 'exit 1' TERM
    echo "begins after epoch $(cat $ORCHESTUNE_CHECKPOINT_DIR/epoch 2>/dev/null || echo none)"
    echo 7 > $ORCHESTUNE_CHECKPOINT_DIR/epoch
    touch $HOLD/$ORCHESTUNE_TRIAL
    while [ ! -e $HOLD/go ]; do sleep 0.05; done; echo loss={x}
    """
    project = write(
        tmp_path / "long", train, budget=1, parallelism=1, checkpoint="1h", env={"HOLD": str(hold)}, slurm={"time": 1}
    )
    handle = launch(scene.home, project)
    eventually(lambda: begun(hold, 1), "it runs", scene.home)

    def is_warned() -> bool:
        return [attempt["state"] for attempt in attempts(scene.home, handle)][:1] == ["preempted"]

    eventually(is_warned, "it was told that its time is over", scene.home, 180)
    (hold / "go").touch()
    reached(scene.home, handle, "completed")
    assert "begins after epoch 7" in scene.home.run("logs", handle).stdout
    scene.nothing_left(handle)


def test_a_trial_that_needs_more_time_than_its_jobs_pauses_the_experiment_and_the_limit_is_named(
    scene: Scene, tmp_path: Path, hold: Path
) -> None:
    project = write(tmp_path / "short", HELD, budget=1, parallelism=1, env={"HOLD": str(hold)}, slurm={"time": 1})
    handle = launch(scene.home, project)
    reason = reached(scene.home, handle, "paused", timeout=280)["reason"]
    assert reason["code"] == "no_progress"
    assert "now each job ends after `slurm: {time: 1}`" in reason["message"]
    assert [attempt["state"] for attempt in attempts(scene.home, handle)] == ["preempted"] * 3
    scene.home.run("stop", handle)


def test_a_trial_over_its_memory_limit_fails_with_that_reason(scene: Scene, tmp_path: Path) -> None:
    code = "import os; n = int(os.environ['ORCHESTUNE_TRIAL']); b = bytearray((n == 2) * 2**29 + 1); print('loss=1')"
    project = write(
        tmp_path / "memory", ["python3", "-c", code], parallelism=1, resources={"memory": "128Mi"}, retry={"oom": 0}
    )
    handle = launch(scene.home, project)
    status = reached(scene.home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (2, 1)
    [failed] = [attempt for attempt in attempts(scene.home, handle) if attempt["state"] == "failed"]
    assert (failed["trial"], failed["reason"]["code"]) == (2, "out_of_memory")
    scene.nothing_left(handle)


def test_neither_token_nor_secret_is_in_what_slurm_shows(scene: Scene, tmp_path: Path, hold: Path) -> None:
    secret = "sesame-open-4711"
    (tmp_path / "secret.txt").write_text(secret)
    project = write(
        tmp_path / "secret", f"echo ${{#PASS}} letters; {HELD}", budget=1, parallelism=1, env={"HOLD": str(hold)},
        secrets={"PASS": f"file:{tmp_path}/secret.txt"},
    )  # fmt: skip
    handle = launch(scene.home, project)
    eventually(lambda: begun(hold, 1), "it runs", scene.home)
    [job] = scene.running(handle, 1)
    job_description = scene.slurm.say("scontrol", "show", "job", job) + scene.slurm.say(
        "scontrol", "write", "batch_script", job, "-"
    )
    (hold / "go").touch()
    reached(scene.home, handle, "completed")
    assert f"{len(secret)} letters" in scene.home.run("logs", handle).stdout
    tokens = json.loads((scene.home.folder / "endpoint.json").read_text())["token"]
    assert secret not in job_description and tokens not in job_description and "orch" in job_description
    scene.nothing_left(handle)


def test_a_test_and_a_shell_run_there(scene: Scene, tmp_path: Path) -> None:
    project = write(tmp_path / "tried", "echo on $SLURMD_NODENAME; echo loss={x}", budget=1, parallelism=1)
    output = scene.home.run("test", "--param", "x=0.25", cwd=project).stdout
    assert "loss 0.25" in output and re.search(rf"on ({'|'.join(scene.slurm.cpus)})", output)
    handle = launch(scene.home, project)
    reached(scene.home, handle, "completed")
    shell_output = scene.home.run("shell", f"{handle}/1", "--", "echo job $SLURM_JOB_ID of $ORCHESTUNE_TRIAL").stdout
    assert re.search(r"job \d+ of 1", shell_output)
