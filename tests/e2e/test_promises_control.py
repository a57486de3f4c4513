"""`pause resume extend delete` and `logs`, on real experiments; each command may be repeated."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

from tests.e2e.scene import attempts, eventually, launch, new_nap, reached, sleepers, workers, write
from tests.testbeds.home import Home
from tests.testbeds.processes import alive


def counts(home: Home, handle: str) -> dict[str, int]:
    state_counts: dict[str, int] = home.json("status", handle)["counts"]
    return state_counts


def test_pause_lets_running_trials_end_and_starts_no_more(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    folder = "$ORCHESTUNE_ORIGINAL_DIR"
    command = f"touch {folder}/began; while [ ! -e {folder}/go ]; do sleep 0.05; done; echo loss={{x}}"
    project = write(tmp_path / "paused", command, budget=6)
    handle = launch(home, project)
    eventually((project / "began").exists, "trials run", home)
    eventually(lambda: counts(home, handle)["running"] == 2, "two of them", home)
    home.run("pause", handle)
    home.run("pause", handle)
    status = home.json("status", handle)
    assert (status["desired"], status["counts"]["running"]) == ("paused", 2)
    (project / "go").touch()
    eventually(lambda: counts(home, handle)["completed"] == 2, "the running ones end", home)
    status = reached(home, handle, "paused")
    assert status["reason"]["code"] == "paused_by_user"
    assert (status["counts"]["completed"], status["counts"]["running"]) == (2, 0)
    home.run("resume", handle)
    home.run("resume", handle)
    reached(home, handle, "completed")
    assert counts(home, handle)["completed"] == 6
    assert {a["state"] for a in attempts(home, handle)} == {"succeeded"}


def test_a_finished_experiment_is_extended(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    project = write(tmp_path / "extended", "echo loss={x}", budget=2)
    home.run("run", cwd=project)
    handle = home.run("extend", "--budget", "5", "--parallelism", "3", cwd=project).stdout.split(":")[0]
    status = reached(home, handle, "completed")
    eventually(lambda: counts(home, handle)["completed"] == 5, "three more", home)
    status = reached(home, handle, "completed")
    assert (status["budget"], status["parallelism"], status["counts"]["completed"]) == (5, 3, 5)
    home.run("extend", handle, "--budget", "5")
    assert "5 trials were started already" in home.run("extend", handle, "--budget", "4", expect=2).stderr
    assert home.json("status", handle)["state"] == "completed"
    assert len({tuple(trial["parameters"].items()) for trial in home.json("trials", handle)}) == 5


def test_delete_stops_and_hides_and_purge_removes_everything(shared_home: Home, tmp_path: Path) -> None:
    home, nap = shared_home, new_nap()
    project = write(tmp_path / "deleted", f"echo trace-of-{nap} > kept; echo loss={{x}}; sleep {nap}", keep=["kept"])
    (project / "code.txt").write_text("x" * 1000 + nap)
    handle = launch(home, project)
    eventually(lambda: len(sleepers(nap)) == 2, "trials run", home)
    identity = home.json("status", handle)["id"]
    running, guards = sleepers(nap), workers(home)
    refused = home.run("delete", handle, expect=2)
    assert "--yes" in refused.stderr
    home.run("delete", handle, "--yes")
    eventually(lambda: not any(map(alive, running)), "its trials are gone", home)
    assert handle not in [status["handle"] for status in home.json("status")]
    home.run("delete", identity, "--yes", expect=None)
    home.run("delete", identity, "--purge", "--yes")
    eventually(lambda: not any(map(alive, guards)), "its workers are gone", home)

    def traces() -> list[str]:
        paths = (Path(folder, name) for folder, below, files in os.walk(home.folder) for name in [*below, *files])
        remains = [str(path) for path in paths if identity in str(path)]
        with sqlite3.connect(f"file:{home.folder / 'orchestune.db'}?mode=ro", uri=True) as database:
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                if table == "audit":  # keeps who removed it
                    continue
                rows = database.execute(f'SELECT * FROM "{table}"').fetchall()
                if any(word in str(row) for row in rows for word in (identity, handle, nap)):
                    remains.append(table)
        database.close()
        return remains

    def is_purged() -> bool:
        return not traces()

    try:
        eventually(is_purged, "rows and files are gone", home)
    except AssertionError as error:
        raise AssertionError(f"left: {traces()}") from error
    done = home.run("status", handle, expect=None)
    assert done.returncode == 2 and "removed for good" in done.stderr
    for name in (handle, identity):
        assert "already" in home.run("delete", name, "--purge", "--yes").stdout
    assert "there is no experiment" in home.run("delete", f"{handle}x", "--purge", "--yes", expect=2).stderr


def test_following_logs_merges_the_workers_and_ends_with_the_experiment(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    folder = "$ORCHESTUNE_ORIGINAL_DIR"
    command = (
        f"touch {folder}/began-$ORCHESTUNE_TRIAL; until [ -e {folder}/began-2 ]; do sleep 0.05; done;"
        "for i in 1 2 3; do echo line $i; sleep 0.1; done; printf 'half'; sleep 0.1; echo ' whole'; echo loss={x}"
    )
    project = write(tmp_path / "logged", command, budget=6)
    handle = launch(home, project)
    follower = home.start("logs", handle, "--follow")
    out, err = follower.communicate(timeout=120)
    assert follower.returncode == 0, err
    assert home.json("status", handle)["counts"]["completed"] == 6
    lines = [match.groups() for line in out.splitlines() if (match := re.fullmatch(r"(w\d+) +(\d+) │ (.*)", line))]
    by_trial: dict[str, list[str]] = {}
    for _, trial, text in lines:
        by_trial.setdefault(trial, []).append(text)
    assert sorted(by_trial) == ["1", "2", "3", "4", "5", "6"]
    for texts in by_trial.values():
        assert texts[:-1] == ["line 1", "line 2", "line 3", "half whole"]
        assert texts[-1].startswith("loss=")
    assert len({worker for worker, _, _ in lines}) == 2
    finished = home.run("logs", handle).stdout
    assert sorted(finished.splitlines()) == sorted(out.splitlines())
    assert home.run("logs", f"{handle}/3").stdout.splitlines() == by_trial["3"]
    assert set(home.run("logs", handle, "--grep", "line [12]").stdout.splitlines()) == {
        line for line in out.splitlines() if re.search("line [12]", line)
    }
    assert home.run("logs", handle, "--since", "1d").stdout == finished
    assert home.run("logs", handle, "--since", "2099-01-01T00:00:00Z").stdout == ""
    assert home.run("logs", f"{handle}/3", "--tail", "2").stdout.splitlines() == by_trial["3"][-2:]
    assert home.run("logs", f"{handle}/3", "--tail", "2", "--follow").stdout.splitlines() == by_trial["3"][-2:]


def test_stop_may_be_repeated_and_a_prefix_is_enough(shared_home: Home, tmp_path: Path) -> None:
    home, nap = shared_home, new_nap()
    handle = launch(home, write(tmp_path / "unmistakable", f"sleep {nap}"))
    home.run("stop", "unmistak")
    reached(home, handle, "stopped")
    home.run("stop", handle)
    home.run("wait", handle, expect=1)
    assert home.json("status", handle)["state"] == "stopped"


def test_what_waits_says_for_what_and_for_whom(shared_home: Home, tmp_path: Path) -> None:
    home, nap = shared_home, new_nap()
    everything: dict[str, Any] = {"resources": {"memory": home_memory()}, "parallelism": 1}
    holder = launch(home, write(tmp_path / "holder", f"sleep {nap}", **everything))
    eventually(lambda: len(sleepers(nap)) == 1, "it runs", home)
    waiter = launch(home, write(tmp_path / "waiter", "echo loss={x}", **everything))

    def reason() -> str:
        reason_document = home.json("status", waiter)["reason"]
        return (
            str(reason_document["message"])
            if reason_document and reason_document["code"] == "waiting_for_resources"
            else ""
        )

    message = eventually(reason, "it says that it waits", home)
    assert "memory" in message and holder in message
    home.run("stop", holder)
    reached(home, waiter, "completed")


def home_memory() -> str:
    """More than half of this machine's."""
    text = Path("/proc/meminfo").read_text()
    total = int(text.split("MemTotal:")[1].split()[0])
    return f"{total * 6 // 10 // 1024}Mi"
