"""The libraries of experiment trackers in an environment of their own: `python -m tests.testbeds.trackers FOLDER`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ.get("ORCHESTUNE_TEST_TRACKERS") or ROOT / ".venv-trackers/bin")
"""programs of the environment, or of another one that has these libraries"""
VERSIONS = ["tensorboard==2.21.0", "trackio==0.43.0", "wandb==0.31.0"]


def make(folder: Path) -> None:
    """Make the environment in a folder that does not exist. Raises CalledProcessError if a step of it fails."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "-e", f"{ROOT}[tensorboard,trackio,wandb]", *VERSIONS], check=True)


def read(script: str, *words: str, **variables: str) -> Any:
    """Run a script in the environment; return the JSON document that it prints last."""
    assert BIN.exists(), "make test-trackers sets up what this takes"
    command = [str(BIN / "python"), "-W", "ignore", "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    make(Path(sys.argv[1]))
