"""Values of running trials are visible everywhere before any trial has ended."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tests.testbeds.home import Home
from tests.testbeds.waiting import until

SCRIPT = """
import pathlib, sys, time
for epoch in range(30):
    print(f"epoch {epoch}: loss={1 / (1 + epoch) + float(sys.argv[1]):.4f}", flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.05)
"""


def test_running_trials_show_their_value_step_and_curve(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    done = tmp_path / "done"
    with Home(PYTHONIOENCODING="utf-8") as home:
        command = [sys.executable, "train.py", "{lr}", str(done)]
        options = ["--budget", "2", "--parallel", "2", "--detach"]
        home.run("run", "--minimize", "loss", "lr=0.1..0.9", *options, "--", *command, cwd=tmp_path)
        [status] = home.json("status", cwd=tmp_path)
        handle = status["handle"]

        def at_the_end() -> list[Any]:
            running = home.json("status", handle)["running"]
            return running if [item["latest"] and item["latest"]["step"] for item in running] == [29.0, 29.0] else []

        first, second = until("all values of both trials", at_the_end)
        assert first["curve"] == sorted(first["curve"], reverse=True) and 12 <= len(first["curve"]) <= 24
        best = min(first, second, key=lambda item: item["latest"]["value"])
        text = f"no completed trial; best of the running ones: loss {best['latest']['value']:.4g} at step 29"
        output = home.run("status", handle).stdout
        assert text in output
        assert len(re.findall("  29  █[▁-▇]{11}  lr=", output)) == 2
        assert home.run("trials", handle).stdout.count("step 29  █") == 2
        assert "step 29  █" in home.run("trials", f"{handle}/1").stdout
        assert text in home.run("best", handle).stdout
        done.touch()
        assert home.run("wait", handle).returncode == 0
        assert "at step" not in home.run("status", handle).stdout
