"""Files of trials, the project as trials see it, and trials that resume or are repeated."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home

TRAIN = """
cd $ORCHESTUNE_CHECKPOINT_DIR
[ -e epoch ] || echo 0 > epoch
echo "begins after epoch $(cat epoch), told ${ORCHESTUNE_RESUMED_STEP:-nothing}"
while [ $(cat epoch) -lt $1 ]; do
  sleep 0.1
  echo $(($(cat epoch) + 1)) > .draft && mv .draft epoch
  echo "{\\"loss\\": 0.$(cat epoch), \\"step\\": $(cat epoch)}" >> $ORCHESTUNE_METRICS
  [ ! -e $ORCHESTUNE_ORIGINAL_DIR/wait ] || [ $(cat epoch) -lt 3 ] || { echo waiting; sleep 600; }
done
echo loss=0.$(cat epoch)
"""


def only_experiment_named(home: Home, name: str) -> dict[str, Any]:
    [status] = [status for status in home.json("status") if status["name"] == name]
    return dict(status)


def test_kept_files_are_listed_and_fetched_whole(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    command = (
        "mkdir plots; echo model {x} > best.pt; head -c 300000 /dev/zero > plots/a.png; echo no > other; echo loss={x}"
    )
    project = write(tmp_path / "kept", command, keep=["best.pt", "plots/*.png"], budget=3)
    home.run("run", cwd=project)
    handle = only_experiment_named(home, "kept")["handle"]
    trial = home.json("trials", f"{handle}/2")
    eventually(lambda: len(home.json("trials", f"{handle}/2")["artifacts"]) == 2, "its files are kept", home)
    listed = home.run("trials", f"{handle}/2").stdout
    assert "best.pt" in listed and "plots/a.png" in listed
    home.run("get", f"{handle}/2", "-o", str(tmp_path / "two"))
    assert sorted(str(p.relative_to(tmp_path / "two")) for p in (tmp_path / "two").rglob("*") if p.is_file()) == [
        "best.pt",
        "plots/a.png",
    ]
    assert (tmp_path / "two/plots/a.png").read_bytes() == bytes(300000)
    value = float((tmp_path / "two/best.pt").read_text().split()[1])
    assert value == trial["parameters"]["x"]
    [best] = home.json("best", handle)
    eventually(lambda: home.json("trials", f"{handle}/{best['trial']}")["artifacts"], "the best one's are kept", home)
    home.run("get", handle, "--best", "-o", str(tmp_path / "best"))
    assert float((tmp_path / "best/best.pt").read_text().split()[1]) == best["parameters"]["x"]


def test_what_is_kept_is_each_trials_own_where_git_ignores_a_file_of_that_name(
    shared_home: Home, tmp_path: Path
) -> None:
    home, names = shared_home, ("best.pt", "outputs/model.pt")
    command = "cat best.pt outputs/model.pt; cat outputs/in; " + "".join(f"echo {{x}} > {name}; " for name in names)
    project = write(tmp_path / "ignored", f"{command} echo loss={{x}}", keep=list(names), budget=2)
    (project / ".gitignore").write_text("*.pt\noutputs/\n")
    (project / "outputs").mkdir()
    for name in (*names, "outputs/in"):
        (project / name).write_text("by hand\n")
    home.run("run", cwd=project)
    handle = only_experiment_named(home, "ignored")["handle"]
    eventually(lambda: len(home.json("trials", f"{handle}/1")["artifacts"]) == 2, "its files are kept", home)
    home.run("get", f"{handle}/1", "-o", str(tmp_path / "one"))
    x = home.json("trials", f"{handle}/1")["parameters"]["x"]
    assert [float((tmp_path / "one" / name).read_text()) for name in names] == [x, x]
    assert [(project / name).read_text() for name in names] == ["by hand\n", "by hand\n"]
    assert home.run("logs", f"{handle}/1").stdout.count("by hand") == 1, "what else is ignored is linked"


def test_logs_and_files_go_where_the_server_keeps_them_for_some_time_alone(tmp_path: Path) -> None:
    with Home(ORCHESTUNE_RETENTION="1s") as home:
        project = write(tmp_path / "old", "echo {x} > model; echo loss={x}", keep=["model"], budget=1)
        home.run("run", cwd=project)
        handle = only_experiment_named(home, "old")["handle"]
        eventually(lambda: home.json("trials", f"{handle}/1")["artifacts"], "its file is kept", home)
        assert "loss=" in home.run("logs", handle).stdout
        time.sleep(1.1)
        kill_server(home)  # the next one looks at once
        eventually(lambda: home.json("status", handle)["files_dropped_at"], "they are dropped", home)
        logs = home.run("logs", handle)
        assert (logs.stdout, "logs and files were dropped at" in logs.stderr) == ("", True)
        assert "logs and files were dropped at" in home.run("get", f"{handle}/1", expect=None).stderr
        assert [entry["trial"] for entry in home.json("best", handle)] == [1]


def test_only_the_best_trials_files_are_retained(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    keep = {"patterns": ["model"], "keep_best": 2}
    order = [{"x": value} for value in (0.5, 0.2, 0.9, 0.1, 0.7)]
    project = write(tmp_path / "retained", "echo {x} > model; echo loss={x}", keep=keep, budget=5, try_first=order)
    home.run("run", cwd=project)
    handle = only_experiment_named(home, "retained")["handle"]

    def best_parameters() -> list[float]:
        trials = [home.json("trials", f"{handle}/{number}") for number in range(1, 6)]
        return sorted(trial["parameters"]["x"] for trial in trials if trial["artifacts"])

    eventually(lambda: best_parameters() == [0.1, 0.2], "the files of the two best trials, and no others", home)


def test_a_trial_that_was_interrupted_goes_on_from_its_checkpoint_and_knows_the_step(
    shared_home: Home, tmp_path: Path
) -> None:
    home = shared_home
    project = write(tmp_path / "resumed", "sh train.sh 6", checkpoint="5m", budget=1, parallelism=1)
    (project / "train.sh").write_text(TRAIN)
    (project / "wait").touch()
    handle = launch(home, project)
    eventually(lambda: "waiting" in home.look("logs", handle), "three epochs are over", home)
    home.run("pause", handle, "--now")
    eventually(lambda: [a["state"] for a in attempts(home, handle)] == ["preempted"], "it was interrupted", home)
    (project / "wait").unlink()
    home.run("resume", handle)
    reached(home, handle, "completed")
    assert "begins after epoch 3, told 3" in home.run("logs", handle).stdout
    first, second = attempts(home, handle)
    assert (first["state"], second["state"]) == ("preempted", "succeeded")
    assert second["resumed_from"] == {"attempt": first["id"], "step": 3}
    assert "resumed from a checkpoint at step 3" in home.run("trials", f"{handle}/1").stdout


def test_rerun_repeats_a_trial_exactly_or_goes_on_with_it(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    project = write(tmp_path / "again", "echo seed $ORCHESTUNE_SEED; sh train.sh 4", checkpoint="5m", budget=2)
    (project / "train.sh").write_text(TRAIN)
    home.run("run", cwd=project)
    handle = only_experiment_named(home, "again")["handle"]
    origin = home.json("trials", f"{handle}/2")
    (project / "train.sh").write_text("exit 1")  # the bundle has what ran
    repeated = home.run("rerun", f"{handle}/2", "--detach", cwd=project).stdout.strip()
    assert home.json("status", repeated)["owner"] == home.json("status", handle)["owner"]
    status = reached(home, repeated, "completed")
    assert (status["budget"], status["origin"]) == (1, f"{handle}/2")
    [trial] = home.json("trials", repeated)
    for key in ("parameters", "seed", "bundle", "metrics"):
        assert trial[key] == origin[key]
    log = home.run("logs", repeated).stdout
    assert f"seed {origin['seed']}" in log and "begins after epoch 0, told nothing" in log
    longer = home.run("rerun", f"{handle}/2", "--continue", "--detach", cwd=project).stdout.strip()
    reached(home, longer, "completed")
    assert "begins after epoch 4, told 4" in home.run("logs", longer).stdout


def test_ignored_data_is_there_and_what_trials_write_is_their_own(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    command = (
        "cat data/train.csv code.txt; [ ! -e mine ] || exit 7; echo {x} > mine; echo changed > code.txt; echo loss={x}"
    )
    project = write(tmp_path / "ignoring", command, budget=4)
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    (project / ".gitignore").write_text("data/\n")
    (project / "data").mkdir()
    (project / "data/train.csv").write_text("the data\n")
    (project / "code.txt").write_text("the code\n")
    output = home.run("run", cwd=project).stdout
    assert "data" in output
    status = only_experiment_named(home, "ignoring")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (4, 0)
    log = home.run("logs", status["handle"]).stdout
    assert (log.count("the data"), log.count("the code")) == (4, 4)
    assert (project / "code.txt").read_text() == "the code\n"
    assert not (project / "mine").exists()


def test_parameters_arrive_in_every_way(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    command = (
        'echo "args {args}"; echo "env $ORCHESTUNE_PARAM_OPTIM_LR"; '
        'echo "file $(tr -d "\\n" < $ORCHESTUNE_PARAMS)"; echo loss=1'
    )
    parameters = {"optim.lr": "0.1..0.2", "amp": "bool"}
    project = write(
        tmp_path / "arriving", command, parameters=parameters, budget=1, try_first=[{"optim.lr": 0.15, "amp": True}]
    )
    home.run("run", cwd=project)
    log = home.run("logs", cwd=project).stdout
    assert "args --optim.lr=0.15 --amp" in log
    assert "env 0.15" in log
    assert json.loads(log.partition("file ")[2].splitlines()[0]) == {"optim.lr": 0.15, "amp": True}
