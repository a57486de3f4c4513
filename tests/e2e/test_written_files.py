"""Files that trials write are named at the end, and can be fetched without `keep` on this machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.testbeds.home import Home
from tests.testbeds.waiting import until

SCRIPT = """
import os, pathlib, sys, time
os.mkdir("out")
pathlib.Path("out/model.pt").write_text(sys.argv[1])
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.05)
print(f"loss={sys.argv[1]}")
"""


def test_what_a_trial_wrote_is_named_at_the_end_and_can_be_fetched(tmp_path: Path, shared_home: Home) -> None:
    project, done = tmp_path / "project", tmp_path / "done"
    project.mkdir()
    (project / "train.py").write_text(SCRIPT)
    command = ["--", sys.executable, "train.py", "{lr}", str(done)]
    shared_home.run("run", "--minimize", "loss", "lr=0.1..0.9", "--budget", "3", "--detach", *command, cwd=project)
    [status] = shared_home.json("status", cwd=project)
    handle = status["handle"]

    def fetched(trial: int, folder: str) -> str:
        code = shared_home.run("get", f"{handle}/{trial}", "out/model.pt", "-o", folder, cwd=project, expect=None)
        return (project / folder / "out/model.pt").read_text() if code.returncode == 0 else ""

    text = until("the file of the running trial", lambda: fetched(1, "running"))
    assert float(text) == shared_home.json("trials", handle)[0]["parameters"]["lr"]
    done.touch()
    output = shared_home.run("wait", handle, cwd=project).stdout
    best = shared_home.json("best", handle)[0]["trial"]
    assert re.search(rf"trial {best} wrote out/model\.pt \(\d+ B\); keep it with `keep: \[out/model\.pt\]`", output)
    for trial in shared_home.json("trials", handle):
        assert float(fetched(trial["number"], str(trial["number"]))) == trial["parameters"]["lr"]
    refused = shared_home.run("get", f"{handle}/2", "out/other", cwd=project, expect=2)
    assert "has no file 'out/other'" in refused.stderr and "it has out/model.pt" in refused.stderr
    refused = shared_home.run("get", f"{handle}/2", cwd=project, expect=2)
    assert f"fetch a file: orchestune get {handle}/2 out/model.pt" in refused.stderr


def test_the_named_line_of_the_file_keeps_it(tmp_path: Path, shared_home: Home) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "experiment.yml").write_text(
        f"run: {sys.executable} train.py {{lr}} /\nparameters: {{lr: 0.1..0.9}}\nmetrics: {{loss: minimize}}\n"
        "budget: 2\nkeep: [out/model.pt]\n"
    )
    output = shared_home.run("run", cwd=tmp_path).stdout
    assert "wrote" not in output
    [listed] = shared_home.json("get", "--best", "-o", "files", cwd=tmp_path)
    [single] = shared_home.json("get", "--best", shared_home.json("status", cwd=tmp_path)[0]["handle"], "out/model.pt",
                                "-o", "single", cwd=tmp_path)  # fmt: skip
    assert (tmp_path / listed["file"]).read_text() == (tmp_path / single["file"]).read_text()
    [newest] = shared_home.json("get", "--best", "out/model.pt", "-o", "newest", cwd=tmp_path)
    assert (tmp_path / listed["file"]).read_text() == (tmp_path / newest["file"]).read_text()
    refused = shared_home.run("get", "--best", "model.pt", cwd=tmp_path, expect=2)
    assert "has no file 'model.pt'" in refused.stderr and "it has out/model.pt" in refused.stderr
