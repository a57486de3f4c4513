"""An environment for the peers outside the repository, made when it is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = ["optuna>=5,<6", "ray[tune]>=2.40"]


def folder() -> Path:
    """`ORCHESTUNE_BENCHMARK_PEERS`, or a folder in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ORCHESTUNE_BENCHMARK_PEERS") or cache / "orchestune-benchmarks" / "peers")


def peers_python() -> Path:
    """The interpreter that has the peers; the first call installs them, which takes a minute."""
    home = folder()
    python, done = home / "bin" / "python", home / "installed"
    wanted = "\n".join(PACKAGES)
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {' and '.join(PACKAGES)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *PACKAGES], check=True)
        done.write_text(wanted)
    return python
