"""What a function finds in the process of its trial."""

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

from orchestune.sdk.call import Call
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


class Trainer:
    def __call__(self, x):
        return train(x)


functions = {
    "plain": train,
    "partial": functools.partial(train, y=1),
    "instance": Trainer(),
    "method": Trainer().__call__,
    "anew": anew,
}
Path(sys.argv[2]).write_bytes(pickled(Call(functions[sys.argv[1]], ("y",), True)))
"""


@pytest.mark.parametrize("kind", ["plain", "partial", "instance", "method", "anew"])
def test_what_a_script_defines_can_be_pickled_in_a_trial_of_its_function(tmp_path: Path, kind: str) -> None:
    """As models are saved, or sent to a pool of workers: by where they were defined."""
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "script.py", kind, "call.pkl"], cwd=tmp_path, check=True)
    (tmp_path / "params.json").write_text('{"x": 4}')
    environ = {**os.environ, "ORCHESTUNE_PARAMS": "params.json", "ORCHESTUNE_METRICS": "metrics.jsonl"}
    command = [sys.executable, "-m", "orchestune.sdk.calling", "call.pkl"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"name": "y", "value": 8.0}
