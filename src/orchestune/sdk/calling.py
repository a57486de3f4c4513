"""The program of a trial of `orchestune.tune`: `python -m orchestune.sdk.calling FILE` calls the function in the file.

Nothing imports it, so that a preloaded process finds it as new as any other one does.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from orchestune.sdk.parameters import params


def main(path: str) -> None:
    """Load the file and call what it holds, in the folder from which `tune` was called."""
    with open(path, "rb") as file:
        call = pickle.load(file)
    folder = os.environ.get("ORCHESTUNE_ORIGINAL_DIR")
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    call(params())


if __name__ == "__main__":
    main(sys.argv[1])
