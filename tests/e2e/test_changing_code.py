"""Code that changes while an experiment runs: tried beside it, handed over to it, compared, looked into."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home

OLD = """
import sys, time, os
print("old code", flush=True)
while not os.path.exists(os.path.join(os.environ["ORCHESTUNE_ORIGINAL_DIR"], "go")):
    time.sleep(0.02)
print(f"loss={sys.argv[1]}")
"""
NEW = """
import sys
print("new code", open("note.txt").read())
print(f"loss={sys.argv[1]}")
"""


def project(tmp_path: Path, **keys: Any) -> Path:
    """An experiment whose trials wait for a file `go`, which is never packed."""
    folder = write(tmp_path / "changing", "python train.py {x}", **keys)
    (folder / "train.py").write_text(OLD)
    (folder / ".gitignore").write_text("go\n")
    return folder


def change(folder: Path) -> None:
    """Save the new code."""
    (folder / "train.py").write_text(NEW)
    (folder / "note.txt").write_text("with a note")


def test_an_experiment_goes_on_with_code_that_was_tried(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path, budget=5, parallelism=2)
    handle = launch(home, folder)

    def begun() -> list[int]:
        return [trial["number"] for trial in home.json("trials", handle) if trial["state"] == "running"]

    eventually(lambda: len(begun()) == 2, "both places are taken", home)
    old = begun()
    change(folder)
    tried = home.run("try", "-p", "x=0.5", cwd=folder).stdout
    assert "new code with a note" in tried and "metric   loss 0.5" in tried
    assert home.json("status", handle)["counts"]["completed"] == 0
    output = home.run("try", "--into", handle, cwd=folder).stdout
    assert f"{handle} switched to this code" in output and "2 trials running now finish with the old code" in output
    assert "results of the old code" not in output
    kill_server(home)
    (folder / "go").touch()
    reached(home, handle, "completed")
    trials = home.json("trials", handle)
    first, second = (next(t["bundle"] for t in trials if (t["number"] in old) is side) for side in (True, False))
    assert first != second
    assert {t["number"]: t["bundle"] for t in trials} == {n: first if n in old else second for n in range(1, 6)}
    logged = home.run("logs", handle).stdout
    assert (logged.count("old code"), logged.count("new code with a note")) == (2, 3)
    assert len({attempt["worker"] for attempt in attempts(home, handle)}) <= 2, "warm workers took the new code"
    _differences(home, handle, old[0], next(n for n in range(1, 6) if n not in old), folder)
    home.run("rerun", f"{handle}/{old[0]}", cwd=folder)
    (again,) = [status["handle"] for status in home.json("status") if status["origin"]]
    assert "old code" in home.run("logs", again).stdout


def _differences(home: Home, handle: str, old: int, new: int, folder: Path) -> None:
    difference = home.json("diff", f"{handle}/{old}", f"{handle}/{new}")
    assert difference["trials"] == [f"{handle}/{old}", f"{handle}/{new}"]
    assert {file["path"]: file["change"] for file in difference["code"]["files"]} == {
        "note.txt": "added",
        "train.py": "changed",
    }
    assert set(difference["configuration"]) == {"parameters.x", "seed"}
    assert difference["environment"] == {}
    text = home.run("diff", f"{handle}/{old}", f"{handle}/{new}").stdout
    assert '-print("old code", flush=True)' in text and "+with a note" in text
    # each has its own code in its shell, and what it was called with
    command = home.run("shell", f"{handle}/{new}", "--", "{run}").stdout
    assert "new code with a note" in command
    shell_command = ("sh", "-c", "ls; echo $ORCHESTUNE_TRIAL $ORCHESTUNE_PARAM_X; exit 5")
    inside = home.run("shell", f"{handle}/{old}", "--", *shell_command, expect=5).stdout.split()
    value = home.json("trials", f"{handle}/{old}")["parameters"]["x"]
    assert inside == ["experiment.yml", "train.py", str(old), repr(value)]
    assert not list(folder.glob("**/shell*"))


def test_code_that_fails_when_it_is_tried_is_not_handed_over(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path, budget=2, parallelism=1)
    handle = launch(home, folder)
    (folder / "train.py").write_text("raise SystemExit(3)")
    output = home.run("try", "--into", handle, cwd=folder, expect=1).stdout
    assert "exited with code 3" in output and f"{handle} keeps its current code" in output
    (folder / "go").touch()
    reached(home, handle, "completed")
    assert len({trial["bundle"] for trial in home.json("trials", handle)}) == 1
    elsewhere = write(tmp_path / "elsewhere", "true")
    home.run("try", handle, "--untried", cwd=elsewhere, expect=2)
    document = home.json("try", "--into", handle, "--untried", cwd=elsewhere)
    assert document["into"] == handle and document["changed"]


def test_watch_tests_again_after_a_save_and_ends_what_still_runs(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path)
    log = tmp_path / "watch.log"

    def wait_for_output(text: str) -> None:
        eventually(lambda: text in log.read_text(), text, home)

    with log.open("w") as out, home.start("watch", cwd=folder, stdout=out, stderr=out) as process:
        try:
            wait_for_output("old code")
            change(folder)
            wait_for_output("new code with a note")
            wait_for_output("watching 4 files")
            (folder / "train.py").write_text(OLD)
            eventually(lambda: log.read_text().count("old code") == 2, "the old code again", home)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert not [text for text in home.processes().values() if "train.py" in text]
    assert "Traceback" not in log.read_text()
