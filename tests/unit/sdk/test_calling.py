"""State of the process in which a function runs as a trial."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import functools
import multiprocessing
import pickle
import sys
from pathlib import Path

from orchestune.sdk.call import FunctionCall
from orchestune.sdk.tuning import pickled


class Layer:
    pass


class Net:
    def __init__(self):
        self.layers = [Layer(), Layer()]


def params():  # as a name of the program's own
    return None


def train(x, y=0):
    net = pickle.loads(pickle.dumps(Net()))
    assert params() is None
    return x * len(net.layers)


def doubled(x):
    return 2 * x


def anew(x):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(doubled, [x])[0]


def failing(x):
    global os, sys  # the program's own, as much as any
    os = sys = None
    return x / 0


def wordy(x):
    return "good"


class Trainer:
    def __call__(self, x):
        return train(x)


functions = {
    "plain": train,
    "partial": functools.partial(train, y=1),
    "instance": Trainer(),
    "method": Trainer().__call__,
    "anew": anew,
    "failing": failing,
    "wordy": wordy,
}
Path(sys.argv[2]).write_bytes(pickled(FunctionCall(functions[sys.argv[1]], ("y",), True)))
"""


def called(folder: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """A trial of that function with 4."""
    (folder / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "script.py", kind, "call.pkl"], cwd=folder, check=True)
    (folder / "params.json").write_text('{"x": 4}')
    environ = {**os.environ, "ORCHESTUNE_PARAMS": "params.json", "ORCHESTUNE_METRICS": "metrics.jsonl"}
    command = [sys.executable, "-m", "orchestune.sdk.calling", "call.pkl"]
    return subprocess.run(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True, timeout=60)


@pytest.mark.parametrize("kind", ["plain", "partial", "instance", "method", "anew"])
def test_what_a_script_defines_can_be_pickled_in_a_trial_of_its_function(tmp_path: Path, kind: str) -> None:
    """As models are saved, or sent to a pool of workers: by where they were defined."""
    done = called(tmp_path, kind)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"name": "y", "value": 8.0}


def test_what_goes_wrong_in_a_function_is_shown_without_the_steps_to_it(tmp_path: Path) -> None:
    done = called(tmp_path, "failing")
    first, frame, *_, last = done.stderr.splitlines()
    assert (done.returncode, first, last) == (
        1,
        "Traceback (most recent call last):",
        "ZeroDivisionError: division by zero",
    )
    assert "script.py" in frame and "orchestune" not in done.stderr.replace(str(tmp_path), "")


def test_of_what_cannot_be_reported_there_is_nothing_to_show_but_the_words(tmp_path: Path) -> None:
    done = called(tmp_path, "wordy")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "'good'" in done.stderr


def test_modules_of_a_folder_that_others_can_write_to_are_found_but_not_run_at_the_start(tmp_path: Path) -> None:
    """As of a notebook that was started in /tmp."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "sitecustomize.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')")
    (shared / "bowl.py").write_text("def bowl(x):\n    return x * 2\n")
    code = """if True:
    import sys
    sys.path.insert(0, "")
    import bowl
    from orchestune.sdk.call import FunctionCall
    from orchestune.sdk.creating import importable
    from orchestune.sdk.tuning import pickled
    sys.stdout.buffer.write(importable(sys.path).encode() + b"\\n" + pickled(FunctionCall(bowl.bowl, ("y",), True)))
    """
    command = [sys.executable, "-P", "-c", code]
    modules, _, call = subprocess.run(command, cwd=shared, stdout=subprocess.PIPE, check=True).stdout.partition(b"\n")
    assert str(shared) not in modules.decode().split(os.pathsep)
    assert not (tmp_path / "planted").exists()
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / "call.pkl").write_bytes(call)
    (trial / "params.json").write_text('{"x": 4}')
    environ = {**os.environ, "ORCHESTUNE_PARAMS": "params.json", "ORCHESTUNE_METRICS": "metrics.jsonl"}
    environ["PYTHONPATH"] = modules.decode()
    subprocess.run([sys.executable, "-m", "orchestune.sdk.calling", "call.pkl"], cwd=trial, env=environ, check=True)
    assert json.loads((trial / "metrics.jsonl").read_text()) == {"name": "y", "value": 8.0}
    assert not (tmp_path / "planted").exists()
